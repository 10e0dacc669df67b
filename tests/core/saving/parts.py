"""Classes that the tests of saving build, in a module that a config can name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flambe.component import Component


class Encoder(Component):
    flambe_version = "1.2.0"

    def __init__(self, size: int, scale: float = 1.0) -> None:
        self.size, self.scale = size, scale
        self.seen = 0

    @property
    def width(self) -> int:
        return 2 * self.size

    def custom_state(self) -> Mapping[str, Any]:
        return {"seen": self.seen, "weights": np.full(self.size, float(self.seen))}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        assert state["weights"].tolist() == [float(state["seen"])] * self.size
        self.seen = state["seen"]


class Model(Component):
    def __init__(self, encoder: Any, heads: Any = None, layers: Any = (), matrix: Any = None) -> None:
        self.encoder, self.heads, self.layers, self.matrix = encoder, heads, layers, matrix
        self.notes: list[str] = []

    def custom_state(self) -> Mapping[str, Any] | None:
        return {"notes": self.notes} if self.notes else None

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.notes = state["notes"]


class Stack(Component):
    """Takes any arguments."""

    def __init__(self, first: Any, *others: Any, **options: Any) -> None:
        self.first, self.others, self.options = first, others, options


class Head(Component):
    def __init__(self, size: int, encoder: Any = None) -> None:
        self.size, self.encoder = size, encoder


class Data(Component):
    def __init__(self, count: int) -> None:
        self.rows = [object() for _ in range(count)]
        self.labels = ["a", "b", "c"]
        self.vectors = np.arange(6.0).reshape(2, 3)
        self.ready = False

    @classmethod
    def small(cls) -> Data:
        return cls(2)

    def sized(self, factor: int) -> int:
        return len(self.rows) * factor

    def custom_state(self) -> Mapping[str, Any]:
        return {"ready": self.ready}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.ready = state["ready"]


class Dictionary(Component):
    """Reads words from a file that may be gone when it is loaded."""

    def __init__(
        self, path: str | None = None, *, words: list[str] | None = None, lower: bool = False
    ) -> None:
        self.path = path
        self.words = Path(path or "").read_text().split() if words is None else words

    @classmethod
    def of_file(cls, path: str, words: list[str] | None = None, lower: bool = False) -> Dictionary:
        return cls(path, words=words, lower=lower)

    def saved_arguments(self) -> Mapping[str, Any]:
        return {"words": self.words}


class Growing(Component):
    def __init__(self, size: int) -> None:
        self.size = size

    def grow(self, by: int) -> None:
        self.size += by

    def doubled(self) -> int:
        return 2 * self.size


class Plain:
    """No `Component`: only a config makes it known."""

    def __init__(self, value: Any) -> None:
        self.value = value


def total(*numbers: int) -> int:
    return sum(numbers)
