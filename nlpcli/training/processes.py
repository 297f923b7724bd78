"""The processes of one run, as torchrun starts them: which one this is, and how many there are."""

from __future__ import annotations

import os
from typing import NamedTuple

from nlpcli.errors import NlpcliError


class Gone(NlpcliError):
    """Another process of the run has ended, so that this one cannot go on."""


class Processes(NamedTuple):
    """`rank` of `world` processes on all machines, `local` of `here` on this one."""

    rank: int = 0
    world: int = 1
    local: int = 0
    here: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that tells, saves and registers."""
        return self.rank == 0


def processes() -> Processes:
    """What torchrun's variables say; one process where they are not there."""
    if "LOCAL_RANK" not in os.environ:
        return Processes()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Processes(*(int(os.environ[name]) for name in names))
