"""The outputs of one batch of prompts while CTranslate2 writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ctranslate2

from nlpcli.backends.draft import Alternatives, Draft


class Writing:
    """CTranslate2 calls it with each token of a batch: rows 0, 1, … go to `drafts`, those beyond
    stand for nothing. `told` gets each piece of text, and whether it is the last.

    `alternatives` is how many of the likeliest tokens to note for each. The logits of a step are
    in rows of which CTranslate2 says nothing but that the first belongs to the first prompt that
    is not finished, so with alternatives there may be one draft only.
    """

    def __init__(
        self,
        drafts: Sequence[Draft],
        alternatives: int = 0,
        told: Callable[[tuple[str, bool]], object] | None = None,
    ) -> None:
        self.drafts = drafts
        self.closed = False
        """Set where nobody waits for the outputs any more."""
        self._alternatives, self._told = alternatives, told

    def __call__(self, step: Any) -> bool:
        """Whether the row of this token is to stop."""
        if self.closed or step.batch_id >= len(self.drafts):
            return True
        draft: Draft = self.drafts[step.batch_id]
        if self._alternatives:
            logprob, top = _likeliest(step, self._alternatives)
            piece = draft.add(step.token_id, logprob, top)
        else:
            piece = draft.add(step.token_id, step.log_prob)
        if self._told:
            self._told((piece, step.is_last or draft.stopped))
        return draft.stopped


def _likeliest(step: Any, count: int) -> tuple[float, Alternatives]:
    """The log-probability of the token of `step`, and the likeliest tokens in its place."""
    import numpy

    logits = step.logits
    if logits.device != "cpu":
        logits = logits.to_device(ctranslate2.Device.cpu)
    row = numpy.asarray(logits)[0].astype(numpy.float64)
    row -= row.max()
    every = row - numpy.log(numpy.exp(row).sum())
    # Of equals the one that was chosen is the first.
    own = numpy.arange(len(every)) != step.token_id
    best = numpy.lexsort((own, -every))[:count]
    return float(every[step.token_id]), [(int(index), float(every[index])) for index in best]
