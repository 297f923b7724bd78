"""Every way a device, a number format and a number of threads are chosen, without a GPU."""

from __future__ import annotations

import ctypes
import io
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nlpcli import device
from nlpcli.device import Device, Found, parse, select
from nlpcli.errors import DeviceError, ExitCode, NlpcliError, UsageError

GPUS = (
    Found("cuda:0", "NVIDIA New", 80 << 30, ("bfloat16", "float16", "float32", "int8")),
    Found("cuda:1", "NVIDIA Old", 16 << 30, ("float16", "float32", "int8")),
)
XPU = Found("xpu:0", "Arc", 8 << 30, ("bfloat16", "float16", "float32"))
MPS = Found("mps", "Apple GPU", 0, ("float16", "float32"))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine without a GPU and with 6 CPUs that do not multiply bfloat16; tests change it."""
    here = SimpleNamespace(cuda=(), torch={}, flags=frozenset({"avx2"}))
    monkeypatch.setattr(device, "cuda_devices", lambda: here.cuda)
    monkeypatch.setattr(device, "torch_devices", lambda kind: here.torch.get(kind, ()))
    monkeypatch.setattr(device, "_could_have", lambda kind: kind in here.torch)
    monkeypatch.setattr(device, "cpu_flags", lambda: here.flags)
    monkeypatch.setattr(device, "cpu_threads", lambda: 6)
    return here


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("auto", ("auto", None)),
        ("cpu", ("cpu", None)),
        ("cuda", ("cuda", None)),
        ("cuda:12", ("cuda", 12)),
        ("xpu:0", ("xpu", 0)),
        ("mps", ("mps", None)),
    ],
)
def test_names_of_devices(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cpu:0", "auto:1", "mps:0", ":1"]
)
def test_what_is_no_name_of_a_device(text: str) -> None:
    with pytest.raises(UsageError, match="no such device"):
        parse(text)


def test_auto_without_a_gpu() -> None:
    chosen = select()
    assert (chosen.kind, chosen.dtype, chosen.threads, str(chosen)) == ("cpu", "float32", 6, "cpu")
    assert chosen.why == "no GPU; float32 is its fastest format here"
    assert select(allowed=("cpu",)).why.startswith("its backend uses the CPU")


def test_auto_takes_the_first_gpu_that_the_backend_can_use(machine: SimpleNamespace) -> None:
    machine.torch = {"xpu": (XPU,)}
    assert str(select()) == "xpu:0"
    machine.torch = {"mps": (MPS,), "xpu": (XPU,)}
    assert (str(select()), select().dtype) == ("mps", "float16")
    machine.cuda = GPUS
    assert str(select()) == "cuda:0"
    assert select().why.startswith("the first CUDA GPU; bfloat16")
    assert str(select(allowed=("cpu", "xpu"))) == "xpu:0"
    assert str(select(allowed=("cpu",))) == "cpu"


def test_auto_never_takes_what_the_backend_cannot_use() -> None:
    with pytest.raises(DeviceError, match="cannot use cpu, only cuda"):
        select(allowed=("cuda",))


def test_a_named_device(machine: SimpleNamespace) -> None:
    machine.cuda = GPUS
    assert select("cuda:1") == Device(
        "cuda", 1, "float16", 6, "--device cuda:1; float16 is its fastest format here"
    )
    assert str(select("cuda")) == "cuda:0"
    assert str(select("cpu")) == "cpu"


def test_a_named_device_that_is_not_here(machine: SimpleNamespace) -> None:
    for kind in ("cuda", "mps", "xpu"):
        with pytest.raises(DeviceError, match=f"no {kind.upper()} device") as caught:
            select(kind)
        assert "--device cpu" in caught.value.hint
        assert caught.value.code == ExitCode.DEVICE
        with pytest.raises(DeviceError):
            device.check(kind)
    machine.cuda = GPUS
    with pytest.raises(DeviceError, match="no device cuda:2") as caught:
        select("cuda:2")
    assert caught.value.hint == "there are: cuda:0, cuda:1"
    with pytest.raises(DeviceError, match="cannot use cuda, only cpu"):
        select("cuda", allowed=("cpu",))


def test_checking_a_name_alone(machine: SimpleNamespace) -> None:
    machine.cuda = GPUS
    for name in ("auto", "cpu", "cuda", "cuda:1"):
        device.check(name)
    with pytest.raises(UsageError):
        device.check("tpu")


def test_number_formats(machine: SimpleNamespace) -> None:
    assert select(preferred="int8").dtype == "int8"
    assert select(dtype="float32", preferred="int8").why == "no GPU; --dtype float32"
    assert select(dtype="bfloat16").dtype == "bfloat16"
    machine.flags = frozenset({"amx_bf16"})
    assert select().dtype == "bfloat16"
    machine.cuda = GPUS
    assert select(preferred="int8").dtype == "bfloat16"
    assert select(dtype="int8").dtype == "int8"


@pytest.mark.parametrize(
    ("name", "dtype", "problem"),
    [
        ("cpu", "float16", r"cpu \(.*\) does not compute in float16"),
        ("cuda:1", "bfloat16", r"cuda:1 \(NVIDIA Old\) does not compute in bfloat16"),
        ("cpu", "half", "no such dtype: half"),
    ],
)
def test_a_number_format_that_the_device_lacks(
    machine: SimpleNamespace, name: str, dtype: str, problem: str
) -> None:
    machine.cuda = GPUS
    with pytest.raises(NlpcliError, match=problem) as caught:
        select(name, dtype)
    assert "float32" in caught.value.hint


def test_threads() -> None:
    assert select(threads=3).threads == 3


@pytest.mark.parametrize(
    ("limit", "affinity", "threads"),
    [
        ("max 100000", 4, 4),
        ("250000 100000", 4, 2),
        ("50000 100000", 4, 1),
        ("800000 100000", 4, 4),
        ("garbage", 4, 4),
        (None, 3, 3),
    ],
)
def test_cpus_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, affinity: int, threads: int
) -> None:
    monkeypatch.undo()

    def opened(path: str, **options: Any) -> io.StringIO:
        if limit is None:
            raise FileNotFoundError
        return io.StringIO(limit)

    monkeypatch.setattr(device, "open", opened, raising=False)
    if hasattr(device.os, "sched_getaffinity"):
        monkeypatch.setattr(device.os, "sched_getaffinity", lambda process: range(affinity))
    else:
        monkeypatch.setattr(device.os, "cpu_count", lambda: affinity)
    assert device.cpu_threads() == threads


def test_the_processor_has_a_name_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    found = device.cpu_device()
    assert found.device == "cpu"
    assert found.name
    assert found.memory > 0

    def missing(*path: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(device, "open", missing, raising=False)
    assert device.cpu_device().name


class Driver:
    """CUDA's driver with two GPUs, or one that fails."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        handle._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, handle: Any) -> int:
        name.value = f"GPU {handle.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, handle: Any) -> int:
        memory._obj.value = 24 << 30
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:
        value._obj.value = 9 if handle.value == 0 else 7
        return 0


def test_what_the_cuda_driver_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    ask = device.cuda_devices.__wrapped__
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    new, old = ask()
    assert new == Found("cuda:0", "GPU 0", 24 << 30, GPUS[0].dtypes)
    assert old == Found("cuda:1", "GPU 1", 24 << 30, GPUS[1].dtypes)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(status=100))
    assert ask() == ()

    def missing(name: str) -> None:
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert ask() == ()


def test_torch_is_not_asked_about_what_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    code = (
        "import sys, nlpcli.device as device\n"
        "device.cuda_devices(), device.cpu_device()\n"
        "other = 'mps' if sys.platform != 'darwin' else 'xpu'\n"
        "assert device.torch_devices(other) == ()\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
