"""Exit codes, and the nearest names."""

from __future__ import annotations

import pytest

from nlpcli.errors import (
    EXIT_MEANINGS,
    DataError,
    DeviceError,
    ExitCode,
    ModelError,
    NlpcliError,
    UsageError,
    did_you_mean,
    nearest,
)


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)
    assert all(meaning.endswith(".") for meaning in EXIT_MEANINGS.values())


@pytest.mark.parametrize(
    ("kind", "code"),
    [(NlpcliError, 1), (UsageError, 2), (ModelError, 3), (DataError, 4), (DeviceError, 5)],
)
def test_errors_carry_their_code_message_and_hint(kind: type[NlpcliError], code: int) -> None:
    error = kind("what happened", "what to do")
    assert (error.code, str(error), error.hint) == (code, "what happened", "what to do")
    assert kind("what happened").hint == ""


def test_the_nearest_names() -> None:
    names = ["bergamot-en-pt", "bergamot-pt-en", "minilm-l6"]
    assert nearest("bergamot-en-tp", names, limit=1) == ["bergamot-en-pt"]
    assert did_you_mean("minilm", names) == "did you mean minilm-l6?"
    both = "did you mean bergamot-en-pt or bergamot-pt-en?"
    assert did_you_mean("bergamot-en", names) == both
    assert did_you_mean("quite other", names) == ""
