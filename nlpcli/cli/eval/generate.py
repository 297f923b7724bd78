"""`nlpcli eval generate`: exact match and token F1 of answers, or the perplexity of a text."""

from collections.abc import Sequence

from nlpcli.cli.eval.options import Scoring, Stride, Window, scoring
from nlpcli.errors import UsageError

ANSWERS = ("exact-match", "token-f1")
LIKELIHOOD = ("perplexity", "bits-per-byte", "logprob")
REFERENCES = ("reference", "references", "answer", "answers", "target")


@scoring
def generate(given: Scoring, window: Window = 0, stride: Stride = 0) -> None:
    """Score answers by exact match and token F1, or a text by how well models foretell it.

    Answers are compared as SQuAD's script does: case, punctuation, articles and spaces do not
    count; of several references the best does. Where there are no references, the models' own
    measure is taken: perplexity, bits per byte and log-probability, of each line and of all.
    """
    from nlpcli.cli.eval import data
    from nlpcli.cli.eval.run import run
    from nlpcli.cli.eval.score import check
    from nlpcli.metrics.answers import Answers

    asked, least = check(given, [*ANSWERS, *LIKELIHOOD])
    if _foretold(given, [*asked, *least]):
        _likelihood(given, window, stride, asked, least)
        return
    if window or stride:
        raise UsageError("--window and --stride are for perplexity", "add --metric perplexity")
    found = data.read("generate", given, "generation", REFERENCES)
    run(
        "generate",
        given,
        found,
        [Answers()],
        lambda metric, system: metric.sample(system.outputs, found.references),
        asked,
        least,
    )


def _foretold(given: Scoring, names: Sequence[str]) -> bool:
    """Whether models are measured by how likely they find the data, not by answers to it."""
    from nlpcli.cli.eval import data

    kinds = {name in LIKELIHOOD for name in names}
    if len(kinds) == 2:
        raise UsageError("answers and perplexity are two reports", "ask for one at a time")
    if kinds == {True} and (given.hyp or given.ref or not given.model):
        raise UsageError(
            f"{names[0]} is of a model and a text", "name them: --model and --data, without --ref"
        )
    if kinds or given.hyp or given.ref or given.ref_field or not given.data:
        return kinds == {True}
    return not data.has_field(given, REFERENCES)


def _likelihood(
    given: Scoring, window: int, stride: int, asked: Sequence[str], least: dict[str, float]
) -> None:
    from nlpcli.cli.eval import likelihood
    from nlpcli.cli.eval.run import run
    from nlpcli.metrics.perplexity import Perplexity

    assert given.model
    found = likelihood.read(given, window, stride)
    metric = Perplexity(found.window, found.stride, "own" if given.model[1:] else given.model[0])
    run(
        "generate",
        given,
        found.data,
        [metric],
        lambda metric, system: metric.sample(found.lines[system.name]),
        asked,
        least,
    )
