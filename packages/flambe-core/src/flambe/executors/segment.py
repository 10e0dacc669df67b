"""Shared memory without a name: whatever is killed at whatever instant, nothing of it stays behind.

A segment is written once and then only read. Where file descriptors can be sent between processes
(everywhere but on Windows) it is an anonymous file; on Windows a named mapping, which the system
drops with its last user.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import uuid
from collections.abc import Sequence
from typing import Any

ALIGNMENT = 64
"""Where a chunk begins: fit for vector instructions on what it holds."""

Chunk = bytes | memoryview


class Descriptor:
    """Owns a file descriptor; a `Wire` carries it to another process, which then owns one of its own."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def copy(self) -> Descriptor:
        return Descriptor(os.dup(self.fd))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Segment:
    """A read-only piece of memory that several processes share."""

    __slots__ = ("size", "source")

    def __init__(self, source: Descriptor, size: int) -> None:
        self.source = source
        self.size = size

    @classmethod
    def holding(cls, chunks: Sequence[Chunk]) -> tuple[Segment, list[int]]:
        """A segment with the contents of `chunks`, and the offset of each.

        Raises:
            OSError: there is no room for it.
        """
        offsets, size = _layout(chunks)
        source = Descriptor(anonymous_file())
        try:
            os.ftruncate(source.fd, size)
            for chunk, offset in zip(chunks, offsets, strict=True):
                _write(source.fd, chunk, offset)
        except BaseException:
            source.close()
            raise
        return cls(source, size), offsets

    def map(self) -> mmap.mmap:
        """The contents. What is written there is seen by nobody else (copy on write).

        Raises:
            ValueError: the segment was closed.
        """
        if self.source.fd < 0:
            raise ValueError("the shared memory was released")
        return mmap.mmap(self.source.fd, self.size, access=mmap.ACCESS_COPY)

    def copy(self) -> Segment:
        """The same memory under an owner of its own."""
        return Segment(self.source.copy(), self.size)

    def close(self) -> None:
        """Give up this owner's claim; mappings stay valid, and the memory goes with its last user."""
        self.source.close()


class NamedSegment(Segment):
    """A segment on Windows, where the other process opens it by name while this one holds it."""

    __slots__ = ("_held", "name")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._held: mmap.mmap | None = None
        if sys.platform == "win32":
            self._held = mmap.mmap(-1, size, tagname=name)

    @classmethod
    def holding(cls, chunks: Sequence[Chunk]) -> tuple[Segment, list[int]]:
        offsets, size = _layout(chunks)
        segment = cls(f"flambe-{uuid.uuid4().hex}", size)
        assert segment._held is not None
        for chunk, offset in zip(chunks, offsets, strict=True):
            segment._held[offset : offset + len(chunk)] = chunk
        return segment, offsets

    def map(self) -> mmap.mmap:
        if sys.platform != "win32":
            raise NotImplementedError("named segments are for Windows")
        return mmap.mmap(-1, self.size, tagname=self.name, access=mmap.ACCESS_COPY)

    def copy(self) -> Segment:
        return NamedSegment(self.name, self.size)

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def __reduce__(self) -> tuple[Any, ...]:
        return NamedSegment, (self.name, self.size)


SegmentType: type[Segment] = NamedSegment if sys.platform == "win32" else Segment


def anonymous_file() -> int:
    """The descriptor of an empty file in memory (Linux) or without a name on disk (elsewhere)."""
    if sys.platform == "linux":
        return os.memfd_create("flambe", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _layout(chunks: Sequence[Chunk]) -> tuple[list[int], int]:
    offsets, end = [], 0
    for chunk in chunks:
        offsets.append(end)
        end += -(-len(chunk) // ALIGNMENT) * ALIGNMENT
    return offsets, end


def _write(fd: int, chunk: Chunk, offset: int) -> None:
    rest = memoryview(chunk)
    while rest:
        written = os.pwrite(fd, rest, offset)  # the system takes at most 2 GiB at once
        rest, offset = rest[written:], offset + written
