"""Language tags to names and to each family's codes."""

from __future__ import annotations

import pytest

from nlpcli import languages


def test_the_table_is_whole() -> None:
    table = languages.table()
    assert len(table) >= 100
    for tag, language in table.items():
        assert language.name
        assert languages.find(tag) == language
    nllb = [language.nllb for language in table.values() if language.nllb]
    assert len(set(nllb)) == len(nllb) - 1  # `no` and `nb` are the same to NLLB


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("pt", "Portuguese"),
        ("pt-BR", "Portuguese"),
        ("pt_BR", "Portuguese"),
        ("PT", "Portuguese"),
        ("por", "Portuguese"),
        ("por_Latn", "Portuguese"),
        ("zh", "Chinese"),
        ("zh-CN", "Chinese"),
        ("zh-TW", "Traditional Chinese"),
        ("zh-Hant", "Traditional Chinese"),
        ("iw", "Hebrew"),
        ("ger", "German"),
        ("tlh", "tlh"),
    ],
)
def test_names(tag: str, name: str) -> None:
    assert languages.name(tag) == name


@pytest.mark.parametrize(
    ("naming", "tag", "token"),
    [
        ("nllb", "pt", "por_Latn"),
        ("nllb", "pt-BR", "por_Latn"),
        ("nllb", "zh-TW", "zho_Hant"),
        ("nllb", "ace_Arab", "ace_Arab"),
        ("nllb", "lv", "lvs_Latn"),
        ("m2m100", "pt", "__pt__"),
        ("m2m100", "nb", "__no__"),
        ("m2m100", "nso", "__ns__"),
        ("m2m100", "zh-Hant", "__zh__"),
        ("mbart", "pt-BR", "pt_XX"),
        ("mbart", "de", "de_DE"),
        ("mbart", "zh-TW", "zh_CN"),
        ("marian", "pt", ">>por<<"),
        ("marian", "pt_BR", ">>pt_BR<<"),
        ("marian", "ar", ">>ara<<"),
        ("marian", "zh", ">>cmn_Hans<<"),
        ("madlad", "pt-BR", "<2pt>"),
    ],
)
def test_tokens(naming: str, tag: str, token: str) -> None:
    assert token in languages.tokens(naming, tag)


def test_a_region_is_tried_before_its_language() -> None:
    tokens = languages.tokens("marian", "pt-BR")
    assert tokens.index(">>pt_BR<<") < tokens.index(">>por<<")


def test_m2m100_has_nearly_every_language_of_its_list() -> None:
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    reached = {t for tag in languages.table() for t in languages.tokens("m2m100", tag)}
    assert {f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]} <= reached


def test_mbart_has_every_language_of_its_list() -> None:
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES

    reached = {t for tag in languages.table() for t in languages.tokens("mbart", tag)}
    assert set(FAIRSEQ_LANGUAGE_CODES) <= reached


def test_nllb_codes_exist() -> None:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    ours = {language.nllb for language in languages.table().values()} - {""}
    assert ours <= set(FAIRSEQ_LANGUAGE_CODES)


def test_pieces_are_not_taken_for_languages() -> None:
    assert languages.tokens("nllb", "en") == ["eng_Latn"]
    assert languages.tokens("mbart", "en") == ["en_XX"]


def test_messages() -> None:
    assert languages.describe("pt-BR") == "Portuguese (pt-BR)"
    assert languages.describe("tlh") == "the language tlh"
