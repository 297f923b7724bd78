"""The report for other programs: JSON, JSONL by record, Markdown, LaTeX and TSV."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from nlpcli import __version__
from nlpcli.cli.eval.score import Column, Report
from nlpcli.cli.eval.table import number

VERSION = 1
_NUMBER = {"type": ["number", "null"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["format", "version", "nlpcli", "task", "records", "test", "systems"],
    "properties": {
        "format": {"const": "nlpcli-eval"},
        "version": {"const": VERSION},
        "nlpcli": {"type": "string"},
        "task": {"enum": ["translate", "summarize", "classify", "generate"]},
        "records": {"type": "integer", "minimum": 1},
        "test": {"enum": ["bootstrap", "randomization", None]},
        "systems": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "scores"],
                "properties": {
                    "name": {"type": "string"},
                    "scores": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": [
                                *("metric", "title", "score", "higher_is_better", "signature"),
                            ],
                            "properties": {
                                "metric": {"type": "string"},
                                "title": {"type": "string"},
                                "score": _NUMBER,
                                "higher_is_better": {"type": "boolean"},
                                "signature": {"type": "string"},
                                "interval": {
                                    "type": "object",
                                    "required": ["mean", "half", "low", "high"],
                                    "properties": dict.fromkeys(
                                        ("mean", "half", "low", "high"), _NUMBER
                                    ),
                                },
                                "p_value": {"type": "number", "minimum": 0, "maximum": 1},
                            },
                            "additionalProperties": False,
                        },
                    },
                    "documents": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["document", "records", "scores"],
                            "properties": {
                                "document": {"type": "string"},
                                "records": {"type": "integer", "minimum": 1},
                                "scores": {"type": "object", "additionalProperties": _NUMBER},
                            },
                            "additionalProperties": False,
                        },
                    },
                    "classes": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["label", "precision", "recall", "f1", "support"],
                            "properties": {
                                "label": {"type": "string"},
                                **dict.fromkeys(("precision", "recall", "f1"), _NUMBER),
                                "support": {"type": "integer", "minimum": 0},
                            },
                            "additionalProperties": False,
                        },
                    },
                    "confusion": {
                        "description": "a row for each gold label, in the order of classes",
                        "type": "array",
                        "items": {"type": "array", "items": {"type": "integer"}},
                    },
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
"""The JSON Schema of `as_json`; a reader may count on it as long as the version is the same."""
_LATEX = {
    "\\": r"\textbackslash{}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def as_json(made: Report) -> str:
    """The whole report as one object; the manual has its schema."""
    envelope = {
        "format": "nlpcli-eval",
        "version": VERSION,
        "nlpcli": __version__,
        "task": made.task,
        "records": len(made.data.references),
        "test": None if made.test == "none" else made.test,
        "systems": [
            {
                "name": system.name,
                "scores": [_score(column, row) for column in made.columns],
                **_documents(made, row),
                **_classes(made, system.name),
            }
            for row, system in enumerate(made.data.systems)
        ],
    }
    return json.dumps(envelope, ensure_ascii=False, indent=1) + "\n"


def _documents(made: Report, row: int) -> dict[str, Any]:
    """The scores of every document, where they were asked for."""
    columns = [(c.figure.name, c.by_document[row]) for c in made.columns if c.by_document]
    documents = [
        {
            "document": name,
            "records": len(places),
            "scores": {name: _finite(values[place]) for name, values in columns},
        }
        for place, (name, places) in enumerate(made.documents.items())
    ]
    return {"documents": documents} if documents else {}


def _classes(made: Report, name: str) -> dict[str, Any]:
    """What became of every label, for classification."""
    found = made.classes.get(name)
    if found is None:
        return {}
    told: dict[str, Any] = {"classes": [row._asdict() for row in found.rows]}
    return told if found.counts is None else {**told, "confusion": found.counts}


def _score(column: Column, row: int) -> dict[str, Any]:
    score = column.scores[row]
    told: dict[str, Any] = {
        "metric": column.figure.name,
        "title": column.figure.title,
        "score": _finite(score.value),
        "higher_is_better": column.figure.higher,
        "signature": column.signature,
    }
    if score.interval:
        told["interval"] = {name: _finite(n) for name, n in score.interval._asdict().items()}
    if score.p_value is not None:
        told["p_value"] = score.p_value
    return told


def by_record(made: Report) -> Iterator[str]:
    """A line for each record of each system: its output, its references and its scores."""
    columns = [(column.figure.name, column.by_record()) for column in made.columns]
    for row, system in enumerate(made.data.systems):
        for place, (output, references) in enumerate(
            zip(system.outputs, made.data.references, strict=True)
        ):
            told = {
                "system": system.name,
                "record": place + 1,
                "output": output,
                "references": references,
                "scores": {
                    name: value
                    for name, scores in columns
                    if (value := _finite(scores[row][place])) is not None
                },
            }
            yield json.dumps(told, ensure_ascii=False) + "\n"


def rows_by_record(made: Report) -> Iterator[str]:
    """A row for each record of each system, with all digits; empty where a figure has none."""
    columns = [column for column in made.columns if has_records(column)]
    yield "\t".join(["system", "record", *(c.figure.name for c in columns), "output"]) + "\n"
    scores = [column.by_record() for column in columns]
    for row, system in enumerate(made.data.systems):
        for place, output in enumerate(system.outputs):
            values = [_finite(each[row][place]) for each in scores]
            told = ["" if value is None else str(value) for value in values]
            cells = [_cell(system.name), str(place + 1), *told, _cell(output)]
            yield "\t".join(cells) + "\n"


def has_records(column: Column) -> bool:
    """Whether the figure says something of some single record."""
    return any(math.isfinite(value) for scores in column.by_record() for value in scores)


def _cell(text: str) -> str:
    return " ".join(re.split(r"[\t\r\n]", text))


def as_tsv(made: Report) -> str:
    """A row for each figure of each system, with all digits."""
    lines = ["system\tmetric\tscore\tmean\thalf\tp_value\tsignature"]
    for column in made.columns:
        for system, score in zip(made.data.systems, column.scores, strict=True):
            mean, half = (score.interval.mean, score.interval.half) if score.interval else ("", "")
            p_value = "" if score.p_value is None else score.p_value
            cells = (
                _cell(system.name),
                column.figure.name,
                score.value,
                mean,
                half,
                p_value,
                column.signature,
            )
            lines.append("\t".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def as_markdown(made: Report, digits: int | None) -> str:
    """A table with a row for each system, and the signatures below."""
    head, *rows = _rows(made, digits)
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (head, *rows)]
    rule = ["---", *("---:" for _ in head[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:])]
    notes = [f"- {names}: `{signature}`" for signature, names in _signatures(made)]
    return "\n".join([*lines, "", *notes]) + "\n"


def as_latex(made: Report, digits: int | None) -> str:
    """A tabular environment, with the signatures as comments."""
    head, *rows = [[_latex(cell) for cell in row] for row in _rows(made, digits)]
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\hline"]
    lines += [" & ".join(head) + r" \\", r"\hline"]
    lines += [" & ".join(row) + r" \\" for row in rows]
    lines += [r"\hline", r"\end{tabular}"]
    lines += [f"% {names}: {signature}" for signature, names in _signatures(made)]
    return "\n".join(lines) + "\n"


def _rows(made: Report, digits: int | None) -> Iterator[list[str]]:
    yield ["system", *(column.figure.title for column in made.shown)]
    for row, system in enumerate(made.data.systems):
        cells = []
        for column in made.shown:
            score = column.scores[row]
            told = number(score.value, column, digits)
            if score.interval:
                told += f" ± {number(score.interval.half, column, digits)}"
            if score.p_value is not None:
                told += f" (p {score.p_value:.3f})"
            cells.append(told)
        yield [" ".join(system.name.split()), *cells]


def _signatures(made: Report) -> Iterator[tuple[str, str]]:
    owners: dict[str, list[str]] = {}
    for column in made.shown:
        owners.setdefault(column.signature, []).append(column.figure.title)
    for signature, titles in owners.items():
        yield signature, ", ".join(titles)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text).replace("±", r"$\pm$")


def _finite(value: float) -> float | None:
    """JSON has no nan."""
    return value if math.isfinite(value) else None
