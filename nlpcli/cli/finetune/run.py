"""What every task of `nlpcli finetune` does: train, show how it goes, and print the folder."""

import typer

from nlpcli import notice
from nlpcli.cli.finetune.options import Run
from nlpcli.errors import NlpcliError, UsageError
from nlpcli.training.recipe import Recipe


def run(given: Run, recipe: Recipe) -> None:
    """Train as `recipe` says and print the model's name and folder."""
    from nlpcli.cli.finetune.view import View
    from nlpcli.training import run as training
    from nlpcli.training.processes import Gone, processes

    if not given.name:
        raise UsageError("the model has no name", "give it one: --name NAME")
    if given.report_to not in ("none", "tensorboard"):
        raise UsageError(f"--report-to {given.report_to}: no such value", "name tensorboard")
    first = processes().first
    notice.quiet = given.quiet or not first
    device = training.device(given.device, recipe.dtype, given.threads)
    job = training.Job(
        given.name, device, given.offline, given.overwrite, given.resume, given.report_to
    )
    if first:
        with View(given.quiet, given.progress) as view:
            folder = training.train(recipe, job, view)
        print(f"{given.name}\t{folder}")
        return
    try:
        training.train(recipe, job, View(True, False))
    except Gone:
        raise
    except NlpcliError as error:  # which the first process tells
        raise typer.Exit(error.code) from error
