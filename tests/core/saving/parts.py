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


class Doubled:
    """What `Wrapped` makes of an encoder: no part of a save."""

    def __init__(self, encoder: Any) -> None:
        self.size = 2 * encoder.size


class Wrapped(Component):
    """Its attribute has the name of its argument, and is another object."""

    def __init__(self, encoder: Any, head: Any = None) -> None:
        self.encoder = Doubled(encoder)
        self.head = head


class Listed(Component):
    def __init__(self, encoder: Any, head: Any) -> None:
        self.encoder = [Doubled(item) for item in encoder]
        self.head = head


class Computed(Component):
    """Its attributes are properties: `encoder` is the argument, `table` is made of the argument."""

    def __init__(self, encoder: Any = None, table: Any = None, head: Any = None) -> None:
        self._encoder, self._table, self.head = encoder, table, head
        self.asked = 0

    @property
    def encoder(self) -> Any:
        return self._encoder

    @property
    def table(self) -> Doubled:
        self.asked += 1
        return Doubled(self._table)


class Maker(Component):
    def __init__(self, count: int) -> None:
        self.count = count

    def make(self) -> Data:
        return Data(self.count)


class Odd(Component):
    """Has its argument under another name, and no others."""

    def __init__(self, encoder: Any) -> None:
        self.kept = encoder

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class Plain:
    """No `Component`: only a config makes it known."""

    def __init__(self, value: Any) -> None:
        self.value = value


def total(*numbers: int) -> int:
    return sum(numbers)
