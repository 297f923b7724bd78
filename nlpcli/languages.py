"""Languages: from a BCP 47 tag to an English name and to the code that each model family uses.

Sources: IANA's language subtag registry for tags and names; the language lists published with
NLLB-200, M2M100 and mBART-50 for their codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

# tag | English name | NLLB code | mBART-50 code | other codes in use for it (ISO 639-2 and -3, old
# ones), first those that many-target opus-mt models and M2M100 use
_TABLE = """
af|Afrikaans|afr_Latn|af_ZA|
am|Amharic|amh_Ethi||
ar|Arabic|arb_Arab|ar_AR|ara
as|Assamese|asm_Beng||
ast|Asturian|ast_Latn||
ay|Aymara|ayr_Latn||aym
az|Azerbaijani|azj_Latn|az_AZ|aze_Latn aze
ba|Bashkir|bak_Cyrl||
be|Belarusian|bel_Cyrl||
bg|Bulgarian|bul_Cyrl||
bho|Bhojpuri|bho_Deva||
bm|Bambara|bam_Latn||
bn|Bengali|ben_Beng|bn_IN|
bo|Tibetan|bod_Tibt||
br|Breton|||bre
bs|Bosnian|bos_Latn||
ca|Catalan|cat_Latn||
ceb|Cebuano|ceb_Latn||
ckb|Central Kurdish|ckb_Arab||kur_Arab
cs|Czech|ces_Latn|cs_CZ|cze
cy|Welsh|cym_Latn||wel
da|Danish|dan_Latn||
de|German|deu_Latn|de_DE|ger
dz|Dzongkha|dzo_Tibt||
ee|Ewe|ewe_Latn||
el|Greek|ell_Grek||gre
en|English|eng_Latn|en_XX|
eo|Esperanto|epo_Latn||
es|Spanish|spa_Latn|es_XX|
et|Estonian|est_Latn|et_EE|
eu|Basque|eus_Latn||baq
fa|Persian|pes_Arab|fa_IR|fas per
ff|Fulah|fuv_Latn||ful
fi|Finnish|fin_Latn|fi_FI|
fj|Fijian|fij_Latn||
fo|Faroese|fao_Latn||
fr|French|fra_Latn|fr_XX|fre
fy|Western Frisian|||fry
ga|Irish|gle_Latn||
gd|Scottish Gaelic|gla_Latn||
gl|Galician|glg_Latn|gl_ES|
gn|Guarani|grn_Latn||
gu|Gujarati|guj_Gujr|gu_IN|
ha|Hausa|hau_Latn||
he|Hebrew|heb_Hebr|he_IL|iw
hi|Hindi|hin_Deva|hi_IN|
hr|Croatian|hrv_Latn|hr_HR|
ht|Haitian Creole|hat_Latn||
hu|Hungarian|hun_Latn||
hy|Armenian|hye_Armn||arm
id|Indonesian|ind_Latn|id_ID|
ig|Igbo|ibo_Latn||
ilo|Iloko|ilo_Latn||
is|Icelandic|isl_Latn||ice
it|Italian|ita_Latn|it_IT|
ja|Japanese|jpn_Jpan|ja_XX|
jv|Javanese|jav_Latn||jw
ka|Georgian|kat_Geor|ka_GE|geo
kab|Kabyle|kab_Latn||
kg|Kongo|kon_Latn||
ki|Kikuyu|kik_Latn||
kk|Kazakh|kaz_Cyrl|kk_KZ|
km|Khmer|khm_Khmr|km_KH|
kn|Kannada|kan_Knda||
ko|Korean|kor_Hang|ko_KR|
ks|Kashmiri|kas_Arab||
ku|Kurdish|kmr_Latn||kur_Latn kur
ky|Kyrgyz|kir_Cyrl||
la|Latin|||lat_Latn lat
lb|Luxembourgish|ltz_Latn||
lg|Ganda|lug_Latn||
li|Limburgish|lim_Latn||
ln|Lingala|lin_Latn||
lo|Lao|lao_Laoo||
lt|Lithuanian|lit_Latn|lt_LT|
lv|Latvian|lvs_Latn|lv_LV|lav
mg|Malagasy|plt_Latn||mlg
mi|Maori|mri_Latn||mao
mk|Macedonian|mkd_Cyrl|mk_MK|mac
ml|Malayalam|mal_Mlym|ml_IN|
mn|Mongolian|khk_Cyrl|mn_MN|mon
mr|Marathi|mar_Deva|mr_IN|
ms|Malay|zsm_Latn||msa may
mt|Maltese|mlt_Latn||
my|Burmese|mya_Mymr|my_MM|bur
nb|Norwegian Bokmål|nob_Latn||no nor
ne|Nepali|npi_Deva|ne_NP|nep
nl|Dutch|nld_Latn|nl_XX|dut
nn|Norwegian Nynorsk|nno_Latn||
no|Norwegian|nob_Latn||nb nor
nso|Northern Sotho|nso_Latn||ns
ny|Chichewa|nya_Latn||
oc|Occitan|oci_Latn||
om|Oromo|gaz_Latn||orm
or|Odia|ory_Orya||ori
pa|Punjabi|pan_Guru||
pap|Papiamento|pap_Latn||
pl|Polish|pol_Latn|pl_PL|
ps|Pashto|pbt_Arab|ps_AF|pus
pt|Portuguese|por_Latn|pt_XX|
qu|Quechua|quy_Latn||que
rm|Romansh|||roh
rn|Rundi|run_Latn||
ro|Romanian|ron_Latn|ro_RO|rum
ru|Russian|rus_Cyrl|ru_RU|
rw|Kinyarwanda|kin_Latn||
sa|Sanskrit|san_Deva||
sc|Sardinian|srd_Latn||
scn|Sicilian|scn_Latn||
sd|Sindhi|snd_Arab||
sg|Sango|sag_Latn||
si|Sinhala|sin_Sinh|si_LK|
sk|Slovak|slk_Latn||slo
sl|Slovenian|slv_Latn|sl_SI|
sm|Samoan|smo_Latn||
sn|Shona|sna_Latn||
so|Somali|som_Latn||
sq|Albanian|als_Latn||sqi alb
sr|Serbian|srp_Cyrl||
ss|Swati|ssw_Latn||
st|Southern Sotho|sot_Latn||
su|Sundanese|sun_Latn||
sv|Swedish|swe_Latn|sv_SE|
sw|Swahili|swh_Latn|sw_KE|swa
ta|Tamil|tam_Taml|ta_IN|
te|Telugu|tel_Telu|te_IN|
tg|Tajik|tgk_Cyrl||
th|Thai|tha_Thai|th_TH|
ti|Tigrinya|tir_Ethi||
tk|Turkmen|tuk_Latn||
tl|Tagalog|tgl_Latn|tl_XX|fil
tn|Tswana|tsn_Latn||
tpi|Tok Pisin|tpi_Latn||
tr|Turkish|tur_Latn|tr_TR|
ts|Tsonga|tso_Latn||
tt|Tatar|tat_Cyrl||
tw|Twi|twi_Latn||
ug|Uyghur|uig_Arab||
uk|Ukrainian|ukr_Cyrl|uk_UA|
ur|Urdu|urd_Arab|ur_PK|
uz|Uzbek|uzn_Latn||uzb
vi|Vietnamese|vie_Latn|vi_VN|
war|Waray|war_Latn||
wo|Wolof|wol_Latn||
xh|Xhosa|xho_Latn|xh_ZA|
yi|Yiddish|ydd_Hebr||yid
yo|Yoruba|yor_Latn||
yue|Cantonese|yue_Hant||
zh|Chinese|zho_Hans|zh_CN|cmn_Hans cmn zho chi
zh-Hant|Traditional Chinese|zho_Hant||cmn_Hant zh_TW
zu|Zulu|zul_Latn||
"""

_CHINESE = {"TW": "zh-Hant", "HK": "zh-Hant", "MO": "zh-Hant", "HANT": "zh-Hant"}


@dataclass(frozen=True, slots=True)
class Language:
    """`tag` is BCP 47; `nllb` and `mbart` are "" where that family lacks the language."""

    tag: str
    name: str
    nllb: str
    mbart: str
    others: tuple[str, ...]


@cache
def table() -> dict[str, Language]:
    """The known languages by tag."""
    rows = (line.split("|") for line in _TABLE.strip().splitlines())
    return {
        tag: Language(tag, name, nllb, mbart, tuple(others.split()))
        for tag, name, nllb, mbart, others in rows
    }


def find(tag: str) -> Language | None:
    """The language of a BCP 47 tag such as `pt`, `pt-BR`, `pt_BR` or `zh-Hant`.

    A region falls back to its language. ISO 639-2 and -3 codes and those of NLLB and mBART-50 are
    understood too. None where the language is not in the table.
    """
    base, *rest = tag.replace("_", "-").split("-")
    base = base.lower()
    if base in ("zh", "zho", "cmn", "chi"):
        found = (_CHINESE.get(part.upper()) for part in rest)
        return table()[next((tag for tag in found if tag), "zh")]
    return table().get(base) or _by_other_code().get(base)


def name(tag: str) -> str:
    """The English name of the language; `tag` itself where it is unknown."""
    language = find(tag)
    return language.name if language else tag


def describe(tag: str) -> str:
    """For messages: `Portuguese (pt-BR)`."""
    return f"{name(tag)} ({tag})" if find(tag) else f"the language {tag}"


def tokens(naming: str, tag: str) -> list[str]:
    """The tokens that may stand for the language in a model's vocabulary, likeliest first.

    `naming` is one of nllb, m2m100, mbart, marian and madlad.
    """
    language = find(tag)
    exact = tag.replace("-", "_")
    # Only what looks like the family's codes: a bare `en` is an ordinary piece in a vocabulary.
    if naming == "nllb":
        codes = [exact] if re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", exact) else []
        codes += [language.nllb] if language else []
    elif naming == "mbart":
        codes = [exact] if re.fullmatch(r"[a-z]{2}_[A-Z]{2}", exact) else []
        codes += [language.mbart] if language else []
        # Its one Chinese serves both scripts.
        codes += ["zh_CN"] if language and language.tag == "zh-Hant" else []
    else:
        codes = [exact, tag]
    if language and naming not in ("nllb", "mbart"):
        three = language.nllb.partition("_")[0]
        base = language.tag.partition("-")[0]
        if naming == "marian":
            codes += [language.nllb, three, base, *language.others]
        else:
            codes += [language.tag.replace("-", "_"), base, *language.others, three]
    shape = {"m2m100": "__{}__", "marian": ">>{}<<", "madlad": "<2{}>"}.get(naming, "{}")
    return [shape.format(code) for code in dict.fromkeys(codes) if code]


@cache
def _by_other_code() -> dict[str, Language]:
    codes: dict[str, Language] = {}
    for language in table().values():
        for code in (language.nllb, *language.others):
            codes.setdefault(code.partition("_")[0].lower(), language)
    codes.pop("", None)
    return codes
