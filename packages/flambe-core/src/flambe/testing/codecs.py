"""The contract of state codecs, as tests that each inherits."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest

from flambe.executors.handover import HandOver
from flambe.language.links import LinkPath
from flambe.saving.protocol import StateCodec


class _Writer(io.RawIOBase):
    """A stream that can only be written to, from front to back."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.data += bytes(data)
        return memoryview(data).nbytes


class _Trap:
    """Leaves a file behind when somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


class CodecContract:
    """What every state codec does.

    Inherit it, give the fixture `codec` and the methods `make`, `content` and `change`.
    """

    @pytest.fixture
    def codec(self) -> StateCodec:
        """The codec."""
        raise NotImplementedError("give a fixture `codec`")

    def make(self, seed: int) -> Any:
        """An object that the codec handles; its state differs from seed to seed."""
        raise NotImplementedError("give a method `make`")

    def content(self, value: Any) -> Any:
        """The state of such an object, as values that `==` compares."""
        raise NotImplementedError("give a method `content`")

    def change(self, value: Any) -> None:
        """Change the state of such an object in place."""
        raise NotImplementedError("give a method `change`")

    def test_it_has_a_name_and_a_file_name(self, codec: StateCodec) -> None:
        assert codec.name
        assert Path(codec.file_name).name == codec.file_name

    def test_it_handles_its_own_objects_only(self, codec: StateCodec) -> None:
        assert codec.handles(self.make(1))
        assert not any(codec.handles(value) for value in (object(), 1, "text", None, [], {}, type))
        assert not any(codec.is_value(value) for value in (object(), 1, "text", None, [], {}, type))

    def test_a_state_survives_its_file(self, codec: StateCodec) -> None:
        value, other = self.make(1), self.make(2)
        before = self.content(value)
        assert self.content(other) != before
        codec.set_state(other, codec.read(io.BytesIO(self._written(codec, value))), {})
        assert self.content(other) == before
        assert self.content(value) == before

    def test_a_file_that_is_cut_short_is_refused(self, codec: StateCodec) -> None:
        data = self._written(codec, self.make(1))
        with pytest.raises(ValueError):  # noqa: PT011  # the message is the codec's own
            codec.read(io.BytesIO(data[: len(data) // 2]))

    def test_reading_never_runs_what_a_file_says(self, codec: StateCodec, tmp_path: Path) -> None:
        mark = tmp_path / "mark"
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(ValueError):  # noqa: PT011  # the message is the codec's own
                codec.read(io.BytesIO(pickle.dumps(_Trap(mark), protocol)))
        assert not mark.exists()

    def test_what_is_handed_over_is_equal_and_shares_nothing(self, codec: StateCodec) -> None:
        value, path = self.make(1), LinkPath("stage")
        before = self.content(value)
        bundle = HandOver(lambda: [codec]).pack({path: value})
        first, second = (HandOver(lambda: [codec]).unpack(bundle)[path] for _ in range(2))
        assert self.content(first) == before
        self.change(first)
        assert self.content(first) != before
        assert self.content(second) == before
        assert self.content(value) == before
        assert self.content(HandOver(lambda: [codec]).unpack(bundle)[path]) == before
        bundle.close()

    def test_what_it_does_not_know_is_left_to_pickle(self, codec: StateCodec) -> None:
        assert codec.reduce(object()) is NotImplemented
        assert codec.reduce(type) is NotImplemented

    def _written(self, codec: StateCodec, value: Any) -> bytes:
        stream = _Writer()
        codec.write(codec.get_state(value, {}), stream)  # type: ignore[arg-type]  # it has what may be used
        return bytes(stream.data)
