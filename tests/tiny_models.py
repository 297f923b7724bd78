"""Tiny random encoder-decoder models, each in a folder laid out as its family is published.

Everything is made here: the sentences, the tokenizers trained on them, and the seeded weights.
The weights are larger than a fresh initialisation's, so that the output depends on the source, and
the end token is made likely enough for sentences to end by themselves at various lengths.
"""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = re.findall(
    r"\S+",
    """the a of in on and old new small river house bridge train letter garden winter market
    teacher doctor child engine window answer question walks reads writes sees finds opens
    carries remembers quickly slowly today tomorrow never always three seven twelve 1984 42
    coração manhã pão água São über Straße größer naïve façade señor niño été garçon
    дом река мост письмо зима рынок 日本 東京 学校 電車 今日 नमस्ते""",
)

LANGUAGES_NLLB = ["eng_Latn", "por_Latn", "deu_Latn", "fra_Latn", "jpn_Jpan", "rus_Cyrl"]


def sentences(count: int = 400, seed: int = 1) -> list[str]:
    """`count` made-up sentences of 1 to 18 words."""
    pick = random.Random(seed)
    made = []
    for _ in range(count):
        words = [pick.choice(WORDS) for _ in range(pick.randint(1, 18))]
        text = " ".join(words) + pick.choice([".", "!", "?", "", " ...", "; it's so."])
        made.append(text[0].upper() + text[1:])
    return made


def sentencepiece(size: int, seed: int = 1, **options: Any) -> bytes:
    """A unigram SentencePiece model of at most `size` pieces."""
    import sentencepiece as spm

    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences(seed=seed)),
        model_writer=model,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=0.995,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return model.getvalue()


def _pieces(model: bytes) -> list[tuple[str, float]]:
    import sentencepiece as spm

    processor = spm.SentencePieceProcessor(model_proto=model)
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(len(processor))]


def _shape(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 128,
    }


def _save(
    model: Any, folder: Path, eos: int, seed: int, likely_end: float = 10, **generation: Any
) -> Path:
    """Seed the weights of `model`, set its generation defaults, and save it under `folder`."""
    import torch
    from transformers import GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()

    random_numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:  # norms keep 1, biases 0, give or take
                noise = torch.randn(parameter.shape, generator=random_numbers) * 0.1
                parameter.copy_(noise if name.endswith("bias") else 1 + noise)
                continue
            gain = 1.0 if "embed" in name or "shared" in name else 3.0
            parameter.copy_(torch.randn(parameter.shape, generator=random_numbers))
            parameter *= gain / parameter.shape[-1] ** 0.5
        names = dict(model.named_parameters())
        norms = [n for n in names if "decoder" in n and "norm" in n and "embed" not in n]
        names[next(n for n in reversed(norms) if n.endswith("weight"))].mul_(4)  # be confident
        if norms[-1].endswith("bias"):
            end = names["model.shared.weight"][eos]
            names[norms[-1]].add_(end / end.norm() * likely_end)
        bias = getattr(model, "final_logits_bias", None)
        if bias is not None:
            bias.copy_(torch.randn(bias.shape, generator=random_numbers) * 0.2)
        if model.config.model_type == "marian":  # decoding starts from nothing
            model.get_input_embeddings().weight[model.config.pad_token_id] = 0
    keep = {k: v for k, v in model.generation_config.to_dict().items() if k.endswith("token_id")}
    keep.pop("forced_eos_token_id", None)
    model.generation_config = GenerationConfig(**(keep | generation))
    model.save_pretrained(folder)
    return folder


def marian(folder: Path, *, seed: int = 1, targets: tuple[str, ...] = (), **shape: int) -> Path:
    """An opus-mt lookalike; `targets` such as ("por", "deu") makes it one with many targets.
    `shape` overrides the sizes of its config."""
    from transformers import MarianConfig, MarianMTModel

    folder.mkdir(parents=True, exist_ok=True)
    source, target = sentencepiece(260, seed=1), sentencepiece(240, seed=2)
    names = ["</s>", "<unk>", *(f">>{code}<<" for code in targets)]
    # As in the published models, some pieces of the tokenizers are missing from the vocabulary.
    known = dict.fromkeys(piece for piece, _ in _pieces(source)[:-5] + _pieces(target)[:-5])
    names += [piece for piece in known if piece not in ("<s>", "</s>", "<unk>")]
    vocabulary = {name: index for index, name in enumerate([*names, "<pad>"])}
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MarianTokenizer", "model_max_length": 128})
    )
    pad = vocabulary["<pad>"]
    config = MarianConfig(
        **{**_shape(len(vocabulary)), **shape},
        pad_token_id=pad,
        eos_token_id=0,
        bos_token_id=0,
        decoder_start_token_id=pad,
        forced_eos_token_id=0,
        scale_embedding=True,
        activation_function="swish",
        static_position_embeddings=True,
    )
    return _save(
        MarianMTModel(config),
        folder,
        eos=0,
        seed=seed,
        num_beams=4,
        max_length=48,
        bad_words_ids=[[pad]],
        forced_eos_token_id=0,
        renormalize_logits=True,
    )


