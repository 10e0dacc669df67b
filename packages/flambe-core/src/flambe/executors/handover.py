"""Linked values on their way from one trial to others.

Values are pickled with protocol 5. Large buffers go into shared memory, where every receiver maps
them without a copy: arrays come out read-only. Everything else is copied, with the sharing inside one
bundle kept. Plain values travel beside the pickle, so that who needs only those unpacks nothing.
"""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple, Protocol, TypeAlias

from flambe.errors import HandOverError
from flambe.executors.segment import Segment, SegmentType
from flambe.language.links import LinkPath

LARGE_BYTES = 64 * 1024
"""From this size on a buffer goes into shared memory."""

_COMPARED_BYTES = 16 * 1024 * 1024

Plain: TypeAlias = bool | int | float | str | bytes | None


class Reducer(Protocol):
    """The part of a state codec that is needed here."""

    def reduce(self, value: object, /) -> Any:
        """What `__reduce_ex__` would return for `value`, or NotImplemented to leave it to pickle."""


class Piece(NamedTuple):
    """Where a buffer lies: in which of a bundle's segments, and where in it."""

    segment: int
    offset: int
    length: int


@dataclass(frozen=True)
class Bundle:
    """The linked values of one trial, packed. It owns its segments.

    Attributes:
        plain: Numbers, strings and None, as they are.
        packed: The paths of all other values.
        pickled: One pickle of these values, in this order, or the place where it lies.
        buffers: Where the pickle's buffers lie, in its order.
    """

    plain: Mapping[LinkPath, Plain]
    packed: tuple[LinkPath, ...] = ()
    pickled: bytes | Piece = b""
    buffers: tuple[Piece, ...] = ()
    segments: tuple[Segment, ...] = ()

    def close(self) -> None:
        """Free the bundle; what was unpacked from it stays valid."""
        for segment in self.segments:
            segment.close()


class Contents(NamedTuple):
    """Linked values, taken apart.

    Attributes:
        plain: Numbers, strings and None, as they are.
        packed: The paths of all other values.
        pickled: One pickle of these values, in this order; empty if there are none.
        buffers: What is large in them and lies beside the pickle.
    """

    plain: Mapping[LinkPath, Plain]
    packed: tuple[LinkPath, ...]
    pickled: bytes
    buffers: list[memoryview]


class Packed(Protocol):
    """Linked values on their way: a `Bundle`, or what another executor carries them in."""

    @property
    def plain(self) -> Mapping[LinkPath, Plain]: ...

    @property
    def packed(self) -> tuple[LinkPath, ...]: ...


class Packing(ABC):
    """Packs and unpacks linked values; how they travel is left to who inherits it.

    Args:
        reducers: Gives the codecs for what pickle alone would not hand over well, such as tensors.
    """

    def __init__(self, reducers: Callable[[], Iterable[Reducer]] = tuple) -> None:
        self._reducers = reducers

    @abstractmethod
    def pack(self, values: Mapping[LinkPath, Any]) -> Any:
        """`values`, ready to travel.

        Raises:
            HandOverError: a value cannot be pickled, or there is no memory left.
        """

    @abstractmethod
    def unpickled(self, packed: Any) -> dict[LinkPath, Any]:
        """The values in what `pack` returned that are not plain.

        Raises:
            HandOverError: they cannot be made here.
        """

    def unpack(self, packed: Packed) -> Mapping[LinkPath, Any]:
        """The values in what `pack` returned; the pickled ones are made when one is first asked for."""
        return _Unpacked(self, packed)

    def contents(self, values: Mapping[LinkPath, Any]) -> Contents:
        """`values`, taken apart.

        Raises:
            HandOverError: a value cannot be pickled.
        """
        plain = {path: value for path, value in values.items() if _is_plain(value)}
        rest = {path: value for path, value in values.items() if path not in plain}
        if not rest:
            return Contents(plain, (), b"", [])
        try:
            pickled, buffers = _pickle(list(rest.values()), tuple(self._reducers()))
        except Exception as error:  # pickling runs methods of user classes, which may raise anything
            raise self._explained(rest, error) from error
        return Contents(plain, tuple(rest), pickled, buffers)

    def _explained(self, values: Mapping[LinkPath, Any], error: Exception) -> HandOverError:
        for path, value in values.items():
            attempt = _Pickler(io.BytesIO(), tuple(self._reducers()))
            try:
                attempt.dump(value)
            except Exception as found:  # noqa: BLE001  # as in `contents`
                return HandOverError(_not_picklable(path, attempt.last, found))
        return HandOverError(
            f"the linked values of stage {_stage(values)!r} cannot be handed over: "
            f"{type(error).__name__}: {error}"
        )


