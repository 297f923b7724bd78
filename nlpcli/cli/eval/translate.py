"""`nlpcli eval translate`: BLEU, chrF and TER, with sacreBLEU's options."""

from collections.abc import Callable
from typing import Annotated

from nlpcli.cli.eval.options import Scoring, scoring
from nlpcli.cli.options import MODEL, languages, one_of, option
from nlpcli.errors import UsageError
from nlpcli.metrics import Metric
from nlpcli.metrics.translation import SMOOTHING, TOKENIZERS, Bleu, Chrf, Ter

BLEU, CHRF, TER = "BLEU", "chrF", "TER"
METRICS = ("bleu", "chrf", "chrf++", "ter")
DEFAULT = ("bleu", "chrf", "ter")


@scoring
def translate(
    given: Scoring,
    to: Annotated[
        str | None,
        option(
            "--to",
            metavar="LANG",
            help="The language to translate --data to; a model of one direction knows it.",
            panel=MODEL,
            autocompletion=languages,
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        str,
        option(
            "--from",
            metavar="LANG",
            help="The language of --data.",
            panel=MODEL,
            autocompletion=languages,
        ),
    ] = "auto",
    tokenize: Annotated[
        str,
        option(
            "--tokenize",
            metavar="NAME",
            help=f"Tokenizer of BLEU: {', '.join(TOKENIZERS)}.",
            panel=BLEU,
            autocompletion=one_of(*TOKENIZERS),
        ),
    ] = "13a",
    lowercase: Annotated[
        bool, option("--lowercase", help="BLEU without regard to case.", panel=BLEU)
    ] = False,
    smooth_method: Annotated[
        str,
        option(
            "--smooth-method",
            metavar="NAME",
            help=f"Smoothing of BLEU: {', '.join(SMOOTHING)}.",
            panel=BLEU,
            autocompletion=one_of(*SMOOTHING),
        ),
    ] = "exp",
    smooth_value: Annotated[
        float | None,
        option(
            "--smooth-value",
            metavar="X",
            help="The value of floor (0.1) or add-k (1).",
            panel=BLEU,
            min=0.0,
            show_default=False,
        ),
    ] = None,
    effective_order: Annotated[
        bool,
        option(
            "--effective-order",
            help="Leave n-gram orders without a match out of BLEU.",
            panel=BLEU,
        ),
    ] = False,
    chrf_char_order: Annotated[
        int,
        option("--chrf-char-order", metavar="N", help="Longest n-gram.", panel=CHRF, min=1),
    ] = 6,
    chrf_beta: Annotated[
        int,
        option("--chrf-beta", metavar="N", help="Weight of recall.", panel=CHRF, min=1),
    ] = 2,
    chrf_lowercase: Annotated[
        bool, option("--chrf-lowercase", help="chrF without regard to case.", panel=CHRF)
    ] = False,
    chrf_whitespace: Annotated[
        bool, option("--chrf-whitespace", help="Count spaces as characters.", panel=CHRF)
    ] = False,
    chrf_eps_smoothing: Annotated[
        bool,
        option("--chrf-eps-smoothing", help="Smooth as chrF++.py and Moses do.", panel=CHRF),
    ] = False,
    ter_case_sensitive: Annotated[
        bool, option("--ter-case-sensitive", help="TER with regard to case.", panel=TER)
    ] = False,
    ter_asian_support: Annotated[
        bool,
        option("--ter-asian-support", help="Treat Asian characters as tercom does.", panel=TER),
    ] = False,
    ter_no_punct: Annotated[
        bool, option("--ter-no-punct", help="Leave punctuation out.", panel=TER)
    ] = False,
    ter_normalized: Annotated[
        bool, option("--ter-normalized", help="Normalize and tokenize.", panel=TER)
    ] = False,
) -> None:
    """Score translations: BLEU, chrF, chrF++ and TER, as sacreBLEU computes them.

    The figures, their signatures, the intervals and the p-values are sacreBLEU's.
    """
    from nlpcli.cli.eval import data
    from nlpcli.cli.eval.run import run
    from nlpcli.cli.eval.score import check

    for name, value, known in (
        ("--tokenize", tokenize, TOKENIZERS),
        ("--smooth-method", smooth_method, SMOOTHING),
    ):
        if value not in known:
            raise UsageError(f"{name} {value}: no such value", f"name one of {', '.join(known)}")
    asked, least = check(given, METRICS)
    asked = asked or list(DEFAULT)
    chrf = (chrf_beta, chrf_lowercase, chrf_whitespace, chrf_eps_smoothing)
    make: dict[str, Callable[[], Metric]] = {
        "bleu": lambda: Bleu(tokenize, lowercase, smooth_method, smooth_value, effective_order),
        "chrf": lambda: Chrf(chrf_char_order, 0, *chrf),
        "chrf++": lambda: Chrf(chrf_char_order, 2, *chrf),
        "ter": lambda: Ter(ter_normalized, ter_no_punct, ter_asian_support, ter_case_sensitive),
    }
    options = ("--to", to or _target(given), "--from", from_) if given.model else ()
    fields = ("reference", "references", "target", "translation")
    found = data.read("translate", given, "translation", fields, *options)
    names = list(dict.fromkeys([*asked, *least]))
    run(
        "translate",
        given,
        found,
        [make[name]() for name in names],
        lambda metric, system: metric.sample(system.outputs, found.references),
        asked,
        least,
    )


def _target(given: Scoring) -> str:
    """The language that the models translate to."""
    from nlpcli import registry

    for model in given.model or ():
        languages = registry.find(model).spec.languages
        if len(languages) == 2:
            return languages[1]
    raise UsageError("the models translate to several languages", "name one: --to LANG")