def m2m100(folder: Path, *, seed: int = 2) -> Path:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    model = sentencepiece(260)
    names = ["<s>", "<pad>", "</s>", "<unk>"] + [piece for piece, _ in _pieces(model)[3:]]
    (folder / "made.model").write_bytes(model)
    (folder / "made.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    tokenizer = M2M100Tokenizer(str(folder / "made.json"), str(folder / "made.model"))
    tokenizer.save_pretrained(folder)
    (folder / "made.model").unlink()
    (folder / "made.json").unlink()
    config = M2M100Config(
        **_shape(len(tokenizer.encoder) + 100 + 8), decoder_start_token_id=2, scale_embedding=True
    )
    made = M2M100ForConditionalGeneration(config)
    return _save(made, folder, eos=2, seed=seed, num_beams=5, early_stopping=True, max_length=40)


def nllb(folder: Path, *, seed: int = 3) -> Path:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    raw = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    raw.normalizer = normalizers.NFKC()
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=280, special_tokens=specials, show_progress=False)
    raw.train_from_iterator(sentences(), trainer)
    trained = json.loads(raw.to_str())["model"]
    tokenizer = NllbTokenizer(
        vocab=trained["vocab"],
        merges=[tuple(pair) for pair in trained["merges"]],
        src_lang="eng_Latn",
        extra_special_tokens=LANGUAGES_NLLB,
        model_max_length=128,
    )
    tokenizer.save_pretrained(folder)
    config = M2M100Config(**_shape(len(tokenizer)), decoder_start_token_id=2, scale_embedding=True)
    made = M2M100ForConditionalGeneration(config)
    return _save(made, folder, eos=2, seed=seed, max_length=40)


def t5(folder: Path, *, seed: int = 21, madlad: bool = False) -> Path:
    """A T5 of the 1.1 kind (gated, untied); `madlad` gives its vocabulary <2xx> tokens."""
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(sentencepiece(260))[3:]
    targets = [("<2pt>", 0.0), ("<2de>", 0.0)] if madlad else []
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, *targets]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=4, model_max_length=128)
    if madlad:
        tokenizer.add_tokens([name for name, _ in targets], special_tokens=True)
    tokenizer.save_pretrained(folder)
    config = T5Config(
        vocab_size=-(-len(tokenizer) // 8) * 8,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    _save(T5ForConditionalGeneration(config), folder, eos=1, seed=seed, max_length=40)
    # transformers 5 writes true here, and would then take the model for a T5 of the first kind.
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tie_word_embeddings": False}))
    return folder


def bart(folder: Path, *, seed: int = 5) -> Path:
    """With a BART summarizer's generation defaults, scaled down."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import BartConfig, BartForConditionalGeneration, BartTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    raw = ByteLevelBPETokenizer()
    raw.train_from_iterator(
        sentences(),
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
    )
    trained = json.loads(raw.to_str())["model"]
    tokenizer = BartTokenizer(
        vocab=trained["vocab"],
        merges=[tuple(pair) for pair in trained["merges"]],
        model_max_length=128,
    )
    tokenizer.save_pretrained(folder)
    config = BartConfig(
        **_shape(len(tokenizer)),
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    return _save(
        BartForConditionalGeneration(config),
        folder,
        eos=2,
        seed=seed,
        num_beams=4,
        early_stopping=True,
        length_penalty=2.0,
        max_length=40,
        min_length=8,
        no_repeat_ngram_size=3,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
    )


def mbart(folder: Path, *, seed: int = 6) -> Path:
    """An mBART-50."""
    from transformers import MBart50Tokenizer, MBartConfig, MBartForConditionalGeneration

    folder.mkdir(parents=True, exist_ok=True)
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *_pieces(sentencepiece(260))[3:]]
    tokenizer = MBart50Tokenizer(vocab=pieces, src_lang="en_XX", model_max_length=128)
    tokenizer.save_pretrained(folder)
    config = MBartConfig(
        **_shape(len(tokenizer)),
        decoder_start_token_id=2,
        scale_embedding=True,
        tokenizer_class="MBart50Tokenizer",
    )
    return _save(
        MBartForConditionalGeneration(config),
        folder,
        eos=2,
        seed=seed,
        num_beams=5,
        early_stopping=True,
        max_length=40,
        forced_eos_token_id=2,
    )


def pegasus(folder: Path, *, seed: int = 7) -> Path:
    from transformers import PegasusConfig, PegasusForConditionalGeneration, PegasusTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    specials = ["<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{i}>" for i in range(2, 103))]
    vocabulary = [*((name, 0.0) for name in specials), ("<unk>", 0.0)]
    vocabulary += _pieces(sentencepiece(260))[3:]
    tokenizer = PegasusTokenizer(vocab=vocabulary, model_max_length=128)
    tokenizer.save_pretrained(folder)
    config = PegasusConfig(
        **_shape(len(tokenizer)), scale_embedding=True, static_position_embeddings=True
    )
    return _save(
        PegasusForConditionalGeneration(config),
        folder,
        eos=1,
        seed=seed,
        num_beams=4,
        length_penalty=0.6,
        max_length=32,
        forced_eos_token_id=1,
    )


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "marian": marian,
    "m2m100": m2m100,
    "nllb": nllb,
    "t5": t5,
    "bart": bart,
    "mbart": mbart,
    "pegasus": pegasus,
}
