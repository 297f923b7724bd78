"""What a training run shows: lines where they are read later, a live table on a terminal."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import sys
import termios
import unicodedata
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from nlpcli.cli.finetune import rows
from nlpcli.cli.finetune.view import View
from nlpcli.metrics import Figure
from nlpcli.training.history import History, Loss, Progress, Scores

FIGURES = (Figure("accuracy", "Accuracy", 3), Figure("f1", "macro F1", 3))
READ = [("", "train", "valid"), ("records", "6,920", "872"), ("labels", "2", "2")]
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def scores(epoch: int, accuracy: float, best: bool) -> Scores:
    figures = {"accuracy": accuracy, "f1": accuracy}
    return Scores(100 * epoch, epoch, 1 / epoch, 1.5 / epoch, figures, best, 61.0 * epoch)


def progress(step: int, seconds: float) -> Progress:
    return Progress(step, 300, step / 100, 3, 0.5, 120.0, seconds, 3 * seconds)


RUN = [scores(1, 0.81, True), scores(2, 0.9, True), scores(3, 0.89, False)]


def shown(view: View) -> None:
    """Three epochs, the second the best."""
    with view:
        view.table(READ)
        view.begin(FIGURES)
        for each in RUN:
            view.step(progress(each.step - 50, each.seconds - 30))
            view.told(f"epoch {each.epoch:g} ends\nsoon")
            view.epoch(each)
        losses = [Loss(step, 1 - step / 400) for step in range(20, 320, 20)]
        view.end(History(losses, RUN, "accuracy"))


@given(
    st.integers(0, 10**7), st.integers(1, 10**7), st.floats(0, 500), st.floats(0, 1e6),
    st.sampled_from([nan, 0.5, 1e30]), st.sampled_from([inf, 0.0, 1e5]), st.integers(1, 150),
)  # fmt: skip
def test_the_progress_fits_the_terminal(
    step: int, steps: int, epoch: float, rate: float, loss: float, left: float, width: int
) -> None:
    now = Progress(step, steps, epoch, 3.0, loss, rate, 1e4, left)
    said, (done, rest) = rows.told(now, width), rows.bar(now, width)
    assert len(said) + (done + rest + 2 if done + rest else 0) <= width
    assert min(done, rest) >= 0


@given(
    st.lists(st.tuples(*(st.text(max_size=size) for size in (30, 60, 60))), min_size=1),
    st.integers(12, 120),
)
def test_what_was_read_fits_the_terminal(table: list[tuple[str, ...]], width: int) -> None:
    lines = rows.read(table, width)
    assert len(lines) == len(table)
    assert all(cell_len(line) <= width for line in lines)
    assert not any(unicodedata.category(each) == "Cc" for line in lines for each in line)


def test_columns_that_do_not_fit_go_one_by_one() -> None:
    titles = [column.title for column in rows.columns(FIGURES)]
    assert titles == [
        "epoch", "step", "train loss", "valid loss", "Accuracy", "macro F1", "time",
    ]  # fmt: skip
    for width in range(10, 100):
        chosen = rows.fitting(rows.columns(FIGURES), width)
        assert len(rows.head(chosen)) <= max(width, 7)
        assert len(rows.row(chosen, RUN[0], "*")) == len(rows.head(chosen))
    narrow = [column.title for column in rows.fitting(rows.columns(FIGURES), 45)]
    assert narrow == ["epoch", "valid loss", "Accuracy", "macro F1"]


def test_times_and_losses_as_people_write_them() -> None:
    assert [rows.clock(seconds) for seconds in (0, 59.9, 61, 3600, 90_061)] == [
        "0:00", "0:59", "1:01", "1:00:00", "25:01:01",
    ]  # fmt: skip
    assert [rows.loss(value) for value in (0.25, 123456.0, nan)] == ["0.2500", "1.235e+05", "nan"]


def test_lines_without_control_characters_where_no_terminal_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    shown(View(quiet=False, progress=None))
    lines = error.getvalue().splitlines()
    assert not any(CONTROLS.search(line) for line in lines)
    assert lines[1].split() == ["records", "6,920", "872"]
    table = [line for line in lines[3:] if not line.startswith("nlpcli: ")]
    assert table[0].split()[0] == "epoch"
    assert [line[0] for line in table[1:] if not line.startswith("  step")] == ["*", "*", " "]
    assert "nlpcli: epoch 2 ends soon" in lines


def test_quiet_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    shown(View(quiet=True, progress=None))
    assert error.getvalue() == ""


class Terminal:
    """A pseudo-terminal of 80 columns in the place of standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._file = os.fdopen(theirs, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", self._file)
        monkeypatch.setenv("TERM", "xterm")
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)

    def read(self) -> str:
        """All that was written; ends the terminal."""
        os.set_blocking(self._ours, False)
        said = b""
        try:
            while some := os.read(self._ours, 65536):
                said += some
        except BlockingIOError:
            pass
        self._file.close()
        os.close(self._ours)
        return said.decode()


def test_a_live_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    shown(View(quiet=False, progress=None))
    said = terminal.read()
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1, "the cursor comes back"
    assert "\x1b[1m" in said
    lines = [line for line in re.split("[\r\n]", CONTROLS.sub("", said)) if line]
    assert all(cell_len(line) <= 80 for line in lines)
    heads = [n for n, line in enumerate(lines) if line.split()[:2] == ["epoch", "step"]]
    last = heads[-1]
    table = lines[last + 2 : last + 5]
    assert [line[:1] for line in table] == [" ", "★", " "]
    assert [line[1:].split()[0] for line in table] == ["1", "2", "3"]
    assert any(line.startswith("loss ") and "best" in line for line in lines[last + 5 :])
    assert not any("records/s" in line for line in lines[last:]), "the bar goes"


@pytest.mark.parametrize("variable", ["TERM", "NO_COLOR"])
def test_terminals_that_do_not_obey(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    monkeypatch.setenv(variable, "dumb")
    shown(View(quiet=False, progress=None))
    said = terminal.read()
    if variable == "TERM":
        assert not CONTROLS.search(said)
    else:
        assert not re.search(r"\x1b\[[0-9;]*m", CONTROLS.sub("", said))
        assert not re.search(r"\x1b\[[1-9][0-9;]*m", said)
    assert all(cell_len(line) <= 80 for line in re.split("[\r\n]", CONTROLS.sub("", said)))


def test_a_run_that_is_cut_short_leaves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt), View(quiet=False, progress=None) as view:
        view.begin(FIGURES)
        view.step(progress(10, 5.0))
        raise KeyboardInterrupt
    said = terminal.read()
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1
