"""Which models translate a pair of languages: one, or two through a language between."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from nlpcli import registry, store
from nlpcli.errors import ModelError, UsageError, did_you_mean
from nlpcli.registry import ModelSpec

PIVOT = "en"


def base(tag: str) -> str:
    """The language of a BCP 47 tag, without script or region."""
    return tag.partition("-")[0]


def tag(name: str) -> str:
    """`name` as a BCP 47 tag: PT, pt_BR, por and Portuguese are understood. Raises UsageError."""
    if name == "auto" or (len(name) == 2 and name.isascii() and name.islower()):
        return name
    from nlpcli import languages

    plain = name.replace("_", "-")
    names = {each.name.lower(): each.tag for each in languages.table().values()}
    found = languages.find(plain)
    if found:
        region = plain.partition("-")[2]
        return f"{found.tag}-{region}" if region and "-" not in found.tag else found.tag
    if name.lower() in names:
        return names[name.lower()]
    if plain.partition("-")[0].isalpha() and len(plain.partition("-")[0]) in (2, 3):
        return plain  # no language of the table, but perhaps of a model
    hint = did_you_mean(name.lower(), names) or "give its BCP 47 tag, such as pt or zh-Hant"
    raise UsageError(f"no such language: {name or 'the empty text'}", hint)


def route(
    source: str, target: str, *, via: str | None = None, offline: bool = False
) -> list[ModelSpec]:
    """The models for `source` to `target`, in the order they run; two go through `via`.

    Without `via`: a model of that direction from the user's registry, Firefox Translations or
    opus-mt, else two of them through English, else a many-language model. `offline` takes only
    what is here, and so does a network that fails. Raises ModelError naming the pairs that are
    there, or what failed.
    """
    try:
        return _route(source, target, via, offline)
    except ModelError:
        if offline:
            raise
        with suppress(ModelError):
            return _route(source, target, via, offline=True)
        raise


def _route(source: str, target: str, via: str | None, offline: bool) -> list[ModelSpec]:
    if not via:
        spec = _direct(source, target, offline)
        if spec:
            return [spec]
    middle = via or PIVOT
    if middle not in (base(source), base(target)):
        legs = [_direct(source, middle, offline), _direct(middle, target, offline)]
        if all(legs):
            return [leg for leg in legs if leg]
    if not via:
        spec = _many_languages(source, target, offline)
        if spec:
            return [spec]
    raise _nothing(source, target, via, offline)


def _direct(source: str, target: str, offline: bool) -> ModelSpec | None:
    tries = dict.fromkeys([(source, target), (base(source), base(target))])
    for pair in tries:
        for look in (registry.for_pair, partial(_firefox, offline), registry.hub_pair):
            spec = look(*pair)
            if spec and (not offline or store.locate(spec)):
                return spec
    return None


def _firefox(offline: bool, source: str, target: str) -> ModelSpec | None:
    from nlpcli.store import firefox

    there = (source, target) in firefox.pairs(offline)
    return registry.bergamot(source, target) if there else None


def _many_languages(source: str, target: str, offline: bool) -> ModelSpec | None:
    """A many-language model that covers both; one that is here before one that is not."""
    wanted = {base(source), base(target)}
    specs = [
        spec
        for spec in registry.many_languages()
        if wanted <= {base(tag) for tag in spec.languages}
    ]
    here = [spec for spec in specs if store.locate(spec)]
    return next(iter(here or ([] if offline else specs)), None)


def _nothing(source: str, target: str, via: str | None, offline: bool) -> ModelError:
    here = []
    for name in registry.names("translate"):
        spec = registry.find(name).spec
        if len(spec.languages) == 2 and store.locate(spec):
            here.append("-".join(spec.languages))
    through = f" through {via}" if via else ""
    where = " on this machine" if offline else ""
    return ModelError(
        f"no model for {source} to {target}{through}{where}; here: {', '.join(here) or 'none'}",
        "get one: nlpcli models pull NAME (see nlpcli models list --task translate), or -m MODEL"
        + (", or drop --offline" if offline else ""),
    )
