"""Equal texts of a job are computed once."""

from __future__ import annotations

from collections.abc import Iterable

from nlpcli.tasks import Answer, Text

Cell = list[Answer]
"""Where an answer will be: empty until it is there."""

_CHARACTERS = 1 << 22
_ENTRY = 200  # what an entry costs beside its text, in characters


class Once:
    """Remembers texts up to `characters` of them altogether (0: none), the least recently seen
    go first. Not for several threads."""

    def __init__(self, characters: int = _CHARACTERS) -> None:
        self._free = characters
        self._cells: dict[Text, Cell] = {}

    def cells(self, texts: Iterable[Text]) -> tuple[list[Cell], list[Text], list[Cell]]:
        """A cell for each text; then the texts that must be computed, and the cells for these."""
        all_cells: list[Cell] = []
        new: list[Text] = []
        new_cells: list[Cell] = []
        for text in texts:
            cell = self._cells.pop(text, None)
            if cell is None:
                cell = []
                new.append(text)
                new_cells.append(cell)
                self._free -= _size(text)
            self._cells[text] = cell
            all_cells.append(cell)
            while self._free < 0:
                oldest = next(iter(self._cells))
                del self._cells[oldest]
                self._free += _size(oldest)
        return all_cells, new, new_cells


def _size(text: Text) -> int:
    parts = (text,) if isinstance(text, str) else (said for _, said in text)
    return _ENTRY + sum(map(len, parts))
