"""What every subcommand does once it knows its data and its metrics: score, write, judge."""

from collections.abc import Sequence

import typer

from nlpcli.cli import tell
from nlpcli.cli.eval import score
from nlpcli.cli.eval.data import Data
from nlpcli.cli.eval.options import Scoring
from nlpcli.errors import ExitCode
from nlpcli.metrics import Metric
from nlpcli.writing import Output


def run(
    task: str,
    given: Scoring,
    data: Data,
    metrics: Sequence[Metric],
    take: score.Samples,
    asked: Sequence[str],
    least: dict[str, float],
) -> None:
    """Raises typer.Exit with SCORE where a score is worse than asked for."""
    made = score.report(task, data, metrics, take, given, asked)
    with Output(given.output) as output:
        for part in _written(made, given):
            output.write(part.encode())
    under = score.missed(made, least)
    for line in under:
        tell(line)
    if under:
        raise typer.Exit(ExitCode.SCORE)


def _written(made: score.Report, given: Scoring) -> Sequence[str]:
    if given.output_format == "table":
        from nlpcli.cli.eval import table, worst

        screen, drawn = table.console(given.output)
        table.draw(made, screen, given.digits)
        if given.worst:
            worst.draw(made, screen, given.worst, given.digits)
        return [f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines()]
    from nlpcli.cli.eval import export

    if given.output_format == "json":
        return [export.as_json(made)]
    if given.output_format == "jsonl":
        return list(export.by_record(made))
    if given.output_format == "tsv":
        return [export.as_tsv(made)]
    kind = export.as_markdown if given.output_format == "markdown" else export.as_latex
    return [kind(made, given.digits)]
