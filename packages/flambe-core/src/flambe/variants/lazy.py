"""A list that is made as far as it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TypeVar, overload

T = TypeVar("T")


class Lazy(Sequence[T]):
    """The items that `make()` gives, made when they are first looked at, and kept.

    Example:
        >>> squares = Lazy(lambda: (n * n for n in range(10**12)))
        >>> squares[:3]
        [0, 1, 4]
    """

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make
        self._made: list[T] = []

    def __iter__(self) -> Iterator[T]:
        at = 0
        while self._reach(at + 1):
            yield self._made[at]
            at += 1

    def __bool__(self) -> bool:
        return self._reach(1)

    def __len__(self) -> int:
        self._made.extend(self._rest)
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        last = index.stop if isinstance(index, slice) else index + 1
        if last is None or last <= 0:  # only known from the end
            last = len(self)
        self._reach(last)
        return self._made[index]

    @cached_property
    def _rest(self) -> Iterator[T]:
        return iter(self._make())

    def _reach(self, count: int) -> bool:
        if len(self._made) < count:
            self._made.extend(islice(self._rest, count - len(self._made)))
        return len(self._made) >= count
