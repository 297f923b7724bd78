"""New models that know nothing yet: a vocabulary of the user's text and random weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from nlpcli.training.vocabulary import save_tokenizer, vocabulary


class Size(NamedTuple):
    """`width` of the hidden states, `heads` of each attention, `inner` width of the feed-forward
    layers, tokens of the `vocabulary`. `layers` are those of the one stack of a decoder or an
    encoder; an encoder-decoder has `paired` layers in each of its two, `layers` where that is 0.
    """

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    paired: int = 0


SIZES = {
    "tiny": Size(width=128, layers=4, heads=4, inner=384, vocabulary=1000),
    "small": Size(width=256, layers=3, heads=4, inner=1024, vocabulary=6000, paired=2),
    "medium": Size(width=512, layers=6, heads=8, inner=2048, vocabulary=16000),
    "base": Size(width=768, layers=12, heads=12, inner=3072, vocabulary=32000, paired=6),
}


def build(
    kind: str,
    size: Size,
    texts: Iterable[str],
    folder: Path,
    *,
    window: int = 512,
    dropout: float = 0.1,
) -> None:
    """Write a new model of `kind` (see vocabulary.KINDS) into `folder`, made where it is missing.

    The folder is laid out as the family is published: seq2seq is a Marian, causal a Llama, masked
    an XLM-RoBERTa. `window` is the longest sequence in tokens, special ones included. Llama has
    `dropout` in its attention alone. The weights come from torch's global random numbers. Raises
    DataError where a vocabulary cannot be made of `texts`.
    """
    from nlpcli.backends.ct2.convert import quiet

    learned = vocabulary(texts, kind, size.vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(learned, kind, folder, window)
    with quiet():
        model(kind, size._replace(vocabulary=len(tokenizer)), window, dropout).save_pretrained(
            folder
        )


def model(kind: str, size: Size, window: int, dropout: float) -> Any:
    """The transformers model, with embeddings of exactly `size.vocabulary` tokens."""
    return {"seq2seq": _marian, "causal": _llama, "masked": _xlm_roberta}[kind](
        size, window, dropout
    )


def _marian(size: Size, window: int, dropout: float) -> Any:
    from transformers import GenerationConfig, MarianConfig, MarianMTModel

    pad = size.vocabulary - 1
    layers = size.paired or size.layers
    made = MarianMTModel(
        MarianConfig(
            vocab_size=size.vocabulary,
            d_model=size.width,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=size.heads,
            decoder_attention_heads=size.heads,
            encoder_ffn_dim=size.inner,
            decoder_ffn_dim=size.inner,
            max_position_embeddings=window,
            activation_function="swish",
            static_position_embeddings=True,
            scale_embedding=True,
            dropout=dropout,
            # Scaled by the root of the width, embeddings have the variance 1.
            init_std=size.width**-0.5,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=pad,
            decoder_start_token_id=pad,
            forced_eos_token_id=0,
        )
    )
    made.generation_config = GenerationConfig(
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        forced_eos_token_id=0,
        bad_words_ids=[[pad]],
        renormalize_logits=True,
        num_beams=4,
        max_length=window,
    )
    return made


def _llama(size: Size, window: int, dropout: float) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.width,
            intermediate_size=size.inner,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            max_position_embeddings=window,
            attention_dropout=dropout,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
        )
    )


def _xlm_roberta(size: Size, window: int, dropout: float) -> Any:
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    return XLMRobertaForMaskedLM(
        XLMRobertaConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=size.inner,
            max_position_embeddings=window + 2,  # counted from behind the padding's id, 1
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )
    )
