"""Which device computes, in which number format, on how many threads, and why.

Asks the operating system and the drivers; torch is imported only where nothing else can tell
(MPS and XPU), and only when such a device is asked for or could exist.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from functools import cache
from typing import NamedTuple

from nlpcli.errors import DeviceError, UsageError

KINDS = ("cpu", "cuda", "mps", "xpu")
DTYPES = ("auto", "float32", "float16", "bfloat16", "int8")


class Device(NamedTuple):
    """`kind` is one of KINDS, `index` the number of the GPU, `threads` those for the CPU;
    `why` says in a few words what decided. With `deterministic` a text gets the same answer, to the
    bit, whatever else is computed."""

    kind: str
    index: int = 0  # type: ignore[assignment]  # a tuple's own method is of no use here
    dtype: str = "float32"
    threads: int = 1
    why: str = ""
    deterministic: bool = False

    def batch_size(self, asked: int) -> int:
        """The greatest batch (0: a budget decides) where `asked` was asked for."""
        return 1 if self.deterministic else asked

    @property
    def threads_of_one(self) -> int:
        """Threads that may share the products of one batch: how they do moves the last bits."""
        return 1 if self.deterministic else self.threads

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}" if self.kind in ("cuda", "xpu") else self.kind


class Found(NamedTuple):
    """One device of this machine. `memory` is in bytes, 0 where unknown."""

    device: str
    name: str
    memory: int
    dtypes: tuple[str, ...]


@cache
def cpu_flags() -> frozenset[str]:
    """The processor's feature flags as Linux names them; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith(("flags", "Features")):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively, so that it beats float32."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def cpu_threads() -> int:
    """CPUs this process may use: its affinity mask, and the cgroup's quota where lower."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return count


@cache
def cuda_devices() -> tuple[Found, ...]:
    """The GPUs that the CUDA driver shows (CUDA_VISIBLE_DEVICES holds); () without a driver."""
    import ctypes

    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    found = []
    for index in range(count.value):
        handle, memory = ctypes.c_int(), ctypes.c_size_t()
        name = ctypes.create_string_buffer(128)
        major = ctypes.c_int()
        driver.cuDeviceGet(ctypes.byref(handle), index)
        driver.cuDeviceGetName(name, len(name), handle)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
        capability_major = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        driver.cuDeviceGetAttribute(ctypes.byref(major), capability_major, handle)
        dtypes = ("bfloat16", "float16", "float32", "int8")
        found.append(
            Found(
                f"cuda:{index}",
                name.value.decode(errors="replace"),
                memory.value,
                dtypes if major.value >= 8 else dtypes[1:],
            )
        )
    return tuple(found)


@cache
def torch_devices(kind: str) -> tuple[Found, ...]:
    """The `mps` or `xpu` devices that torch sees; () where the platform cannot have one."""
    if kind == "mps" and sys.platform != "darwin":
        return ()
    if kind == "xpu" and sys.platform == "darwin":
        return ()
    import torch

    if kind == "mps":
        available = torch.backends.mps.is_available()
        return (Found("mps", "Apple GPU", 0, ("float16", "float32")),) if available else ()
    if not torch.xpu.is_available():
        return ()
    return tuple(
        Found(
            f"xpu:{index}",
            torch.xpu.get_device_name(index),
            torch.xpu.get_device_properties(index).total_memory,
            ("bfloat16", "float16", "float32"),
        )
        for index in range(torch.xpu.device_count())
    )


def cpu_device() -> Found:
    """This machine's processor; its first dtype is the fastest for torch."""
    name = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            name = next((x.partition(":")[2].strip() for x in lines if "model name" in x), "")
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        memory = 0
    if not name:
        import platform

        name = platform.processor() or platform.machine()
    dtypes = ("bfloat16", "float32", "int8") if cpu_has_bfloat16() else ("float32", "int8")
    return Found("cpu", name, memory, dtypes)


def parse(text: str) -> tuple[str, int | None]:
    """`cuda:1` as ("cuda", 1); `cuda` as ("cuda", None). Raises UsageError."""
    kind, colon, number = text.partition(":")
    numbered = number.isdecimal() and kind in ("cuda", "xpu")
    if kind not in (*KINDS, "auto") or (colon and not numbered):
        raise UsageError(f"no such device: {text}", "name one of auto, cpu, cuda, cuda:1, mps, xpu")
    return kind, int(number) if colon else None


def select(
    requested: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    *,
    allowed: Collection[str] = KINDS,
    preferred: str = "",
) -> Device:
    """The device for `requested` among the kinds in `allowed` (what the backend can use).

    `preferred` is the dtype that the backend would take on a CPU; otherwise bfloat16 where the
    device computes in it natively, float16 on other GPUs, float32 on other CPUs. `threads` 0
    means all CPUs of this process. Raises UsageError, or DeviceError where there is no such device.
    """
    kind, index = parse(requested)
    if dtype not in DTYPES:
        raise UsageError(f"no such dtype: {dtype}", f"name one of {', '.join(DTYPES)}")
    if kind == "auto":
        found, why = _automatic(allowed)
    else:
        found, why = _named(kind, index or 0), f"--device {requested}"
    kind, _, number = found.device.partition(":")
    if kind not in allowed:
        raise DeviceError(
            f"this model's backend cannot use {kind}, only {', '.join(sorted(allowed))}",
            "choose another device, another --backend or another --model",
        )
    if dtype == "auto":
        chosen = preferred if kind == "cpu" and preferred else found.dtypes[0]
        why += f"; {chosen} is its fastest format here"
    elif dtype not in found.dtypes and not (kind == "cpu" and dtype == "bfloat16"):
        raise DeviceError(
            f"{found.device} ({found.name}) does not compute in {dtype}",
            f"choose one of {', '.join(found.dtypes)}",
        )
    else:
        chosen = dtype
        why += f"; --dtype {dtype}"
    return Device(kind, int(number or 0), chosen, threads or cpu_threads(), why)


def check(requested: str) -> None:
    """Raise UsageError for a device that cannot be, DeviceError for one that is not here."""
    kind, index = parse(requested)
    if kind not in ("auto", "cpu"):
        _named(kind, index or 0)


def _automatic(allowed: Collection[str]) -> tuple[Found, str]:
    if "cuda" in allowed and cuda_devices():
        return cuda_devices()[0], "the first CUDA GPU"
    for kind in ("mps", "xpu"):
        if kind in allowed and _could_have(kind) and torch_devices(kind):
            return torch_devices(kind)[0], f"an {kind.upper()} GPU"
    return cpu_device(), "no GPU" if "cuda" in allowed else "its backend uses the CPU"


def _could_have(kind: str) -> bool:
    """Whether it is worth importing torch to look for `kind`."""
    if kind == "mps":
        return sys.platform == "darwin" and os.uname().machine == "arm64"
    return os.path.isdir("/sys/module/xe") or os.path.isdir("/sys/module/i915")


def _named(kind: str, index: int) -> Found:
    if kind == "cpu":
        return cpu_device()
    found = cuda_devices() if kind == "cuda" else torch_devices(kind)
    if not found:
        raise DeviceError(f"no {kind.upper()} device on this machine", _cure(kind))
    if index >= len(found):
        names = ", ".join(device.device for device in found)
        raise DeviceError(f"no device {kind}:{index}", f"there are: {names}")
    return found[index]


def _cure(kind: str) -> str:
    if kind == "cuda":
        return "use --device cpu, or install NVIDIA's driver; `nlpcli devices` lists what is here"
    return "use --device cpu; `nlpcli devices` lists what is here"
