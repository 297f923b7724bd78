"""Number formats of CTranslate2: what the weights are kept in, and what they are computed in."""

from __future__ import annotations

from nlpcli.device import Device


def stored(device: Device) -> str:
    """The weights' format: on a CPU CTranslate2 has no 16-bit floats and would widen them."""
    if device.kind == "cpu" and device.dtype in ("float16", "bfloat16"):
        return "float32"
    return device.dtype


def computed(stored: str, device: Device) -> str:
    if stored == "int8":
        return "int8" if device.kind == "cpu" else "int8_float16"
    return stored
