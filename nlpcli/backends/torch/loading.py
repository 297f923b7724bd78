"""What holds for every model that transformers loads: from files alone, no code of theirs run."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from nlpcli.backends.ct2.convert import quiet
from nlpcli.device import Device
from nlpcli.errors import DeviceError, ModelError

FROM_FILES: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
WEIGHTS: dict[str, Any] = {**FROM_FILES, "use_safetensors": True}


def prepare(device: Device) -> None:
    """Set the threads that PyTorch computes with, and whether it may take a faster way that gives
    other results each time."""
    torch.set_num_threads(device.threads_of_one)
    if device.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def release() -> None:
    """Give back what a failed batch held, and what PyTorch keeps of a GPU's memory for later."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where no GPU is in use


@contextmanager
def loading(name: str, device: object) -> Iterator[None]:
    """Raise ModelError where the model `name` cannot be loaded, DeviceError where the memory of
    `device` does not suffice; transformers says nothing."""
    try:
        with quiet():
            yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"{device}: not enough memory for {name}", "use a smaller model"
        ) from error
    except (ValueError, OSError, ImportError, LookupError) as error:
        said = str(error.args[0] if isinstance(error, LookupError) and error.args else error)
        reason = (said.strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{name} cannot be loaded: {reason}") from error
