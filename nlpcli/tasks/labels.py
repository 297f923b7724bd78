"""The labels to choose from: as the user lists them, or from a file, each with a description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nlpcli.errors import UsageError

_FORMS = 'such as ["yes", "no"], or with descriptions {"yes": "agrees", "no": "does not"}'


class Label(NamedTuple):
    """`name` is what is put out; `description`, where there is one, is what texts are compared
    with in its place."""

    name: str
    description: str = ""

    @property
    def text(self) -> str:
        r"""What a model reads: the description, else the name with `_` as spaces."""
        return self.description or self.spaced

    @property
    def spaced(self) -> str:
        """The name with `_` as spaces."""
        return " ".join(self.name.replace("_", " ").split()) or self.name


def listed(value: str) -> tuple[Label, ...]:
    r"""The labels of a list such as `a,b,c`; `\,` is a comma within one, `\\` a backslash.

    Raises UsageError.
    """
    fields = [""]
    for part in re.findall(r"\\[,\\]|.", value, re.DOTALL):
        if part == ",":
            fields.append("")
        else:
            fields[-1] += part[-1]
    return checked((Label(field.strip()) for field in fields), "--labels")


def from_file(path: str) -> tuple[Label, ...]:
    """The labels of a file: a label on each line, a tab and its description after it; or, where
    the name ends in `.json`, a list of labels or an object of labels and descriptions.

    Raises UsageError.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(
            f"{path}: not valid UTF-8", "convert it: iconv -f ENCODING -t UTF-8"
        ) from None
    except OSError as error:
        raise UsageError(
            f"--labels-file {path}: {error.strerror or error}",
            "name a file with a label on each line; --labels a,b,c takes the labels themselves",
        ) from error
    if path.lower().endswith(".json"):
        return checked(_of_json(path, text), path)
    rows = (line.partition("\t") for line in text.split("\n") if line.strip())
    return checked((Label(name.strip(), told.strip()) for name, _, told in rows), path)


def checked(labels: Iterable[Label], where: str) -> tuple[Label, ...]:
    """`labels`, none of them empty, each there once. Raises UsageError."""
    found = tuple(labels)
    if not found:
        raise UsageError(f"{where}: no labels", "name two or more, such as --labels yes,no")
    seen: set[str] = set()
    for label in found:
        if not label.name:
            hint = r"commas stand between labels; \, is one" if where == "--labels" else "name it"
            raise UsageError(f"{where}: an empty label", hint)
        if label.name in seen:
            raise UsageError(f"{where}: the label {label.name} is there twice", "leave one out")
        if re.search("[\ud800-\udfff]", label.name + label.description):
            raise UsageError(f"{where}: a label that is not valid UTF-8")
        seen.add(label.name)
    return found


def _of_json(path: str, text: str) -> list[Label]:
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid JSON: {error}", _FORMS) from None
    listed = [(name, "") for name in value] if isinstance(value, list) else []
    pairs = list(value.items()) if isinstance(value, dict) else listed
    if not isinstance(value, dict | list) or not all(
        isinstance(name, str) and isinstance(told, str) for name, told in pairs
    ):
        raise UsageError(f"{path}: no labels as JSON has them", _FORMS)
    return [Label(name.strip(), told.strip()) for name, told in pairs]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of `pairs`, in which no key may come twice. Raises ValueError."""
    for place, (name, _) in enumerate(pairs):
        if any(name == other for other, _ in pairs[:place]):
            raise ValueError(f"the key {json.dumps(name)} is there twice")
    return dict(pairs)
