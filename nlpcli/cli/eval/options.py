"""The options that the subcommands of `nlpcli eval` share."""

from typing import Annotated, NamedTuple

import typer

from nlpcli.cli.options import (
    BACKEND,
    DEVICE,
    DTYPE,
    INPUT,
    MODEL,
    OFFLINE,
    model_names,
    one_of,
    option,
    taking,
)
from nlpcli.metrics.significance import BOOTSTRAP_DRAWS, RANDOMIZATION_DRAWS, SEED
from nlpcli.records import FORMATS

REPORT = "Report"
SIGNIFICANCE = "Significance"
LIKELIHOOD = "Perplexity"
REPORTS = ("table", "json", "jsonl", "markdown", "latex", "tsv")
PAIRED = ("bootstrap", "randomization", "none")


class Scoring(NamedTuple):
    """The options of every task's scores."""

    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTION...]",
            help="Options for the command that runs the models, behind two dashes.",
            show_default=False,
        ),
    ] = None
    hyp: Annotated[
        list[str] | None,
        option(
            "--hyp",
            metavar="FILE",
            help="Outputs to score, a record each; given several times: several systems, the "
            "first of which is the baseline.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    ref: Annotated[
        list[str] | None,
        option(
            "--ref",
            metavar="FILE",
            help="References, in the order of the outputs; given several times: several "
            "references. By default they are fields of the outputs.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    input_format: Annotated[
        str,
        option(
            "--input-format",
            "-i",
            metavar="FORMAT",
            help="text, jsonl, csv or tsv; auto goes by the file's ending.",
            panel=INPUT,
            autocompletion=one_of("auto", *FORMATS),
        ),
    ] = "auto"
    hyp_field: Annotated[
        str | None,
        option(
            "--hyp-field",
            metavar="NAME",
            help="The field that holds the output; by default the one that the command adds.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    ref_field: Annotated[
        str | None,
        option(
            "--ref-field",
            metavar="NAME",
            help="The field that holds the reference, or a list of them in JSONL.",
            panel=INPUT,
            show_default=False,
        ),
    ] = None
    model: Annotated[
        list[str] | None,
        option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Run MODEL over --data and score what it puts out; given several times: several "
            "systems. Outputs are kept, so that another metric costs no run.",
            panel=MODEL,
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None
    data: Annotated[
        str | None,
        option(
            "--data",
            metavar="FILE",
            help="What the models are run over; it may hold the references too.",
            panel=MODEL,
            show_default=False,
        ),
    ] = None
    field: Annotated[
        str | None,
        option(
            "--field",
            metavar="NAME",
            help="The field of --data to work on; by default text, source, document or prompt.",
            panel=MODEL,
            show_default=False,
        ),
    ] = None
    fresh: Annotated[
        bool,
        option("--fresh", help="Run the models again where outputs are kept.", panel=MODEL),
    ] = False
    device: Annotated[str, DEVICE] = "auto"
    backend: Annotated[str, BACKEND] = "auto"
    dtype: Annotated[str, DTYPE] = "auto"
    offline: Annotated[bool, OFFLINE] = False
    metric: Annotated[
        list[str] | None,
        option(
            "--metric",
            metavar="A,B,C",
            help="The metrics to compute.",
            panel=REPORT,
            show_default=False,
        ),
    ] = None
    output_format: Annotated[
        str,
        option(
            "--output-format",
            "-f",
            metavar="FORMAT",
            help=f"{', '.join(REPORTS)}; jsonl tells each record's scores.",
            panel=REPORT,
            autocompletion=one_of(*REPORTS),
        ),
    ] = "table"
    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to FILE, which appears when all is done.",
            panel=REPORT,
            show_default=False,
        ),
    ] = None
    digits: Annotated[
        int | None,
        option(
            "--digits",
            metavar="N",
            help="Decimals in tables; by default what is usual for the metric.",
            panel=REPORT,
            min=0,
            max=12,
            show_default=False,
        ),
    ] = None
    worst: Annotated[
        int,
        option(
            "--worst",
            metavar="K",
            help="Show the K records that score least by the first metric.",
            panel=REPORT,
            min=0,
        ),
    ] = 0
    by: Annotated[
        str | None,
        option(
            "--by",
            metavar="NAME",
            help="Tell the scores of each document too: of the records with one value in the field "
            "NAME of the data, the outputs or the references.",
            panel=REPORT,
            show_default=False,
        ),
    ] = None
    per_record: Annotated[
        bool,
        option("--per-record", help="Tell the scores of each record.", panel=REPORT),
    ] = False
    fail_under: Annotated[
        list[str] | None,
        option(
            "--fail-under",
            metavar="METRIC=VALUE",
            help="Exit with 6 where a system's score is worse than VALUE; may be given several "
            "times.",
            panel=REPORT,
            show_default=False,
        ),
    ] = None
    ci: Annotated[
        bool | None,
        option(
            "--ci/--no-ci",
            help="Tell 95 % confidence intervals; by default where there are several systems.",
            panel=SIGNIFICANCE,
            show_default=False,
        ),
    ] = None
    paired: Annotated[
        str,
        option(
            "--paired",
            metavar="TEST",
            help=f"How each system is tested against the first: {', '.join(PAIRED)}.",
            panel=SIGNIFICANCE,
            autocompletion=one_of(*PAIRED),
        ),
    ] = "bootstrap"
    draws: Annotated[
        int | None,
        option(
            "--draws",
            metavar="N",
            help=f"Draws of the intervals and of the test. [default: {BOOTSTRAP_DRAWS}; "
            f"{RANDOMIZATION_DRAWS} of a randomization]",
            panel=SIGNIFICANCE,
            min=1,
            show_default=False,
        ),
    ] = None
    seed: Annotated[
        int, option("--seed", metavar="N", help="Seed of the draws.", panel=SIGNIFICANCE, min=0)
    ] = SEED


scoring = taking(*Scoring._fields, kind=Scoring)
Window = Annotated[
    int,
    option(
        "--window",
        metavar="N",
        help="Tokens that the model reads at once; 0: as many as it can.",
        panel=LIKELIHOOD,
        min=0,
    ),
]
Stride = Annotated[
    int,
    option(
        "--stride",
        metavar="N",
        help="Tokens from one window to the next; 0: half a window.",
        panel=LIKELIHOOD,
        min=0,
    ),
]
