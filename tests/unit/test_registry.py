"""Names: which source wins, what an unknown one suggests, and what the usual start costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from nlpcli import registry, store
from nlpcli.errors import ExitCode, ModelError, UsageError
from nlpcli.registry import ModelSpec, Source
from nlpcli.registry.folder import gguf_file
from nlpcli.registry.spec import TASKS
from nlpcli.store import place

ROOT = Path(__file__).parents[2]


def own(name: str, **fields: object) -> ModelSpec:
    source = Source("hub", "acme/other", "main")
    return ModelSpec(name, ("translate",), "transformers", (source,))._replace(**fields)


def put(folder: Path, *files: str, config: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text(file)
    if config:
        (folder / "config.json").write_text(config)
    return folder


def install(spec: ModelSpec, origin: str, **files: str) -> Path:
    """Put a pulled model in the store, as a download would."""
    with place.staging(registry.store_folder(spec.name)) as folder:
        put(folder / "files", *files.values())
        return place.install(spec, origin, folder / "files").folder


@pytest.mark.parametrize(
    "files, config, form, architecture",
    [
        ((), '{"model_type": "marian"}', "transformers", "marian"),
        (("model.bin", "shared_vocabulary.json"), "{}", "ct2", ""),
        (("model.enxx.intgemm.alphas.bin", "vocab.enxx.spm"), "", "bergamot", ""),
        (("weights.gguf",), "", "gguf", ""),
        (("weights.gguf", "adapter.gguf", "mmproj-f16.gguf"), "", "gguf", ""),
        (("w-00001-of-00002.gguf", "w-00002-of-00002.gguf"), "", "gguf", ""),
        (("weights.gguf",), '{"model_type": "llama"}', "gguf", ""),
        (("weights.gguf", "model.safetensors"), '{"model_type": "llama"}', "transformers", "llama"),
    ],
)
def test_a_folder_wins_and_its_format_is_judged_by_its_files(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[str, ...],
    config: str,
    form: str,
    architecture: str,
) -> None:
    folder = put(tmp_path / "opus-mt-en-de", *files, config=config)
    found = registry.find(str(folder))
    assert (found.origin, found.spec.format) == ("path", form)
    assert found.spec.architecture == architecture
    assert store.fetch(found.spec, offline=True).folder == folder
    monkeypatch.chdir(tmp_path)
    assert registry.find("opus-mt-en-de").origin == "path"
    assert registry.find("./opus-mt-en-de").spec.sources[0].location == str(folder)


def gguf(architecture: bytes) -> bytes:
    """The beginning of a GGUF file, as its specification lays it out."""
    key = b"general.architecture"
    lengths = [len(each).to_bytes(8, "little") for each in (key, architecture)]
    kind = (8).to_bytes(4, "little")
    return b"GGUF\3\0\0\0" + bytes(16) + lengths[0] + key + kind + lengths[1] + architecture


@pytest.mark.parametrize(
    "content, architecture, tasks",
    [
        (gguf(b"llama"), "llama", ("generate", "summarize", "translate", "classify")),
        (gguf(b"gpt2"), "gpt2", ("generate", "classify")),
        (gguf(b"new"), "new", ("generate", "summarize", "translate", "classify")),
        (gguf(b"bert"), "bert", ()),
        (gguf(b"llama")[:40], "", ()),
        (b"GGUF", "", ()),
        (b"", "", ()),
    ],
)
def test_the_header_of_a_gguf_file(
    tmp_path: Path, content: bytes, architecture: str, tasks: tuple[str, ...]
) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    spec = registry.find(str(file)).spec
    assert (spec.format, spec.architecture, spec.tasks) == ("gguf", architecture, tasks)
    assert registry.find(str(tmp_path)).spec.tasks == tasks
    assert gguf_file(file) == gguf_file(tmp_path) == file


def test_which_gguf_file_is_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no GGUF model in it"):
        gguf_file(tmp_path)
    put(tmp_path, "adapter.gguf")
    with pytest.raises(ModelError, match="no model in"):
        registry.find(str(tmp_path / "adapter.gguf"))
    put(tmp_path, "a.gguf", "b.gguf")
    with pytest.raises(ModelError, match=r"several models: a\.gguf, b\.gguf") as caught:
        gguf_file(tmp_path)
    assert "name the .gguf file" in caught.value.hint


@pytest.mark.parametrize(
    "kind, heads, files, tasks",
    [
        ("bert", ["BertForSequenceClassification"], (), ("classify",)),
        ("bart", ["BartForSequenceClassification"], (), ("classify",)),
        ("bert", ["BertForMaskedLM"], (), ("finetune",)),
        ("bert", ["BertModel"], ("modules.json",), ("classify", "summarize", "finetune")),
        ("bart", ["BartForConditionalGeneration"], (), ("summarize",)),
        ("marian", None, (), ("translate",)),
        ("new", ["NewForCausalLM"], (), ("generate", "summarize", "translate", "classify")),
        ("gpt2", ["GPT2LMHeadModel"], (), ("generate", "classify")),
        ("gpt_neo", ["GPTNeoForCausalLM"], (), ("generate", "classify")),
        ("new", ["NewModel"], (), ()),
        ("", None, (), ()),
    ],
)
def test_what_a_folder_can_be_used_for(
    tmp_path: Path,
    kind: str,
    heads: list[str] | None,
    files: tuple[str, ...],
    tasks: tuple[str, ...],
) -> None:
    put(tmp_path, *files, config=json.dumps({"model_type": kind, "architectures": heads}))
    assert registry.find(str(tmp_path)).spec.tasks == tasks


def test_a_folder_without_a_model_does_not_hide_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t5-small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert registry.find("t5-small").origin == "catalogue"
    with pytest.raises(ModelError, match=r"no model in \./t5-small"):
        registry.find("./t5-small")


def test_the_users_registry_wins_over_the_catalogue() -> None:
    assert registry.find("t5-small").origin == "catalogue"
    registry.write_entry(own("t5-small"), "user")
    assert registry.find("t5-small") == registry.Found(own("t5-small"), "user")


def test_a_fine_tuned_model_is_found_where_it_lies() -> None:
    folder = put(registry.own_folder("mine"), "model.safetensors", config="{}")
    spec = own("mine", languages=("en", "gl"))
    registry.write_json(folder / registry.SPEC_FILE, {"spec": registry.to_json(spec)})
    found = registry.find("mine")
    assert found.origin == "user"
    assert store.locate(found.spec) == folder
    assert registry.for_pair("en", "gl") == found.spec
    assert "mine" in registry.names("translate")
    assert "mine" not in registry.names("classify")


def test_other_names() -> None:
    assert registry.find("bergamot-en-de").origin == "firefox"
    assert registry.find("bergamot-en-zh-Hant").spec.languages == ("en", "zh-Hant")
    hub = registry.find("acme/tiny")
    assert hub.origin == "hub"
    assert hub.spec.sources == (Source("hub", "acme/tiny", "main"),)
    assert registry.find("Helsinki-NLP/opus-mt-en-de").spec.name == "opus-mt-en-de"
    assert registry.find("Helsinki-NLP/opus-mt-xx-yy").spec.languages == ("xx", "yy")


@pytest.mark.parametrize("name", ["openai:gpt-4o", "openai:qwen2.5:7b", "openai:acme/tiny/x"])
def test_a_model_on_a_server(name: str) -> None:
    found = registry.find(name)
    assert (found.origin, found.spec.format) == ("openai", "openai")
    assert found.spec.sources == (Source("openai", name.removeprefix("openai:")),)
    assert "generate" in found.spec.tasks
    assert store.fetch(found.spec) == registry.LocalModel(found.spec, Path())
    assert store.locate(found.spec) is None
    with pytest.raises(ModelError, match="offline no server is asked") as caught:
        store.fetch(found.spec, offline=True)
    assert caught.value.code == ExitCode.MODEL
    for ask in (store.pull, store.verify):
        with pytest.raises(ModelError, match="stays on its server"):
            ask(found.spec)
    assert not store.remove(name)
    assert name not in registry.names()


@pytest.mark.parametrize("name", ["openai:", "openai: ", "openai:\n", "openai:a\x1b[2J"])
def test_no_model_on_a_server(name: str) -> None:
    with pytest.raises(ModelError, match="no model called") as caught:
        registry.find(name)
    assert "openai:NAME" in caught.value.hint


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("opus-mt-en-ed", "opus-mt-en-de"),
        ("opus-mt-ed-en", "opus-mt-de-en"),
        ("bergamot-en-p", "bergamot-en-pt"),
        ("t5-smal", "t5-small"),
        ("nllb", "nllb-200-"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ModelError, match=f"no model called {name}") as caught:
        registry.find(name)
    assert f"did you mean {nearest}" in caught.value.hint
    assert caught.value.code == ExitCode.MODEL


def test_a_name_like_nothing_known() -> None:
    with pytest.raises(ModelError) as caught:
        registry.find("zzzzqqqq")
    assert "models list" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../x",
        "a/b/c",
        "-m",
        "a b",
        "a\n",
        "é",
        "a/",
        "a/..",
        "a:b",
        "a/b:",
        "a/b:c:d",
        ":x",
    ],
)
def test_names_that_are_none(name: str) -> None:
    assert not registry.is_name(name)
    with pytest.raises(UsageError):
        registry.check_name(name)
    with pytest.raises(ModelError):
        registry.find(name)


def test_a_gguf_model_of_a_repository() -> None:
    spec = registry.find("acme/tiny:Q4_K_M").spec
    assert (spec.name, spec.format) == ("acme/tiny:Q4_K_M", "gguf")
    assert spec.sources == (Source("hub", "acme/tiny", "main", files=("Q4_K_M",)),)
    assert registry.find("acme/tiny-GGUF").spec.format == "gguf"
    with pytest.raises(UsageError):
        registry.check_name("acme/tiny:Q4_K_M")


def test_for_pair_and_hub_pair() -> None:
    spec = registry.for_pair("en", "pt")
    assert spec
    assert spec.name == "bergamot-en-pt"
    assert registry.for_pair("en", "de") is None
    pulled = registry.bergamot("en", "de")
    install(pulled, "firefox", model="m")
    spec = registry.for_pair("en", "de")
    assert spec
    assert spec.name == "bergamot-en-de"
    opus = registry.hub_pair("en", "de")
    assert opus
    assert opus.name == "opus-mt-en-de"
    assert registry.hub_pair("en", "xx") is None


def test_an_older_description_gives_way_to_the_catalogue() -> None:
    spec = registry.catalogue()["bergamot-en-pt"]._replace(summary="old", files=())
    folder = install(spec, "catalogue", model="m")
    described = registry.read_json(folder / registry.SPEC_FILE)
    assert registry.find("bergamot-en-pt").spec.summary == "old"
    registry.write_json(folder / registry.SPEC_FILE, {**described, "nlpcli": "0.0"})
    found = registry.find("bergamot-en-pt")
    assert found.spec == registry.catalogue()["bergamot-en-pt"]
    assert store.locate(found.spec) is None, "its files are not those of the catalogue"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1]",
        '{"a": 1}',
        '{"origin": "user", "spec": {"name": "x"}}',
        '{"spec": "x"}',
        '{"spec": {"name": "x", "tasks": [], "format": "", "sources": []}, "pin": {"commit": 1}}',
        '{"spec": {"name": "x", "tasks": [], "format": "", "sources": []}, "stamps": {"f": 1}}',
    ],
)
@pytest.mark.parametrize("place", [registry.entry_file, registry.own_folder, registry.store_folder])
def test_a_damaged_file_is_named_and_can_be_removed(
    content: str, place: Callable[[str], Path]
) -> None:
    file = place("acme/x")
    file = file if file.suffix == ".json" else file / registry.SPEC_FILE
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(ModelError, match=re.escape(f"{file}: damaged")) as caught:
        registry.find("acme/x")
    assert "models remove acme/x" in caught.value.hint
    assert "t5-small" in registry.names()
    assert registry.for_pair("en", "pt")
    assert store.remove("acme/x")
    assert registry.find("acme/x").origin == "hub"


def test_many_languages_come_in_the_order_of_preference() -> None:
    own_spec = own("mine", languages=("en", "pt", "gl"))
    registry.write_entry(own_spec, "user")
    names = [spec.name for spec in registry.many_languages()]
    assert names[:2] == ["mine", "m2m100-418m"]
    assert names.index("m2m100-1.2b") < names.index("nllb-200-distilled-600m")


def test_the_catalogue_invents_nothing() -> None:
    specs = registry.catalogue()
    assert {"bergamot-en-pt", "opus-mt-en-de", "nllb-200-distilled-600m", "t5-base"} <= set(specs)
    for name, spec in specs.items():
        assert spec.name == name
        assert registry.is_name(name)
        for source in spec.sources:
            if source.kind == "wheel":
                hashes = source.sha256.split()
                assert len(hashes) == len(source.location.split())
                assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes)
                assert len(spec.files) == len(source.files)
                assert all(re.fullmatch("[0-9a-f]{64}", sha256) for _, sha256 in spec.files)
            else:
                assert (source.kind, source.revision, spec.files) == ("hub", "main", ())


@pytest.mark.parametrize(
    "repository, name, task",
    [
        ("facebook/bart-large-cnn", "bart-large-cnn", "summarize"),
        ("google/flan-t5-base", "flan-t5-base", "translate"),
        (
            "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
            "distilbert-sst2",
            "classify",
        ),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b-instruct", "generate"),
        ("google-bert/bert-base-uncased", "bert-base-uncased", "finetune"),
        ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2", "classify"),
    ],
)
def test_well_known_repositories(repository: str, name: str, task: str) -> None:
    found = registry.find(repository)
    assert (found.spec.name, found.origin) == (name, "catalogue")
    assert task in found.spec.tasks
    assert name in registry.names(task)


def test_the_tasks_of_the_catalogue_are_those_of_its_architectures() -> None:
    for spec in registry.catalogue().values():
        usual = {*TASKS.get(spec.architecture, ()), "classify", "summarize"}
        assert not spec.architecture or set(spec.tasks) <= usual, spec.name


def test_models_for_other_tasks_translate_nothing() -> None:
    for spec in registry.catalogue().values():
        if len(spec.languages) > 1:
            assert spec.tasks == ("translate",)


words = some.text("abc/-", min_size=1, max_size=8)


@given(
    some.builds(
        ModelSpec,
        words,
        some.tuples(words),
        words,
        some.tuples(some.builds(Source, words, words, files=some.tuples(words, words))),
        languages=some.lists(words).map(tuple),
        files=some.dictionaries(words, words).map(lambda table: tuple(table.items())),
    )
)
def test_json_keeps_everything(spec: ModelSpec) -> None:
    assert registry.from_json(json.loads(json.dumps(registry.to_json(spec)))) == spec


HOT = """
import sys
from nlpcli import registry, store
found = registry.find("bergamot-en-de")
assert registry.for_pair("en", "de") == found.spec
store.fetch(found.spec)
print(*sorted(sys.modules))
"""


def test_a_pulled_model_is_found_without_anything_heavy() -> None:
    install(registry.bergamot("en", "de"), "firefox", model="m")
    done = subprocess.run(
        [sys.executable, "-c", HOT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    heavy = {"tomllib", "torch", "transformers", "numpy", "huggingface_hub", "filelock", "rich"}
    heavy |= {"subprocess", "hashlib", "shutil", "tempfile", "urllib.request", "nlpcli.catalogue"}
    assert modules & heavy == set()
