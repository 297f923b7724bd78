"""Which records make up each step: the same for a seed, however many processes share a step."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_POOL = 64  # batches whose records are sorted by length together


class Steps:
    """The steps of one epoch after another, each a list of places in `lengths` (tokens).

    With `size`, a step has so many records; with `tokens`, as many as fit that budget when all are
    padded to the longest. Records of like length go together, shuffled anew each epoch by `seed`
    and `epoch`; the number of steps is that of every epoch. Of each step this process, `rank` of
    `world`, gets every world-th record: none at all, where a step has fewer than processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        size: int = 0,
        tokens: int = 0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._lengths, self._size, self._tokens = lengths, size, tokens
        self._seed, self._rank, self._world = seed, rank, world
        self.epoch = 0
        self._count = len(self._whole())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._whole():
            yield batch[self._rank :: self._world]

    def _whole(self) -> list[list[int]]:
        """The steps of `epoch` for all processes together."""
        draw = random.Random(f"{self._seed} {self.epoch}")
        order = list(range(len(self._lengths)))
        draw.shuffle(order)
        batches = self._by_tokens(order) if self._tokens else self._by_size(order)
        draw.shuffle(batches)
        return batches

    def _by_size(self, order: list[int]) -> list[list[int]]:
        batches = []
        pool = self._size * _POOL
        for start in range(0, len(order), pool):
            near = sorted(order[start : start + pool], key=self._lengths.__getitem__)
            batches += [near[at : at + self._size] for at in range(0, len(near), self._size)]
        return batches

    def _by_tokens(self, order: list[int]) -> list[list[int]]:
        """Where one batch ends and the next begins depends on the lengths alone, so that only
        records of one length change places from epoch to epoch."""
        batches: list[list[int]] = []
        for place in sorted(order, key=self._lengths.__getitem__):
            batch = batches[-1] if batches else None
            if batch is not None and (len(batch) + 1) * self._lengths[place] <= self._tokens:
                batch.append(place)
            else:
                batches.append([place])
        return batches
