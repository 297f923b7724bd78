"""The converter of CTranslate2, mended for transformers 5: what every kind of model shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def converter(folder: str) -> Any:
    """A converter that keeps `model` (float32), `tokenizer` and `names` (its tokens by id)."""
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Keeps the loaded model and tokenizer, and mends what the loaders trip over."""

        def load_model(self, model_class: Any, path: str, **options: Any) -> Any:
            import torch

            options["dtype"] = torch.float32
            options["local_files_only"] = options["use_safetensors"] = True
            self._again = model_class, path, options
            self.model = self.load()
            # The loaders for BART, mBART and Pegasus read these two from the configuration,
            # where transformers 5 no longer keeps them.
            if self.model.config.is_encoder_decoder:
                encoder = self.model.get_encoder()
                self.model.config.normalize_before = hasattr(encoder, "layer_norm")
                self.model.config.normalize_embedding = hasattr(encoder, "layernorm_embedding")
            # The loaders for BERT and its kin ask which; transformers 5 knows no other.
            if not hasattr(self.model.config, "position_embedding_type"):
                self.model.config.position_embedding_type = "absolute"
            # T5's loader scales the output if the embeddings are tied; transformers 5 ties them
            # always, keeps whether to scale by itself, and never scales mT5's.
            if self.model.config.model_type in ("t5", "mt5"):
                scaled = getattr(self.model.config, "scale_decoder_outputs", False)
                self.model.config.tie_word_embeddings = scaled
            return self.model

        def load(self) -> Any:
            model_class, path, options = self._again
            return model_class.from_pretrained(path, **options).eval()

        def _load(self) -> Any:
            spec = super()._load()
            if hasattr(spec, "decoder") and not self.model.config.is_encoder_decoder:
                _complete(spec.decoder, self.model.config.get_text_config())
            return spec

        def load_tokenizer(self, tokenizer_class: Any, path: str, **options: Any) -> Any:
            self.tokenizer = tokenizer_class.from_pretrained(path, local_files_only=True, **options)
            if getattr(self.tokenizer, "separate_vocabs", False):
                raise NotImplementedError("it has separate vocabularies for source and target")
            self.names = token_names(self.tokenizer, self.model.config.get_text_config().vocab_size)
            return _LoaderTokenizer(self.tokenizer, self.names)

    return Converter(folder)


def _complete(decoder: Any, settings: Any) -> None:
    """Set what CTranslate2 computes, but its loaders leave out."""
    import numpy

    cap = getattr(settings, "final_logit_softcapping", None)
    if cap:
        decoder.final_logit_softcapping = numpy.float32(cap)
    rope = getattr(settings, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        # The two that decide; the specification has them, but closes the layers without.
        length = numpy.int32(rope["original_max_position_embeddings"])
        for layer in decoder.layer:
            attention = layer.self_attention
            object.__setattr__(attention, "original_max_position_embeddings", length)
            object.__setattr__(attention, "rotary_scaling_factor", numpy.float32(rope["factor"]))
    for kind, layer in zip(
        getattr(settings, "layer_types", None) or (), decoder.layer, strict=False
    ):
        if isinstance(rope.get(kind), dict):  # Gemma 3 has a base for each kind of layer
            layer.self_attention.rotary_base = numpy.float32(rope[kind]["rope_theta"])


class _LoaderTokenizer:
    """A tokenizer as CTranslate2's loaders see it, with exactly one token per embedding row.

    With transformers 5 the loaders' own counting misses M2M100's language tokens.
    """

    num_madeup_words = 0
    special_tokens_map: dict[str, Any] = {}

    def __init__(self, tokenizer: Any, names: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._names = names

    def get_vocab(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._names)}

    def convert_ids_to_tokens(self, index: int) -> str:
        return self._names[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def token_names(tokenizer: Any, size: int) -> list[str]:
    """The token of each id below `size`; made-up names where the tokenizer has none."""
    names: list[str | None] = [None] * size
    languages = getattr(tokenizer, "lang_token_to_id", {})
    for token, index in [*tokenizer.get_vocab().items(), *languages.items()]:
        if index < size:
            names[index] = token
    known = set(names)
    for index, found in enumerate(names):
        if found is None:
            name = f"<unused_{index}>"
            while name in known:
                name += "_"
            names[index] = name
    return [str(name) for name in names]
