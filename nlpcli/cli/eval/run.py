"""What every subcommand does once it knows its data and its metrics: score, write, judge."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import typer

from nlpcli.cli import tell
from nlpcli.cli.eval import score
from nlpcli.cli.eval.data import Data
from nlpcli.cli.eval.options import Scoring
from nlpcli.errors import ExitCode
from nlpcli.metrics import Metric
from nlpcli.output import Output

if TYPE_CHECKING:
    from nlpcli.cli.eval.confusion import Classes


def run(
    task: str,
    given: Scoring,
    data: Data,
    metrics: Sequence[Metric],
    take: score.Samples,
    asked: Sequence[str],
    least: dict[str, float],
    *,
    classes: "Mapping[str, Classes]" = MappingProxyType({}),
    draw: Callable[[Any], None] | None = None,
) -> None:
    """Score, write and judge. `classes` says of each system what became of every label, `draw`
    adds to tables. Raises typer.Exit with SCORE where a score is worse than asked for."""
    made = score.report(task, data, metrics, take, given, asked)._replace(classes=classes)
    with Output(given.output) as output:
        for part in _written(made, given, draw):
            output.write(part.encode())
    under = score.missed(made, least)
    for line in under:
        tell(line)
    if under:
        raise typer.Exit(ExitCode.SCORE)


def _written(
    made: score.Report, given: Scoring, more: Callable[[Any], None] | None
) -> Iterable[str]:
    if given.output_format == "table":
        from nlpcli.cli.eval import table

        screen, drawn = table.console(given.output)
        table.draw(made, screen, given.digits)
        if more:
            more(screen)
        if given.by or given.per_record or given.worst:
            from nlpcli.cli.eval import records
        if given.by:
            records.draw_documents(made, screen, given.by, given.digits)
        if given.per_record:
            records.draw(made, screen, given.digits)
        if given.worst:
            records.draw_worst(made, screen, given.worst, given.digits)
        return [f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines()]
    from nlpcli.cli.eval import export

    if given.output_format == "jsonl" or (given.per_record and given.output_format == "json"):
        return export.by_record(made)
    if given.output_format == "json":
        return [export.as_json(made)]
    if given.output_format == "tsv":
        return export.rows_by_record(made) if given.per_record else [export.as_tsv(made)]
    kind = export.as_markdown if given.output_format == "markdown" else export.as_latex
    return [kind(made, given.digits)]
