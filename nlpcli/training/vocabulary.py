"""New vocabularies: what sentencepiece learns from a text, as the tokenizer of a family has it."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nlpcli.errors import DataError

KINDS = ("seq2seq", "causal", "masked")
SAMPLE_LINES = 500_000
_LINE_CHARACTERS = 1000  # at most 4000 bytes: sentencepiece leaves out lines beyond 4192
_BYTES = [f"<0x{value:02X}>" for value in range(256)]

# The ids are those of Marian, Llama and XLM-RoBERTa. A control symbol is never learned from the
# text; the one named here moves to the end, as their vocabularies have it.
_OPTIONS: dict[str, dict[str, Any]] = {
    "seq2seq": {"eos_id": 0, "unk_id": 1, "bos_id": -1, "control_symbols": ["<pad>"]},
    "causal": {
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": 3,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "allow_whitespace_only_pieces": True,
        "user_defined_symbols": ["\n", "\t"],
        "required_chars": "<0x123456789ABCDEF>",  # so that a byte's name can be spelt out
    },
    "masked": {
        "bos_id": 0,
        "pad_id": 1,
        "eos_id": 2,
        "unk_id": 3,
        "control_symbols": ["<mask>"],
    },
}


def vocabulary(texts: Iterable[str], kind: str, size: int, seed: int = 1) -> bytes:
    """The sentencepiece unigram model for one of KINDS, of at most `size` tokens, special ones
    included; fewer where the text gives no more.

    The same texts give the same model. Where they have more than SAMPLE_LINES lines, so many are
    drawn from all with `seed`. Raises DataError where a vocabulary cannot be made of the text.
    """
    from sentencepiece import SentencePieceTrainer

    lines = _drawn(_lines(texts), SAMPLE_LINES, seed)
    if not lines:
        raise DataError("there is no text to make a vocabulary from", "give some lines of text")
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            vocab_size=size,
            hard_vocab_limit=False,
            num_threads=1,  # their number changes the sums, and so the model
            minloglevel=2,
            **_OPTIONS[kind],
        )
    except RuntimeError as error:
        raise _refused(str(error), size) from error
    return model.getvalue()


def save_tokenizer(model: bytes, kind: str, folder: Path, window: int) -> Any:
    """Write the tokenizer of the sentencepiece `model` into `folder`, as the family is published;
    the tokenizer as transformers loads it from there. `window` is in tokens."""
    from transformers import AutoTokenizer

    from nlpcli.backends.ct2.convert import quiet

    with quiet():
        {"seq2seq": _marian, "causal": _llama, "masked": _xlm_roberta}[kind](model, folder, window)
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines that say something, long ones in parts."""
    for text in texts:
        for line in text.split("\n"):
            for start in range(0, len(line), _LINE_CHARACTERS):
                part = line[start : start + _LINE_CHARACTERS]
                if part.strip():
                    yield part


def _drawn(lines: Iterable[str], most: int, seed: int) -> list[str]:
    """`most` of `lines`, each as likely as any other, or all where there are no more (reservoir
    sampling: Vitter's algorithm R)."""
    pick = random.Random(seed)
    kept: list[str] = []
    for count, line in enumerate(lines):
        if count < most:
            kept.append(line)
        elif (place := pick.randrange(count + 1)) < most:
            kept[place] = line
    return kept


def _refused(said: str, size: int) -> DataError:
    if "required_chars" in said:
        return DataError(
            f"a vocabulary of {size} tokens has no room for all characters of the text",
            "choose a larger one",
        )
    reason = (said.strip() or "no reason given").splitlines()[0]
    return DataError(f"sentencepiece makes no vocabulary of this text: {reason}", "give more text")


def _pieces(model: bytes, kind: str) -> list[tuple[str, float]]:
    """The tokens by id, each with its log-probability (natural; 0 for special ones)."""
    from sentencepiece import SentencePieceProcessor

    learned = SentencePieceProcessor(model_proto=model)
    pieces = [
        (learned.id_to_piece(index), learned.get_score(index)) for index in range(len(learned))
    ]
    last = _OPTIONS[kind].get("control_symbols", [])
    return sorted(pieces, key=lambda piece: piece[0] in last)


def _marian(model: bytes, folder: Path, window: int) -> None:
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(model)
    ids = {piece: index for index, (piece, _) in enumerate(_pieces(model, "seq2seq"))}
    config = {"tokenizer_class": "MarianTokenizer", "model_max_length": window}
    for name, content in (("vocab.json", ids), ("tokenizer_config.json", config)):
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _llama(model: bytes, folder: Path, window: int) -> None:
    """A tokenizer that gives back every text as it was; only a special token that is spelt out is
    taken for the token. It puts nothing in front: a running text begins anywhere.

    Pieces hold spaces where sentencepiece writes ▁, so that a ▁ of the text stays one.
    """
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    # To the tokenizers library bytes are pieces like others, found in a text that names one. As
    # improbable as this, the name is always spelt out.
    bytes_ = dict.fromkeys(_BYTES, -1000.0)
    pieces = [
        (piece.replace("▁", " "), bytes_.get(piece, score))
        for piece, score in _pieces(model, "causal")
    ]
    raw = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=window,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def _xlm_roberta(model: bytes, folder: Path, window: int) -> None:
    from sentencepiece.sentencepiece_model_pb2 import ModelProto
    from tokenizers import normalizers
    from transformers import XLMRobertaTokenizer

    made = XLMRobertaTokenizer(vocab=_pieces(model, "masked"), model_max_length=window)
    rules = ModelProto.FromString(model).normalizer_spec.precompiled_charsmap
    made.backend_tokenizer.normalizer = normalizers.Precompiled(rules)
    made.save_pretrained(folder)
