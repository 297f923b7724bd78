"""`nlpcli finetune`: from a plain file to a model, a subcommand for each task."""

import typer

from nlpcli.cli.finetune.tasks import classify, generate, pretrain, summarize, translate

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a model on a plain file, and give it a name that every other command knows.",
)
for command in (classify, translate, summarize, generate, pretrain):
    app.command(command.__name__)(command)
