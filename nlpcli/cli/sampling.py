"""The options of how a language model answers, which `generate` and `chat` share."""

from typing import Annotated

from nlpcli.cli.options import option

GENERATION = "Generation"

System = Annotated[
    str,
    option(
        "--system",
        metavar="TEXT",
        help="A system message before the prompt.",
        panel=GENERATION,
        show_default=False,
    ),
]
TopP = Annotated[
    float | None,
    option(
        "--top-p",
        metavar="P",
        help="Sample from the likeliest tokens that make up P of the probability. [default: 1]",
        panel=GENERATION,
        min=0.0,
        max=1.0,
        show_default=False,
    ),
]
TopK = Annotated[
    int | None,
    option(
        "--top-k",
        metavar="K",
        help="Sample from the K likeliest tokens; 0: all. [default: 0]",
        panel=GENERATION,
        min=0,
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    option(
        "--seed",
        metavar="N",
        help="The same N samples the same; random by default.",
        panel=GENERATION,
        min=0,
        show_default=False,
    ),
]
Stop = Annotated[
    list[str] | None,
    option(
        "--stop",
        metavar="TEXT",
        help=r"End before TEXT (\n and \t are understood); may be given several times.",
        panel=GENERATION,
        show_default=False,
    ),
]
