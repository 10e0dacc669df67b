"""`Tables`: the three parts of a data set as tables of numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from flambe.component import Component
from flambe_torch.data import Rows


class RowsOfStrings(Protocol):
    """A data set: three parts of rows of strings, such as a text and its label."""

    @property
    def train(self) -> Sequence[Sequence[str]]: ...
    @property
    def dev(self) -> Sequence[Sequence[str]]: ...
    @property
    def test(self) -> Sequence[Sequence[str]]: ...


class Tables(Component, ABC):
    """Has `train`, `dev` and `test` as tables; each is made when it is first asked for, and kept."""

    def __init__(self) -> None:
        self._tables: dict[str, Rows] = {}

    @property
    def train(self) -> Rows:
        return self._table("train")

    @property
    def dev(self) -> Rows:
        return self._table("dev")

    @property
    def test(self) -> Rows:
        return self._table("test")

    @abstractmethod
    def _table_of(self, part: str) -> Rows:
        """The table of `train`, `dev` or `test`, made anew."""

    def _table(self, part: str) -> Rows:
        if part not in self._tables:
            self._tables[part] = self._table_of(part)
        return self._tables[part]
