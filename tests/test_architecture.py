"""Imports run downwards only, and the heavy libraries stay in the leaves that need them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import nlpcli

ROOT = Path(nlpcli.__file__).parent
LAYERS = [
    {"cli"},
    {"training"},
    {"runners", "metrics"},
    {"tasks"},
    {"backends"},
    {"store"},
    {"registry"},
    {"catalogue", "languages"},
    {"partfile"},
    {"device", "writing"},
    {"inputs"},
    {"records"},
    {"tables"},
    {"streams", "batching", "parquet", "output"},
    {"settings", "notice", "remote", "kinds"},
    {"errors"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
LEAVES = {
    "torch": {"backends", "store", "device", "training"},
    "transformers": {"backends", "store", "training"},
    "ctranslate2": {"backends"},
    "fxtranslate": {"backends", "store"},
    "sentencepiece": {"backends", "training"},
    "tokenizers": {"backends", "training"},
    "huggingface_hub": {"store", "backends"},
    "safetensors": {"store", "backends", "training"},
    "numpy": {"backends", "store", "tasks", "metrics"},
    "sacrebleu": {"metrics"},
    "rouge_score": {"metrics"},
    "nltk": {"metrics"},
    "rapidfuzz": {"metrics"},
    "accelerate": {"training"},
    "peft": {"training"},
    "xllamacpp": {"backends"},
    "gguf": {"backends"},
    "jinja2": {"backends"},
    "httpx2": {"backends"},
    "ray": {"runners"},
    "pyarrow": {"parquet"},
    "fsspec": {"remote"},
}


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each module that `tree` imports, and whether that happens as the file is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, True) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", True) for alias in node.names)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from ((name, early and not inside) for name, early in imports(node))


def package(name: str) -> str:
    return name.split(".")[1] if name.count(".") else ""


def sources() -> list[tuple[str, str, ast.Module]]:
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        relative = file.relative_to(ROOT)
        found.append(
            (relative.parts[0].removesuffix(".py"), str(relative), ast.parse(file.read_text()))
        )
    return found


def test_every_module_has_a_layer() -> None:
    names = {name for name, _, _ in sources()} - {"__init__", "__main__"}
    assert names <= RANK.keys()


def test_imports_run_downwards() -> None:
    upwards = [
        f"{file} imports {name}"
        for own, file, tree in sources()
        if own in RANK
        for name, _ in imports(tree)
        if name.startswith("nlpcli.") and package(name) in RANK
        if RANK[package(name)] < RANK[own]
        or (RANK[package(name)] == RANK[own] and package(name) != own)
    ]
    assert upwards == []


def test_heavy_libraries_stay_in_their_leaves() -> None:
    strays = [
        f"{file} imports {name}"
        for own, file, tree in sources()
        for name, _ in imports(tree)
        if (top := name.split(".")[0]) in LEAVES and own not in LEAVES[top]
    ]
    assert strays == []


def test_only_one_backend_loads_a_heavy_library_with_its_module() -> None:
    """Packages whose __init__ is read at start-up import none of them at all."""
    early = [
        f"{file} imports {name}"
        for own, file, tree in sources()
        if own != "backends" or file.endswith("__init__.py")
        for name, as_loaded in imports(tree)
        if as_loaded and name.split(".")[0] in LEAVES
        if own not in ("store", "metrics", "training") or file.endswith("__init__.py")
    ]
    assert early == []


def test_nobody_imports_click() -> None:
    assert [
        f for _, f, tree in sources() for n, _ in imports(tree) if n.split(".")[0] == "click"
    ] == []
