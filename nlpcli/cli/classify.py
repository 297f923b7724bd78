"""`nlpcli classify`: its options, and how the model named can choose among the labels."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import typer

from nlpcli import registry, store
from nlpcli.backends import choice
from nlpcli.cli.options import Shared, option, shared
from nlpcli.errors import UsageError
from nlpcli.registry import LocalModel, ModelSpec
from nlpcli.tasks.classify import Choice, Classify, Head, Scorer
from nlpcli.tasks.labels import Label, from_file, listed
from nlpcli.tasks.prompted import Prompted
from nlpcli.tasks.zero_shot import Entailment, Similarity, entailment

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
MODEL = "minilm-l6"
LABELS = "Labels"
EXPLANATION = "Explanation"


class Way(NamedTuple):
    """How the labels get their scores: `independent` of each other or not, by which models, and
    what their backend needs for it (inference.Plan)."""

    scorer: Scorer
    independent: bool
    models: tuple[ModelSpec, ...]
    why: str
    needs: Mapping[str, str] = {}


@app.command()
@shared
def classify(
    given: Shared,
    labels: Annotated[
        str | None,
        option(
            "--labels",
            metavar="A,B,C",
            help=r"The labels to choose from; \, is a comma within one.",
            panel=LABELS,
            show_default=False,
        ),
    ] = None,
    labels_file: Annotated[
        str | None,
        option(
            "--labels-file",
            metavar="FILE",
            help="Take them from FILE, one a line, each with a tab and a description if need be; "
            "or from a .json list or object.",
            panel=LABELS,
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        option(
            "--top-k",
            metavar="K",
            help="Give the K best labels, tabs between.",
            panel=LABELS,
            min=1,
            show_default=False,
        ),
    ] = None,
    multi_label: Annotated[
        bool,
        option(
            "--multi-label",
            help="Score each label by itself, and give all that reach the threshold.",
            panel=LABELS,
        ),
    ] = False,
    threshold: Annotated[
        float | None,
        option(
            "--threshold",
            metavar="P",
            help="Give no label whose score is below P. [default: 0; 0.5 with --multi-label]",
            panel=LABELS,
            min=0.0,
            max=1.0,
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool,
        option(
            "--explain",
            help="Show which words carried the decision and the model's self-attention, as a heat "
            "map; with -o FILE.svg as a picture.",
            panel=EXPLANATION,
        ),
    ] = False,
    layer: Annotated[
        int | None,
        option(
            "--layer",
            metavar="N",
            help="Show the attention of layer N alone, not the mean of all.",
            panel=EXPLANATION,
            min=1,
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        int | None,
        option(
            "--head",
            metavar="N",
            help="Show the attention of head N alone, not the mean of all.",
            panel=EXPLANATION,
            min=1,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Classify text, line by line or record by record.

    A line is a record and gets a label and its score; a blank line stays blank. With --labels any
    labels will do; -m names a model with labels of its own, or another way to choose.
    """
    from nlpcli.cli.checks import check
    from nlpcli.cli.explain import drawing, explained, picture
    from nlpcli.cli.inference import Plan, infer

    check(given)
    wanted = _labels(labels, labels_file, multi_label)
    if not (wanted or given.model or given.dry):
        raise UsageError(
            "no labels to choose from", "name them: --labels a,b,c; or -m a model that has its own"
        )
    form = Choice(given.output_field or "label", top_k or 0, threshold, multi_label)
    if form.field == "score":
        raise UsageError(f"--output-field {form.field}: that field is taken", "name another")
    if (layer or head) and not explain:
        raise UsageError(f"--{'layer' if layer else 'head'} goes with --explain", "add --explain")
    if (ending := picture(given)) and not (explain and ending == ".svg"):
        raise UsageError(
            f"{given.output}: --explain draws SVG pictures, classify no others",
            "add --explain and name a file in .svg; or say what to write there: -f text",
        )

    def plan(texts: list[str]) -> Plan:
        way = _way(given, wanted, multi_label, bool(texts))
        chosen = form._replace(multi_label=way.independent)
        task = Classify(way.scorer, chosen, given.size)
        made = Plan(
            task,
            way.models,
            way.needs,
            why=(f"labels chosen by {way.why}",),
            kinds=("encoder", "classifier", "decoder"),
            verb="classify",
        )
        return explained(made, task, given, layer or 0, head or 0) if explain else made

    options, draw = drawing(given) if explain else (given, None)
    infer(options, plan, draw=draw)


def _labels(value: str | None, path: str | None, multi_label: bool) -> tuple[Label, ...]:
    if value is not None and path is not None:
        raise UsageError("--labels and --labels-file do not go together", "leave one of them out")
    if value is None and path is None:
        return ()
    found = listed(value) if value is not None else from_file(path or "")
    if len(found) == 1 and not multi_label:
        raise UsageError(f"{found[0].name} is the only label", "name another, or add --multi-label")
    return found


def _way(given: Shared, wanted: tuple[Label, ...], independent: bool, needed: bool) -> Way:
    """How the model named chooses among the labels `wanted`, or among its own where there are
    none. Downloads it, unless it is not `needed`. Raises UsageError where it cannot."""
    if given.dry:
        own = Head(independent)
        return Way(
            Similarity(wanted, independent) if wanted else own,
            independent,
            (),
            "counting characters",
        )
    spec = registry.find(given.model or MODEL).spec
    models = (spec,)
    if not needed or (spec.tasks and "classify" not in spec.tasks):  # which the plan's check tells
        return Way(Head(independent), independent, models, "the model's own head")
    able = choice.able(spec, given.backend)
    model = store.fetch(spec, offline=given.offline)
    kind = choice.kind(model)
    if kind == "classifier":
        return _by_classifier(model, wanted, independent)
    if not wanted:
        raise UsageError(
            f"{spec.name} is {choice.KINDS[kind]} and has no labels of its own",
            "name them: --labels a,b,c",
        )
    if kind == "encoder":
        return Way(Similarity(wanted, independent), independent, models, "sentence embeddings")
    if kind == "decoder":
        likely = any("likelihoods" in choice.BACKENDS[name].features for name in able)
        needs = dict.fromkeys(("likelihoods",) if likely else ("constrain", "logprobs"), "classify")
        why = "the likelihood of each label" if likely else "the model's answer"
        return Way(Prompted(wanted, independent, not likely), independent, models, why, needs)
    return Way(Head(independent), independent, models, "the model's own head")


def _by_classifier(model: LocalModel, wanted: tuple[Label, ...], independent: bool) -> Way:
    own, several = _head(model)
    if not wanted:
        independent = independent or several
        return Way(Head(independent), independent, (model.spec,), "the model's own head")
    if entailment(own)[0] < 0:
        some = ", ".join(own[:8]) + (", ..." if len(own) > 8 else "")
        raise UsageError(
            f"{model.spec.name} has labels of its own: {some}",
            f"leave out --labels; for labels of yours: -m {MODEL}, or an NLI model",
        )
    return Way(Entailment(wanted, independent), independent, (model.spec,), "entailment")


def _head(model: LocalModel) -> tuple[tuple[str, ...], bool]:
    """The labels of a classifier, and whether several of them may hold at once."""
    made = registry.read_json(model.folder / "recipe.json")
    if "labels" in made:
        return tuple(made["labels"]), bool(made["multi_label"])
    config = registry.read_json(model.folder / "config.json")
    named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    labels = tuple(str(named[index]) for index in sorted(named, key=int))
    return labels, len(labels) == 1 or config.get("problem_type") == "multi_label_classification"