def unpickled(
    packed: tuple[LinkPath, ...], pickled: bytes | memoryview, buffers: Iterable[memoryview]
) -> dict[LinkPath, Any]:
    """What `contents` pickled, from read-only buffers.

    Raises:
        HandOverError: it cannot be made here.
    """
    if not packed:
        return {}
    try:
        values = pickle.loads(pickled, buffers=buffers)  # noqa: S301  # made by a process of this run
    except Exception as error:  # unpickling runs methods of user classes, which may raise anything
        raise HandOverError(
            f"the linked values of stage {_stage(packed)!r} cannot be taken over: "
            f"{type(error).__name__}: {error}"
        ) from error
    return dict(zip(packed, values, strict=True))


class HandOver(Packing):
    """Hands values over in shared memory, in one process, for one trial after the other.

    A buffer that came out of one bundle and goes into the next one unchanged is not stored twice: the
    next bundle refers to the same memory.
    """

    def __init__(self, reducers: Callable[[], Iterable[Reducer]] = tuple) -> None:
        super().__init__(reducers)
        self._mapped: list[_Mapped] = []

    def pack(self, values: Mapping[LinkPath, Any]) -> Bundle:
        plain, packed, pickled, buffers = self.contents(values)
        try:
            return self._stored(plain, packed, pickled, buffers)
        except OSError as error:
            size = len(pickled) + sum(buffer.nbytes for buffer in buffers)
            raise HandOverError(
                f"the linked values of stage {_stage(packed)!r} need {size / 1e6:.1f} MB of shared memory, "
                f"which cannot be had: {error}"
            ) from error

    def forget(self) -> None:
        """The trial has ended: what was unpacked for it is not looked for any more."""
        self._mapped.clear()

    def unpickled(self, packed: Bundle) -> dict[LinkPath, Any]:
        try:
            views = [memoryview(self._map(segment)).toreadonly() for segment in packed.segments]
        except (ValueError, OSError) as error:
            raise HandOverError(
                f"the linked values of stage {_stage(packed.packed)!r} cannot be taken over: "
                f"{type(error).__name__}: {error}"
            ) from error
        pickled = packed.pickled if isinstance(packed.pickled, bytes) else _piece(views, packed.pickled)
        return unpickled(packed.packed, pickled, [_piece(views, place) for place in packed.buffers])

    def _map(self, segment: Segment) -> Any:
        mapping = segment.map()
        self._mapped.append(_Mapped(_address(mapping), segment))
        return mapping

    def _stored(
        self,
        plain: Mapping[LinkPath, Plain],
        packed: tuple[LinkPath, ...],
        pickled: bytes,
        buffers: list[memoryview],
    ) -> Bundle:
        large = len(pickled) >= LARGE_BYTES
        segments: list[Segment] = []
        try:
            places = self._places([*buffers, memoryview(pickled)] if large else buffers, segments)
        except BaseException:
            for segment in segments:
                segment.close()
            raise
        return Bundle(plain, packed, places.pop() if large else pickled, tuple(places), tuple(segments))

    def _places(self, chunks: list[memoryview], segments: list[Segment]) -> list[Piece]:
        """Where the chunks lie, in memory that was there before or in a new segment; adds to `segments`."""
        known = [self._known(chunk, segments) for chunk in chunks]
        new = [chunk for chunk, place in zip(chunks, known, strict=True) if place is None]
        if not new:
            return [place for place in known if place is not None]
        segment, offsets = SegmentType.holding(new)
        segments.append(segment)
        made = iter(offsets)
        return [
            Piece(len(segments) - 1, next(made), chunk.nbytes) if place is None else place
            for chunk, place in zip(chunks, known, strict=True)
        ]

    def _known(self, buffer: memoryview, segments: list[Segment]) -> Piece | None:
        """Where `buffer` lies if it came out of an earlier bundle and was not written to since."""
        if not self._mapped:
            return None
        address = _address(buffer)
        for mapped in self._mapped:
            offset = address - mapped.address
            if offset >= 0 and offset + buffer.nbytes <= mapped.segment.size:
                if not _unchanged(buffer, mapped.segment, offset):
                    return None
                segments.append(mapped.segment.copy())
                return Piece(len(segments) - 1, offset, buffer.nbytes)
        return None


