"""What is said where the memory of a device does not suffice for a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nlpcli.errors import DeviceError


@contextmanager
def of_batch(device: object) -> Iterator[None]:
    """Raise DeviceError where what runs inside is out of memory. CTranslate2 and PyTorch raise a
    RuntimeError whose text says so."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        raise DeviceError(
            f"{device}: not enough memory for this batch", "use a smaller --batch-size"
        ) from error
