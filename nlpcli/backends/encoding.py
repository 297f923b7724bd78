"""What must be known of an encoder besides its weights and tokenizer, whichever backend runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nlpcli.errors import DataError, ModelError

_DEFAULT_POSITIONS = 512  # where positions are relative and neither model nor tokenizer has a limit


class Traits(NamedTuple):
    """`labels` and `multi_label` are those of backends.Encoder. `positions` is the longest
    sequence in tokens, `specials` the number of those that frame a text alone; `types` says
    whether token types tell the second text of a pair from the first."""

    labels: tuple[str, ...]
    multi_label: bool
    positions: int
    specials: int
    types: bool

    @property
    def window(self) -> int:
        return self.positions - self.specials

    def check(self, lengths: Sequence[int]) -> None:
        """Raise DataError if a sequence of so many tokens, specials included, does not fit."""
        longest = max(lengths, default=0)
        if longest > self.positions:
            raise DataError(
                f"a text of {longest - self.specials} tokens is longer than the model's window"
                f" of {self.window}",
                "split it into sentences or paragraphs",
            )


def from_json(made: Mapping[str, Any]) -> Traits:
    """The inverse of Traits._asdict, further keys left aside."""
    fields = {name: made[name] for name in Traits._fields}
    return Traits(**{**fields, "labels": tuple(made["labels"])})


def of_model(model: Any, tokenizer: Any, *, head: bool) -> Traits:
    """The traits of a transformers model, `head` saying whether it has a classification head.

    As in transformers' own pipeline, one logit alone is the sigmoid of one label. Raises
    ModelError for a head that puts out numbers, not labels.
    """
    config = model.config
    labels: tuple[str, ...] = ()
    if head:
        if config.problem_type == "regression":
            raise ModelError(
                "the model puts out a number, not labels (its problem_type is regression)",
                "name a classifier: nlpcli models list --task classify",
            )
        labels = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    return Traits(
        labels,
        head and (config.problem_type == "multi_label_classification" or len(labels) == 1),
        positions_of(model, tokenizer),
        tokenizer.num_special_tokens_to_add(pair=False),
        "token_type_ids" in tokenizer.model_input_names
        and getattr(config, "type_vocab_size", 0) > 1,
    )


def positions_of(model: Any, tokenizer: Any) -> int:
    """The longest sequence in tokens; `model` may be on the meta device."""
    found = [
        getattr(model.config, name, None) for name in ("max_position_embeddings", "n_positions")
    ]
    positions = next((value for value in found if value and value > 0), None)
    if positions is None:
        limit = tokenizer.model_max_length
        return int(limit) if limit < 1e6 else _DEFAULT_POSITIONS
    for name, module in model.named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            positions -= module.padding_idx + 1  # RoBERTa's count begins behind the padding's
            break
    return int(min(positions, tokenizer.model_max_length))
