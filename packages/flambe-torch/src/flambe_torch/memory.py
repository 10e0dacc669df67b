"""Memory that training frees and asks for again, kept by the process instead of given back each time."""

from __future__ import annotations

import ctypes
import os

KEPT_BYTES = 2**30
MAPPED_FROM_BYTES = 2**25

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Let the allocator of this process keep up to a gigabyte that was freed.

    Each iteration frees its activations and gradients and the next one asks for as much. As it is set up,
    glibc's allocator gives blocks of a few megabytes back to the system at once, more so in threads other
    than the first, and every page that comes back costs a fault: a tenth to a quarter of the time of a
    small model's iteration. Blocks under 32 MiB, its own limit, come from memory that is kept. Other
    allocators and systems are left alone.

    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    if os.name != "posix":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
