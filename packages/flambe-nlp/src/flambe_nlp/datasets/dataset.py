"""What a data set is, and how one part is split in two."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from flambe.component import Component

Row: TypeAlias = tuple[str, ...]
"""The raw strings of one example; text first and label second for classification."""


class Parts(NamedTuple):
    """The three parts of a data set; `dev` and `test` may be empty."""

    train: Sequence[Row]
    dev: Sequence[Row]
    test: Sequence[Row]


class TextDataset(Component, ABC):
    """Three parts of rows of raw strings. Nothing is read before one of them is asked for.

    Inherit and write `read` for one of your own.
    """

    _parts: Parts | None = None

    @abstractmethod
    def read(self) -> Parts:
        """All three parts, from wherever they lie."""

    @property
    def parts(self) -> Parts:
        if self._parts is None:
            self._parts = self.read()
        return self._parts

    @property
    def train(self) -> Sequence[Row]:
        return self.parts.train

    @property
    def dev(self) -> Sequence[Row]:
        return self.parts.dev

    @property
    def test(self) -> Sequence[Row]:
        return self.parts.test


def split_off(rows: Sequence[Row], ratio: float, seed: int) -> tuple[list[Row], list[Row]]:
    """What stays, and about `ratio` of the rows, chosen by `seed`; both keep the rows' order.

    Rows that say the same (but for case and punctuation) go the same way, so that nothing of the one is
    in the other. The choice depends on the texts and the seed alone, on every machine.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"the share to split off must be at least 0 and below 1, not {ratio}")
    keys = [said(row[0]) for row in rows]
    sizes: dict[str, int] = {}
    for key in keys:
        sizes[key] = sizes.get(key, 0) + 1
    wanted, taken = round(ratio * len(rows)), set[str]()
    for key in sorted(sizes, key=lambda key: _draw(key, seed)):
        if sizes[key] <= wanted:
            wanted -= sizes[key]
            taken.add(key)
    stay = [row for row, key in zip(rows, keys, strict=True) if key not in taken]
    return stay, [row for row, key in zip(rows, keys, strict=True) if key in taken]


def said(text: str) -> str:
    """`text` in lower case and without punctuation or extra spaces: equal for texts that say the same."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _draw(key: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
