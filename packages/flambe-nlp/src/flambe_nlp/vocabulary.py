"""The vocabulary: tokens to numbers and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt

from flambe_torch.published import find

IntArray = npt.NDArray[np.integer[Any]]


class Vocabulary:
    """Tokens in a fixed order; a token's index is its number.

    Args:
        tokens: Distinct tokens.
        unknown: The token that stands for all others; None makes them an error.

    Example:
        >>> vocabulary = Vocabulary(["<unk>", "who", "what"], unknown="<unk>")
        >>> vocabulary.index("what"), vocabulary.index("zebra")
        (2, 0)
    """

    __slots__ = ("_index", "tokens", "unknown")

    def __init__(self, tokens: Iterable[str], *, unknown: str | None = None) -> None:
        self.tokens = tuple(tokens)
        self.unknown = unknown
        self._index = _Index({token: index for index, token in enumerate(self.tokens)})
        if len(self._index) != len(self.tokens):
            repeated = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise ValueError(f"a vocabulary needs distinct tokens, and {repeated!r} is there twice")
        if unknown is not None and unknown not in self._index:
            raise ValueError(f"the token for unknown words, {unknown!r}, is not in the vocabulary")
        self._index.unknown = None if unknown is None else self._index[unknown]

    @classmethod
    def counted(
        cls,
        token_lists: Iterable[Sequence[str]],
        *,
        special: Sequence[str] = (),
        unknown: str | None = None,
        min_freq: int = 1,
        max_size: int | None = None,
    ) -> Vocabulary:
        """The `special` tokens, then the tokens seen at least `min_freq` times, most frequent first.

        Ties go by the alphabet, so that the order depends on nothing but the text. `max_size` counts
        the special tokens too.

        Raises:
            ValueError: `max_size` leaves no room for them, or for any token.
        """
        if max_size is not None and max_size < max(1, len(special)):
            expected = f"the {len(special)} special ones" if special else "one"
            raise ValueError(f"a vocabulary of at most {max_size} tokens has no room for {expected}")
        counts = Counter(chain.from_iterable(token_lists))
        for token in special:
            counts.pop(token, None)
        kept = [token for token, count in counts.items() if count >= min_freq]
        kept.sort(key=lambda token: (-counts[token], token))
        return cls((*special, *kept)[:max_size], unknown=unknown)

    def extended(self, tokens: Iterable[str]) -> Vocabulary:
        """This vocabulary and, behind its tokens, those of `tokens` that are new."""
        new = [token for token in dict.fromkeys(tokens) if token not in self._index]
        return Vocabulary((*self.tokens, *new), unknown=self.unknown)

    def index(self, token: str) -> int:
        """The number of `token`, or of the unknown token.

        Raises:
            KeyError: The token is not there, and nothing stands for unknown tokens.
        """
        return self._index[token]

    def numbers(self, tokens: Iterable[str]) -> Iterator[int]:
        """The tokens' numbers, one after the other; raises as `index` does."""
        return map(self._index.__getitem__, tokens)

    def encode(self, token_lists: Sequence[Sequence[str]]) -> tuple[IntArray, IntArray]:
        """All tokens' numbers one after the other, and where each list begins (N + 1 offsets)."""
        offsets = np.zeros(len(token_lists) + 1, dtype=np.int64)
        np.cumsum([len(tokens) for tokens in token_lists], out=offsets[1:])
        numbers = self.numbers(chain.from_iterable(token_lists))
        return np.fromiter(numbers, dtype=np.int32, count=int(offsets[-1])), offsets

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __getitem__(self, index: int) -> str:
        return self.tokens[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (self.tokens, self.unknown) == (other.tokens, other.unknown)

    def __hash__(self) -> int:
        return hash((self.tokens, self.unknown))

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} tokens>"

    def __reduce__(self) -> tuple[object, tuple[tuple[str, ...], str | None]]:
        return _rebuilt, (self.tokens, self.unknown)


def listed(words: Sequence[str] | str | None) -> Sequence[str]:
    """The words themselves, or those of the file at that path or URL, one on each line; none for None."""
    if not isinstance(words, str):
        return words or ()
    with fsspec.open(find(words), "rt", encoding="utf-8") as stream:
        return [line.rstrip("\n") for line in stream if line.strip()]


class _Index(dict[str, int]):
    """Numbers by token; those of other tokens are `unknown`, or an error if that is None."""

    unknown: int | None = None

    def __missing__(self, token: str) -> int:
        if self.unknown is None:
            raise KeyError(token)
        return self.unknown


def _rebuilt(tokens: tuple[str, ...], unknown: str | None) -> Vocabulary:
    return Vocabulary(tokens, unknown=unknown)