class _Mapped(NamedTuple):
    address: int
    segment: Segment


class _Unpacked(Mapping[LinkPath, Any]):
    """The values of a bundle, unpickled when needed."""

    def __init__(self, hand_over: Packing, bundle: Packed) -> None:
        self._hand_over = hand_over
        self._bundle = bundle
        self._values: dict[LinkPath, Any] | None = None

    def __getitem__(self, path: LinkPath) -> Any:
        if path in self._bundle.plain:
            return self._bundle.plain[path]
        if path not in self._bundle.packed:
            raise KeyError(path)
        if self._values is None:
            self._values = self._hand_over.unpickled(self._bundle)
        return self._values[path]

    def __contains__(self, path: object) -> bool:
        return path in self._bundle.plain or path in self._bundle.packed

    def __iter__(self) -> Iterator[LinkPath]:
        yield from self._bundle.plain
        yield from self._bundle.packed

    def __len__(self) -> int:
        return len(self._bundle.plain) + len(self._bundle.packed)


class _Pickler(pickle.Pickler):
    """Takes large buffers out of the stream, and remembers the last object, which is at fault on an error."""

    def __init__(self, stream: io.BytesIO, reducers: tuple[Reducer, ...]) -> None:
        self.buffers: list[memoryview] = []
        super().__init__(stream, protocol=5, buffer_callback=self._keep_in_stream)
        self.last: Any = None
        self._reducers = reducers

    def reducer_override(self, obj: Any) -> Any:
        self.last = obj
        for reducer in self._reducers:
            reduced = reducer.reduce(obj)
            if reduced is not NotImplemented:
                return reduced
        return NotImplemented

    def _keep_in_stream(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LARGE_BYTES:
            return True
        self.buffers.append(raw)
        return False


def _pickle(values: list[Any], reducers: tuple[Reducer, ...]) -> tuple[bytes, list[memoryview]]:
    stream = io.BytesIO()
    pickler = _Pickler(stream, reducers)
    pickler.dump(values)
    return stream.getvalue(), pickler.buffers


def _is_plain(value: Any) -> bool:
    if type(value) in (str, bytes):
        return len(value) < LARGE_BYTES
    return value is None or type(value) in (bool, int, float)


def _stage(paths: Iterable[LinkPath]) -> str:
    return next(iter(paths)).root


def _address(buffer: Any) -> int:
    import numpy as np

    return int(np.frombuffer(buffer, np.uint8).ctypes.data)


def _unchanged(buffer: memoryview, segment: Segment, offset: int) -> bool:
    import numpy as np

    now = np.frombuffer(buffer, np.uint8)
    stored = np.frombuffer(segment.map(), np.uint8, count=buffer.nbytes, offset=offset)
    return all(
        np.array_equal(now[at : at + _COMPARED_BYTES], stored[at : at + _COMPARED_BYTES])
        for at in range(0, buffer.nbytes, _COMPARED_BYTES)
    )


def _piece(views: list[memoryview], place: Piece) -> memoryview:
    return views[place.segment][place.offset : place.offset + place.length]


def _not_picklable(path: LinkPath, culprit: Any, error: Exception) -> str:
    if isinstance(culprit, FunctionType | type):
        kind = "class" if isinstance(culprit, type) else "function"
        what = (
            f"the {kind} '{culprit.__module__}.{culprit.__qualname__}', which cannot be imported by that name"
        )
        advice = "define it at the top level of a module"
    else:
        name = f"{type(culprit).__module__}.{type(culprit).__qualname__}"
        what = f"an object of type '{name}' ({type(error).__name__}: {error})"
        advice = "leave it out in the __getstate__ of what holds it, or link to a part without it"
    return f"stage {path.root!r}: {path} cannot be handed to another process, it holds {what}; {advice}"
