"""`nlpcli eval generate`: exact match and token F1 of answers."""

from nlpcli.cli.eval.options import Scoring, scoring

METRICS = ("exact-match", "token-f1")


@scoring
def generate(given: Scoring) -> None:
    """Score answers: exact match and token F1, as SQuAD's script computes them.

    Case, punctuation, articles and spaces do not count; of several references the best does.
    """
    from nlpcli.cli.eval import data
    from nlpcli.cli.eval.run import run
    from nlpcli.cli.eval.score import check
    from nlpcli.metrics.answers import Answers

    asked, least = check(given, METRICS)
    found = data.read(
        given, "generation", ("reference", "references", "answer", "answers", "target")
    )
    run(
        "generate",
        given,
        found,
        [Answers()],
        lambda metric, system: metric.sample(system.outputs, found.references),
        asked,
        least,
    )
