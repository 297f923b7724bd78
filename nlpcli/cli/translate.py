"""`nlpcli translate`: its options, and the choice of models, backends and device from them."""

from typing import Annotated

import typer

from nlpcli import registry, store
from nlpcli.cli.options import Shared, languages, option, shared
from nlpcli.errors import UsageError
from nlpcli.languages import find
from nlpcli.registry import ModelSpec
from nlpcli.tasks.route import PIVOT, base, route, tag

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
TRANSLATION = "Translation"
KINDS = ("seq2seq", "decoder")


@app.command()
@shared
def translate(
    given: Shared,
    to: Annotated[
        str,
        option(
            "--to",
            metavar="LANG",
            help="The language to translate to, such as pt.",
            panel=TRANSLATION,
            autocompletion=languages,
        ),
    ],
    from_: Annotated[
        str,
        option(
            "--from",
            metavar="LANG",
            help="The language of the text; auto tells it from the first records.",
            panel=TRANSLATION,
            autocompletion=languages,
        ),
    ] = "auto",
    via: Annotated[
        str | None,
        option(
            "--via",
            metavar="LANG",
            help="Translate to LANG first and from there; English where no model goes directly.",
            panel=TRANSLATION,
            autocompletion=languages,
            show_default=False,
        ),
    ] = None,
    beam: Annotated[
        int | None,
        option(
            "--beam",
            metavar="N",
            help="Beam width; 1 is greedy.",
            panel=TRANSLATION,
            min=1,
            show_default=False,
        ),
    ] = None,
    nbest: Annotated[
        int,
        option(
            "--nbest",
            metavar="N",
            help="Give the N best translations, tabs between.",
            panel=TRANSLATION,
            min=1,
        ),
    ] = 1,
    scores: Annotated[
        bool,
        option(
            "--scores",
            help="Give each translation's mean log-probability per token.",
            panel=TRANSLATION,
        ),
    ] = False,
) -> None:
    """Translate text, line by line or record by record.

    A line is a record: a blank line stays blank, and a long line is split into sentences and
    joined again. The default models are Firefox Translations; -m takes any other
    translation model, or a language model that follows instructions.
    """
    from nlpcli.backends import Decoding
    from nlpcli.cli.inference import Plan, infer
    from nlpcli.tasks.pivot import Pivot
    from nlpcli.tasks.prompted_translation import PromptedTranslation
    from nlpcli.tasks.translate import Translate

    if given.model and via:
        raise UsageError("--via chooses models itself", "leave out --model or --via")

    target, middle = tag(to), tag(via or PIVOT)

    def plan(texts: list[str]) -> Plan:
        decoding = Decoding(beam=beam, nbest=nbest, scores=scores, batch_size=given.size)
        chosen = {"--beam": beam not in (None, 1), "--nbest": nbest > 1, "--scores": scores}
        asked = [name for name, value in chosen.items() if value]
        needs = {"search": asked[0]} if asked else {}
        named = registry.find(given.model).spec if given.model and not given.dry else None
        source, notes = _source(texts, tag(from_), target, named)
        if source == target:
            raise UsageError(f"source and target are both {target}", "name another --from or --to")
        task = Translate(source, target, decoding, given.output_field or "translation")
        if len(set(task.fields)) < len(task.fields):
            raise UsageError(f"--output-field {task.field}: that field is taken", "name another")
        if given.dry:
            return Plan(task, (), notes=notes)
        offline = store.is_offline(given.offline)
        models = [named] if named else route(source, target, via=via and middle, offline=offline)
        if len(models) == 1:
            why = (f"from {source} to {target}",)
            if named and _prompted(named, given):
                if nbest > 1 or scores:
                    raise UsageError(
                        f"{asked[-1]}: {named.name} is asked for one translation in words",
                        f"leave out {asked[-1]}, or name a translation model",
                    )
                for language in (source, target):
                    if not find(language):
                        raise UsageError(
                            f"{language}: no language that {named.name} could be asked for",
                            "name it by its tag, such as pt or zh-Hant",
                        )
                said = PromptedTranslation(source, target, decoding, task.field)
                return Plan(said, (named,), needs, notes, why, kinds=KINDS, verb="translate")
            return Plan(task, tuple(models), needs, notes, why, kinds=KINDS, verb="translate")
        first = Translate(source, middle, decoding._replace(nbest=1, scores=False))
        pivot = Pivot(first, task._replace(source=middle))
        through = f"from {source} through {middle} to {target}"
        return Plan(pivot, tuple(models), needs, notes, (through,))

    infer(given, plan)


def _prompted(model: ModelSpec, given: Shared) -> bool:
    """Whether `model` is a language model, which has to be asked."""
    from nlpcli.backends import choice

    if model.tasks and "translate" not in model.tasks:
        return False  # refused before anything is downloaded
    if model.format in ("bergamot", "openai", "gguf"):
        return model.format != "bergamot"
    choice.able(model, given.backend)
    return choice.kind(store.fetch(model, offline=given.offline)) == "decoder"


def _source(
    texts: list[str], named: str, target: str, model: ModelSpec | None
) -> tuple[str, tuple[str, ...]]:
    """The language to translate from, and what to tell the user about it.

    A model of one direction settles it. Raises UsageError where that is not the one asked for.
    """
    if model and len(model.languages) == 2:
        source, only = model.languages
        asked = source if named == "auto" else named
        if (base(asked), base(target)) != (base(source), base(only)):
            raise UsageError(
                f"{model.name} translates {source} to {only}, not {asked} to {target}",
                "name another model, or leave out --model: the languages choose one",
            )
        return asked, ()
    if named != "auto":
        return named, ()
    from nlpcli.tasks.language_id import source_language

    return source_language(texts, target)
