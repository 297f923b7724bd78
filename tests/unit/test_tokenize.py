"""The torch-free tokenization against transformers' own tokenizers, and what imports it needs."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_models
from nlpcli.backends import recipe, tokenize
from nlpcli.backends.ct2.convert import convert, quiet
from nlpcli.backends.ct2.loader import token_names
from nlpcli.registry import LocalModel

NAMES = [*tiny_models.FAMILIES, "many-targets", "madlad"]
TEXTS = [
    "",
    " ",
    "The old house.",
    "  leading and trailing  ",
    "many     spaces\tand\ttabs",
    "line\nbreak",
    "coração São naïve façade Straße",
    "e\u0301te\u0301 decomposed, ﬁ ligature, ｆｕｌｌ width, Ⅷ",
    "日本 東京 学校 🙂🙃 👩‍👩‍👧",
    "नमस्ते ☃ \u200b\u00a0\ufeff zero width",
    "right to left \u05e9\u05dc\u05d5\u05dd",
    "\x00\x07 control",
    "▁ underline ▁▁",
    "</s> <unk> <pad> <s> <mask> inside</s>text",
    ">>por<< The old house.",
    ">>xyz<< unknown code",
    ">> not << a >>por<< code",
    "<2pt> The old house.",
    "__en__ en_XX eng_Latn <extra_id_0> <mask_1>",
    "it's; they 've n't 1984 ... !",
]


@pytest.fixture(params=NAMES)
def pair(
    request: pytest.FixtureRequest, tiny: Callable[[str], LocalModel], shared_cache: Any
) -> tuple[Any, Any, list[str]]:
    """transformers' tokenizer, ours as read from the converted folder, and the tokens by id."""
    return _pair(request.param, tiny)


@cache
def _pair(name: str, tiny: Callable[[str], LocalModel]) -> tuple[Any, Any, list[str]]:
    from transformers import AutoConfig, AutoTokenizer

    model = tiny(name)
    folder = convert(model, "float32")
    with quiet():
        reference = AutoTokenizer.from_pretrained(model.folder)
        size = AutoConfig.from_pretrained(model.folder).vocab_size
    names = token_names(reference, size)
    return reference, tokenize.load(folder, recipe.read(folder), names), names


def _ids(ours: Any, names: list[str], unknown: str, text: str) -> list[int]:
    known = {name: index for index, name in enumerate(names)}
    return [known.get(token, known[unknown]) for token in ours.encode([text])[0]]


@pytest.mark.parametrize("text", TEXTS)
def test_same_ids(pair: tuple[Any, Any, list[str]], text: str) -> None:
    reference, ours, names = pair
    expected = reference(text, add_special_tokens=False)["input_ids"]
    assert _ids(ours, names, reference.unk_token, text) == expected


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(text=st.text(max_size=60))
def test_same_ids_for_any_text(pair: tuple[Any, Any, list[str]], text: str) -> None:
    reference, ours, names = pair
    expected = reference(text, add_special_tokens=False)["input_ids"]
    assert _ids(ours, names, reference.unk_token, text) == expected


def test_a_batch_is_its_texts(pair: tuple[Any, Any, list[str]]) -> None:
    _, ours, _ = pair
    assert ours.encode(TEXTS) == [ours.encode([text])[0] for text in TEXTS]
    assert ours.encode([]) == []


def test_same_text(pair: tuple[Any, Any, list[str]]) -> None:
    reference, ours, names = pair
    pick = random.Random(3)
    known = [index for index, name in enumerate(names) if not name.startswith("<unused")]
    for length in (0, 1, 2, 5, 20, 40) * 5:
        ids = pick.choices(known, k=length)
        expected = reference.decode(ids, skip_special_tokens=True)
        assert ours.decode([names[index] for index in ids]) == expected


def test_decoding_undoes_encoding(pair: tuple[Any, Any, list[str]]) -> None:
    _, ours, _ = pair
    text = "The old house. The new bridge."
    assert ours.decode(ours.encode([text])[0]).strip() == text


def test_clean_up_as_transformers_does(tiny: Callable[[str], LocalModel]) -> None:
    from transformers import AutoTokenizer

    with quiet(), warnings.catch_warnings():
        folder = tiny("t5").folder
        reference = AutoTokenizer.from_pretrained(folder, clean_up_tokenization_spaces=True)
    names = token_names(reference, len(reference))
    made = recipe.Recipe(
        "t5", "", 9, 9, "<pad>", "</s>", "<unk>", specials=("</s>",), added=(), cleanup=True
    )
    ours = tokenize.of_tokenizer(reference, made, names)
    ids = reference("the old . it 's ! a , house ?", add_special_tokens=False)["input_ids"]
    expected = reference.decode(ids, skip_special_tokens=True)
    assert ours.decode([names[index] for index in ids]) == expected
    assert "old." in expected


def test_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, tokenizers, sentencepiece\n"
        "import nlpcli.backends.ct2.seq2seq, nlpcli.backends.tokenize\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
