"""The figures of outputs that a model wrote, for each task."""

from __future__ import annotations

from collections.abc import Sequence

from nlpcli.metrics import Figure

_BLEU = (Figure("bleu", "BLEU"), Figure("chrf", "chrF2"))
_ROUGE = tuple(Figure(name, f"ROUGE-{name[5:]}", 2) for name in ("rouge1", "rouge2", "rougeL"))
FIGURES: dict[str, tuple[tuple[Figure, ...], str]] = {
    "translate": (_BLEU, "bleu"),
    "summarize": (_ROUGE, "rougeL"),
}
"""By task the figures, and the one that decides."""


def scores(
    task: str, outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """The figures of `task` by name, as `nlpcli eval` gives them by default."""
    from nlpcli.metrics.rouge import Rouge
    from nlpcli.metrics.translation import Bleu, Chrf

    metrics = [Bleu(), Chrf()] if task == "translate" else [Rouge(("rouge1", "rouge2", "rougeL"))]
    found: dict[str, float] = {}
    for metric in metrics:
        sample = metric.sample(outputs, references)
        names = (figure.name for figure in metric.figures)
        found |= dict(zip(names, sample.scores(), strict=True))
    return {figure.name: found[figure.name] for figure in FIGURES[task][0]}
