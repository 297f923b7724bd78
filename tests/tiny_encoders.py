"""Tiny random encoders and classifiers, each in a folder laid out as its family is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tiny_models import sentences

NLI = ("contradiction", "neutral", "entailment")
MOODS = ("negative", "positive")
TOPICS = ("sport", "música", "law & order", "money", "日本")
_SPECIALS = {"bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]}
_SPECIALS["roberta"] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def word_piece(folder: Path, name: str) -> int:
    """Train and save a WordPiece tokenizer as BERT has it; the size of its vocabulary."""
    import transformers
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        sentences(), vocab_size=400, special_tokens=_SPECIALS["bert"], show_progress=False
    )
    made = getattr(transformers, name)(
        vocab=tokenizer.get_vocab(), do_lower_case=True, model_max_length=256
    )
    # Sentence-BERT's models are published like this; it must not hold.
    made.backend_tokenizer.enable_truncation(12)
    made.backend_tokenizer.enable_padding(length=12)
    made.save_pretrained(folder)
    return len(made)


def byte_pairs(folder: Path, name: str) -> int:
    """The same for a byte-level BPE tokenizer as RoBERTa has it."""
    import transformers
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        sentences(), vocab_size=500, special_tokens=_SPECIALS["roberta"], show_progress=False
    )
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    made = getattr(transformers, name)(vocab=model["vocab"], merges=merges, model_max_length=256)
    made.save_pretrained(folder)
    return len(made)


def unigrams(folder: Path, name: str) -> int:
    """The same for a SentencePiece unigram tokenizer as XLM-RoBERTa has it."""
    import transformers
    from tokenizers import SentencePieceUnigramTokenizer

    tokenizer = SentencePieceUnigramTokenizer()
    tokenizer.train_from_iterator(
        sentences(),
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    pieces = [tuple(each) for each in json.loads(tokenizer.to_str())["model"]["vocab"]]
    made = getattr(transformers, name)(vocab=pieces, model_max_length=256)
    made.save_pretrained(folder)
    return len(made)


# For each family: its tokenizer, the classes of tokenizer and model, the specials' ids, and what
# its configuration says beyond the common shape.
_OFFSET = {"max_position_embeddings": 258, "type_vocab_size": 1}
_MARKS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_FAMILIES: dict[str, tuple[Callable[[Path, str], int], str, str, dict[str, Any]]] = {
    "bert": (word_piece, "BertTokenizer", "Bert", {"pad_token_id": 0}),
    "distilbert": (
        word_piece,
        "DistilBertTokenizer",
        "DistilBert",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "pad_token_id": 0},
    ),
    "roberta": (byte_pairs, "RobertaTokenizer", "Roberta", _OFFSET | _MARKS),
    "xlm-roberta": (unigrams, "XLMRobertaTokenizer", "XLMRoberta", _OFFSET | _MARKS),
    "deberta": (
        word_piece,
        "BertTokenizer",
        "DebertaV2",
        {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pooler_hidden_size": 32,
            "pad_token_id": 0,
        },
    ),
    "bart": (
        byte_pairs,
        "BartTokenizer",
        "Bart",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "decoder_start_token_id": 2,
            **_MARKS,
        },
    ),
}


def build(
    folder: Path, family: str, labels: tuple[str, ...] = (), *, seed: int = 1, problem: str = ""
) -> Path:
    """A model of `family`, with a head where there are `labels`; `problem` is its problem_type.

    The weights are larger than a fresh initialisation's, so that the answer depends on the text.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder.mkdir(parents=True)
    tokenize, tokenizer, name, more = _FAMILIES[family]
    shape: dict[str, Any] = {
        "vocab_size": tokenize(folder, tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 256,
    }
    if "d_model" in more or "dim" in more:
        shape = {name: shape[name] for name in ("vocab_size", "max_position_embeddings")}
    config = getattr(transformers, name + "Config")(**shape | more)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        config.problem_type = problem or None
    head = "ForSequenceClassification" if labels else "Model"
    model = getattr(transformers, name + head)(config)
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=numbers)
            if parameter.dim() == 1:  # norms keep 1, biases 0, give or take
                parameter.add_(noise * 0.1)
            else:
                parameter.copy_(noise * 2 / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    return folder


ENCODERS: dict[str, Callable[[Path], Path]] = {
    family: partial(build, family=family) for family in _FAMILIES if family != "bart"
}
CLASSIFIERS: dict[str, Callable[[Path], Path]] = {
    "bert-moods": partial(build, family="bert", labels=MOODS),
    "bert-nli": partial(build, family="bert", labels=NLI, seed=2),
    "bert-single": partial(build, family="bert", labels=("toxic",), seed=3),
    "distilbert-topics": partial(
        build, family="distilbert", labels=TOPICS, problem="multi_label_classification"
    ),
    "distilbert-nli": partial(build, family="distilbert", labels=NLI, seed=4),
    "roberta-nli": partial(build, family="roberta", labels=NLI),
    "xlm-roberta-moods": partial(build, family="xlm-roberta", labels=MOODS),
    "deberta-nli": partial(build, family="deberta", labels=NLI),
    "bart-nli": partial(build, family="bart", labels=NLI),
}
TORCH_ONLY = ("deberta", "bart")
