"""`nlpcli eval summarize`: ROUGE."""

from typing import Annotated

from nlpcli.cli.eval.options import Scoring, scoring
from nlpcli.cli.options import one_of, option
from nlpcli.errors import UsageError
from nlpcli.metrics.rouge import KINDS, Rouge

ROUGE = "ROUGE"
DEFAULT = ("rouge1", "rouge2", "rougeL", "rougeLsum")
TOKENIZERS = ("rouge", "unicode")
PARTS = ("", "-precision", "-recall")


@scoring
def summarize(
    given: Scoring,
    stem: Annotated[
        bool,
        option("--stem/--no-stem", help="Compare the stems of English words.", panel=ROUGE),
    ] = True,
    rouge_tokenizer: Annotated[
        str,
        option(
            "--rouge-tokenizer",
            metavar="NAME",
            help="rouge counts a-z and 0-9 alone, as rouge_score; unicode is for all languages.",
            panel=ROUGE,
            autocompletion=one_of(*TOKENIZERS),
        ),
    ] = "rouge",
) -> None:
    """Score summaries: ROUGE-N, ROUGE-L and ROUGE-Lsum, as rouge_score computes them.

    A line break within a summary, which JSONL can hold, separates sentences for ROUGE-Lsum.
    """
    from nlpcli.cli.eval import data
    from nlpcli.cli.eval.run import run
    from nlpcli.cli.eval.score import check

    if rouge_tokenizer not in TOKENIZERS:
        raise UsageError(
            f"--rouge-tokenizer {rouge_tokenizer}: no such value",
            f"name one of {', '.join(TOKENIZERS)}",
        )
    asked, least = check(given, [kind + part for kind in KINDS for part in PARTS])
    asked = asked or list(DEFAULT)
    kinds = list(dict.fromkeys(name.partition("-")[0] for name in [*asked, *least]))
    found = data.read(
        "summarize", given, "summary", ("reference", "references", "target", "highlights")
    )
    run(
        "summarize",
        given,
        found,
        [Rouge(kinds, stem, "unicode" if rouge_tokenizer == "unicode" else "rouge")],
        lambda metric, system: metric.sample(system.outputs, found.references),
        asked,
        least,
    )
