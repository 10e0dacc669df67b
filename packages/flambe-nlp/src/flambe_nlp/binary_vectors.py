"""Word vectors in word2vec's binary format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from flambe_torch.errors import DataError

_CHUNK_BYTES = 1 << 22
_LONGEST_WORD = 10_000
"""Bytes; what is longer is no word, and the file none of this format."""


def binary_vectors(
    stream: BinaryIO, path: str, wanted: Callable[[bytes], bool]
) -> Iterator[tuple[bytes, npt.NDArray[np.float32]]]:
    """The word and the vector of each word that is `wanted`; of repeated words, the first.

    The format: a line with the number of words V and of dimensions D; then V times the word, a space and D
    float32, little-endian; line feeds before a word do not belong to it.

    Raises:
        DataError: The file is of another format, or cut short.
    """
    header = stream.readline(100).split()
    if len(header) != 2 or not all(field.isdigit() for field in header):
        raise DataError(f"{path}: expected the number of words and of dimensions first, found {header!r}")
    count, size = map(int, header)
    seen: set[bytes] = set()
    buffer, start = b"", 0
    for number in range(count):
        end = buffer.find(b" ", start)
        if end < 0 or end + 1 + 4 * size > len(buffer):
            buffer, start = buffer[start:] + stream.read(_CHUNK_BYTES + 4 * size), 0
            end = buffer.find(b" ", 0, _LONGEST_WORD)
        first, last = end + 1, end + 1 + 4 * size
        if end < 0 or last > len(buffer):
            raise DataError(f"{path}: word {number + 1} of {count} is cut short, or it is another format")
        word = buffer[start:end].lstrip(b"\n")
        if word not in seen and wanted(word):
            vector = np.frombuffer(buffer[first:last], dtype="<f4").astype(np.float32)
            if not np.isfinite(vector).all():
                shown = word.decode("utf-8", "replace")
                raise DataError(f"{path}: the vector of {shown!r} holds a number that is not finite")
            seen.add(word)
            yield word, vector
        start = last
