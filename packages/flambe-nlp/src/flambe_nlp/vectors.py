"""Pretrained word vectors: GloVe, word2vec's two formats, fastText's `.vec`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import BinaryIO, Literal, Protocol

import fsspec
import numpy as np
import numpy.typing as npt

from flambe.component import Component
from flambe_nlp.binary_vectors import binary_vectors
from flambe_nlp.vocabulary import Vocabulary
from flambe_torch.errors import DataError
from flambe_torch.published import find

FloatArray = npt.NDArray[np.float32]
_log = logging.getLogger(__name__)


class VectorSource(Protocol):
    """What gives the tokens of a vocabulary their vectors: `WordVectors`, or a class of one's own."""

    def more_words(self, tokenize: Callable[[str], Sequence[str]]) -> Iterable[str]:
        """The tokens that a vocabulary is to have beside those of the training texts; often none.

        `tokenize` cuts texts as those of the vocabulary are cut.
        """

    def known(self, tokens: Iterable[str]) -> Collection[str]:
        """Those of the tokens that have a vector of their own."""

    def matrix(self, vocabulary: Vocabulary, *, zero: str | None = "<pad>") -> FloatArray:
        """One row for each token of `vocabulary`: (V, D), float32. The token `zero` gets zeros."""


class WordVectors(Component):
    r"""Word vectors in a file: a word and its numbers on each line, parted by single spaces, or binary.

    A first line of two whole numbers (word2vec, fastText) is taken for a header. The file is read once,
    line by line; only the vectors that a vocabulary needs are kept. A word that has no vector gets that
    of its lower-cased form.

    Args:
        path: A local path (also below `FLAMBE_DATA`) or an fsspec URL; `.gz`, `.bz2`, `.xz` are unpacked.
        unknown: What words without a vector get: `random` draws (seeded, with the spread of the vectors
            that were found) or `zero`.
        extend: Add every word of the file to the vocabulary, not only those of the training text.
        seed: For the random draws.
        binary: Whether the file is in word2vec's binary format; if not given, when its name ends in `.bin`.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        ...     _ = file.write("who 1 0\nwhat 0 2\n")
        ...     file.flush()
        ...     WordVectors(file.name, unknown="zero").matrix(Vocabulary(["<pad>", "What"])).tolist()
        [[0.0, 0.0], [0.0, 2.0]]
    """

    def __init__(
        self,
        path: str,
        *,
        unknown: Literal["random", "zero"] = "random",
        extend: bool = False,
        seed: int = 0,
        binary: bool | None = None,
    ) -> None:
        if unknown not in ("random", "zero"):
            raise ValueError(f"unknown must be 'random' or 'zero', not {unknown!r}")
        self.path = path
        self.unknown = unknown
        self.extend = extend
        self.seed = seed
        self.binary = binary

    def words(self) -> list[str]:
        """Every word of the file, in its order."""
        return [word.decode("utf-8", "replace") for word in self._read(lambda word: True)]

    def more_words(self, tokenize: Callable[[str], Sequence[str]]) -> list[str]:
        """Every word of the file if the vocabulary is to be extended, else none."""
        return self.words() if self.extend else []

    def known(self, tokens: Iterable[str]) -> Collection[str]:
        """Those of the tokens that have a vector in the file, or whose lower-cased form has."""
        return self._found(tokens).keys()

    def matrix(self, vocabulary: Vocabulary, *, zero: str | None = "<pad>") -> FloatArray:
        """One row for each token of `vocabulary`: (V, D), float32. The token `zero` gets zeros.

        Raises:
            DataError: The file is malformed, or holds no word of the vocabulary.
        """
        found = self._found(vocabulary)
        known = {row: found[token] for row, token in enumerate(vocabulary) if token in found}
        if not known:
            raise DataError(f"{self.path} has a vector for none of the {len(vocabulary)} words")
        _log.info("%s has vectors for %d of %d words", self.path, len(known), len(vocabulary))
        vectors = np.stack(list(known.values()))
        matrix = self._others(len(vocabulary), vectors)
        matrix[list(known)] = vectors
        if zero in vocabulary:
            matrix[vocabulary.index(zero or "")] = 0
        return matrix

    def _found(self, tokens: Iterable[str]) -> dict[str, FloatArray]:
        """The vectors of those tokens that have one in the file, or whose lower-cased form has."""
        forms = {token: (token.encode(), token.lower().encode()) for token in tokens}
        wanted = {form for both in forms.values() for form in both}
        vectors = self._read(wanted.__contains__)
        return {
            token: vectors[exact if exact in vectors else lowered]
            for token, (exact, lowered) in forms.items()
            if exact in vectors or lowered in vectors
        }

    def _others(self, count: int, vectors: FloatArray) -> FloatArray:
        shape = (count, vectors.shape[1])
        if self.unknown == "zero":
            return np.zeros(shape, dtype=np.float32)
        draws = np.random.default_rng(self.seed).standard_normal(shape, dtype=np.float32)
        draws *= vectors.std()
        return draws

    def _read(self, wanted: Callable[[bytes], bool]) -> dict[bytes, FloatArray]:
        path = find(self.path)
        stem = path.removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
        is_binary = stem.endswith(".bin") if self.binary is None else self.binary
        vectors = binary_vectors if is_binary else _vectors
        with fsspec.open(path, "rb", compression="infer") as stream:
            return dict(vectors(stream, path, wanted))


def _vectors(
    stream: BinaryIO, path: str, wanted: Callable[[bytes], bool]
) -> Iterator[tuple[bytes, FloatArray]]:
    """The word and the vector of each line whose word is `wanted`; of repeated words, the first."""
    size, size_line = 0, 1
    seen: set[bytes] = set()
    for number, line in enumerate(stream, start=1):
        text = line.rstrip()
        if number == 1 and _is_header(text):
            size = int(text.split()[1])
            continue
        if not size:
            size, size_line = text.count(b" "), number
        cut = _cut(text, size)
        if cut is None:
            shown = text.partition(b" ")[0].decode("utf-8", "replace")
            expected = f"{size} as on line {size_line}" if size_line < number else "at least 1"
            raise DataError(
                f"{path}:{number}: {text.count(b' ')} numbers after {shown!r}, expected {expected}"
            )
        word, numbers = cut
        if word not in seen and wanted(word):
            seen.add(word)
            yield word, _numbers(numbers.split(b" "), path, number)
    if not size:
        raise DataError(f"{path} is empty: expected a word and its vector on each line")


def _cut(text: bytes, size: int) -> tuple[bytes, bytes] | None:
    """The word and its `size` numbers, or None if there are more or fewer.

    Lines are not split before their vector is wanted. Some files hold words with spaces in them.
    """
    spaces = text.count(b" ")
    if spaces == size > 0:
        word, _, numbers = text.partition(b" ")
        return word, numbers
    if spaces > size > 0:
        word, *fields = text.rsplit(b" ", size)
        if not _is_number(word.rpartition(b" ")[2]):
            return word, b" ".join(fields)
    return None


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(numbers: list[bytes], path: str, line: int) -> FloatArray:
    try:
        vector = np.array([float(number) for number in numbers], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}:{line}: a vector holds something that is no number ({error})") from None
    if not np.isfinite(vector).all():
        raise DataError(f"{path}:{line}: a vector holds a number that is not finite")
    return vector


def _is_header(text: bytes) -> bool:
    fields = text.split()
    return len(fields) == 2 and all(field.isdigit() for field in fields)
