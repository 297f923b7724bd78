"""`nlpcli eval`: scores outputs against references, a subcommand for each task."""

import typer

from nlpcli.cli.eval.classify import classify
from nlpcli.cli.eval.generate import generate
from nlpcli.cli.eval.logprobs import logprobs
from nlpcli.cli.eval.summarize import summarize
from nlpcli.cli.eval.translate import translate

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Score outputs against references, with confidence intervals and significance.",
)
for command in (translate, summarize, classify, generate):
    app.command(command.__name__)(command)
app.command(logprobs.__name__, hidden=True)(logprobs)
