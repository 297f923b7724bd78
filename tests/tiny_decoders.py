"""Tiny random language models, each in a folder laid out as its family is published.

Everything is made here: the tokenizers trained on made-up sentences, the chat templates (each in
the manner of its family), and the seeded weights, large enough for the output to depend on the
prompt, with an end token likely enough for outputs to end by themselves at various lengths.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_models import sentences

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("Conversation roles must alternate after a system message") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""
QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {{- tools | tojson }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(last_query_index=messages|length - 1) %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- generation %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
        {%- endgeneration %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""


def byte_level(specials: list[str], size: int = 400) -> Any:
    """A tokenizer of bytes and merges, as GPT-2's, Llama 3's and Qwen's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([*sentences(), "user system assistant\n\n"], trainer)
    return raw


def byte_fallback(specials: list[str], size: int = 600) -> Any:
    """A tokenizer of SentencePiece's kind, as Gemma's and Mistral's: ▁ for spaces, and bytes for
    characters it does not know."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    raw = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[*specials, *bytes_], show_progress=False
    )
    raw.train_from_iterator(sentences(120), trainer)
    # The bytes are ordinary tokens there, not special ones.
    state = json.loads(raw.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in specials]
    raw = Tokenizer.from_str(json.dumps(state))
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return raw


def save(
    model: Any, raw: Any, folder: Path, *, seed: int, template: str, ends: list[int], **names: Any
) -> Path:
    """Seed the weights of `model`, and save it with its tokenizer under `folder`."""
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    random_numbers = torch.Generator().manual_seed(seed)
    offset = model.config.model_type.startswith("gemma")  # its norms multiply by 1 + weight
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random_numbers)
            if parameter.dim() == 1:
                norm = not name.endswith("bias") and not offset
                parameter.copy_(noise * 0.1 + (1 if norm else 0))
            else:
                gain = 1.0 if "embed" in name or "wte" in name or "lm_head" in name else 3.0
                parameter.copy_(noise * gain / parameter.shape[-1] ** 0.5)
        embedding = model.get_output_embeddings().weight
        for end in ends:
            embedding[end] *= 1.6  # its logit varies most: it wins, now and then
        model.get_output_embeddings().weight.mul_(3.0)  # be confident
        if model.config.tie_word_embeddings:
            model.get_output_embeddings().weight.div_(1.5)
    model.generation_config = GenerationConfig(
        eos_token_id=ends if len(ends) > 1 else ends[0], bos_token_id=model.config.bos_token_id
    )
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    if template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


def llama(folder: Path, *, seed: int = 1) -> Path:
    """As Llama 3.2: rotary scaling of its own, and an end of turn beside the end of text."""
    from transformers import LlamaConfig, LlamaForCausalLM

    specials = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ]
    raw = byte_level(specials)
    config = LlamaConfig(
        **{**_SHAPE, "max_position_embeddings": 16384},
        vocab_size=raw.get_vocab_size() + 4,  # rows without a token
        bos_token_id=0,
        eos_token_id=[1, 4],
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    names = {"bos_token": specials[0], "eos_token": specials[4]}
    model = LlamaForCausalLM(config)
    return save(model, raw, folder, seed=seed, template=LLAMA3, ends=[1, 4], **names)


def mistral(folder: Path, *, seed: int = 2) -> Path:
    from transformers import MistralConfig, MistralForCausalLM

    raw = byte_fallback(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])
    config = MistralConfig(
        **_SHAPE,
        vocab_size=raw.get_vocab_size(),
        bos_token_id=1,
        eos_token_id=2,
        sliding_window=4096,
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    model = MistralForCausalLM(config)
    return save(model, raw, folder, seed=seed, template=MISTRAL, ends=[2], **names)


def qwen2(folder: Path, *, seed: int = 3) -> Path:
    """Its tokenizer's end of text is not the end of its turns."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    raw = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    config = Qwen2Config(**_SHAPE, vocab_size=raw.get_vocab_size(), eos_token_id=0)
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    model = Qwen2ForCausalLM(config)
    return save(model, raw, folder, seed=seed, template=CHATML, ends=[2, 0], **names)


def qwen3(folder: Path, *, seed: int = 4) -> Path:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    raw = byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    raw.add_tokens(["<think>", "</think>"])
    config = Qwen3Config(**_SHAPE, head_dim=16, vocab_size=raw.get_vocab_size(), eos_token_id=2)
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    model = Qwen3ForCausalLM(config)
    return save(model, raw, folder, seed=seed, template=QWEN3, ends=[2, 0], **names)


def _gemma(kind: str, folder: Path, seed: int, **options: Any) -> Path:
    import transformers

    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    raw = byte_fallback(specials)
    shape = {**_SHAPE, "tie_word_embeddings": True}
    config = getattr(transformers, f"{kind}Config")(
        **shape,
        head_dim=8,
        vocab_size=raw.get_vocab_size(),
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        **options,
    )
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
    model = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config)
    return save(model, raw, folder, seed=seed, template=GEMMA, ends=[1, 5], **names)


def gemma(folder: Path, *, seed: int = 5) -> Path:
    return _gemma("Gemma", folder, seed)


def gemma2(folder: Path, *, seed: int = 6) -> Path:
    return _gemma("Gemma2", folder, seed, query_pre_attn_scalar=8, attn_logit_softcapping=None)


def gemma3(folder: Path, *, seed: int = 7) -> Path:
    kinds = ["sliding_attention", "full_attention"]
    return _gemma(
        "Gemma3Text", folder, seed, query_pre_attn_scalar=8, layer_types=kinds, sliding_window=512
    )


def gpt2(folder: Path, *, seed: int = 8) -> Path:
    """Without a chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    raw = byte_level(["<|endoftext|>"])
    config = GPT2Config(
        vocab_size=raw.get_vocab_size(),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=256,
        bos_token_id=0,
        eos_token_id=0,
    )
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    model = GPT2LMHeadModel(config)
    return save(model, raw, folder, seed=seed, template="", ends=[0], **names)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "gpt2": gpt2,
}
