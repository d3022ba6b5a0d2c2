"""How much memory there is, and whether an error says that it was not enough."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

# by allocators and libraries that raise a RuntimeError like any other
SAID = ("can't allocate memory", "out of memory", "not enough memory", "cublas_status_alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """Whether it is one: of Python, of a device, or of an allocator that says so in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return any(words in str(error).lower() for words in SAID)


def of_machine() -> int:
    """Bytes this process may have: the machine's, or its container's limit."""
    whole = psutil.virtual_memory().total
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdigit() else whole
