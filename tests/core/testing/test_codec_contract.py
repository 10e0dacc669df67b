from __future__ import annotations

from typing import Any, BinaryIO

import pytest

from flambe.saving.protocol import StateCodec
from flambe.testing import CodecContract


class Bag:
    def __init__(self, items: set[str]) -> None:
        self.items = items


class BagCodec:
    """The example of the protocol's documentation, with an end mark."""

    name = "bag"
    file_name = "state.bag"

    def handles(self, value: object) -> bool:
        return isinstance(value, Bag)

    def is_value(self, value: object) -> bool:
        return False

    def get_state(self, value: Any, parts: Any) -> Any:
        return sorted(value.items)

    def set_state(self, value: Any, state: Any, parts: Any) -> None:
        value.items = set(state)

    def write(self, state: Any, stream: BinaryIO) -> None:
        stream.write("\n".join([*state, "end"]).encode())

    def read(self, stream: BinaryIO) -> Any:
        *state, end = stream.read().decode("latin-1").splitlines() or [""]
        if end != "end":
            raise ValueError("not a bag, or not all of it")
        return state

    def reduce(self, value: object) -> Any:
        return NotImplemented


class TestBagCodec(CodecContract):
    @pytest.fixture
    def codec(self) -> StateCodec:
        return BagCodec()

    def make(self, seed: int) -> Any:
        return Bag({f"item {seed}", "thing"})

    def content(self, value: Any) -> Any:
        return set(value.items)

    def change(self, value: Any) -> None:
        value.items.add("more")
