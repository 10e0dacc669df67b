"""Plain values and arrays as JSON beside array files: what `state.json` and `links.json` hold."""

from __future__ import annotations

import base64
import io
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flambe.build.hidden import Hidden
from flambe.errors import DamagedSaveError, SavingError
from flambe.saving.protocol import StateCodec
from flambe.storage.storage import Content

ReadFile = Callable[[str], bytes]


class UnsavableError(SavingError):
    """A value that is neither plain, nor an array, nor known to a codec; the message names the entry."""


class Encoder:
    """Turns values into JSON; arrays and a codec's values become files named `<stem>-<number>.<ending>`.

    What JSON lacks is an object with one key that starts with `$`.
    """

    def __init__(self, stem: str, codecs: Sequence[StateCodec] = ()) -> None:
        self.files: dict[str, Content] = {}
        self._stem = stem
        self._codecs = codecs

    def encode(self, value: Any, where: str = "") -> Any:
        """`value` as JSON.

        Raises:
            UnsavableError: naming the entry below `where`.
        """
        if isinstance(value, Hidden):
            raise UnsavableError(f"{where or 'the value'} comes from !env or !secret, which is never written")
        if value is None or isinstance(value, (bool, str)):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, int):
            return {"$int": hex(value)} if is_long(value) else int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        if type(value) is list:
            return [self.encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if type(value) in (tuple, set, frozenset):
            items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            return {f"${type(value).__name__}": self.encode(list(items), where)}
        if isinstance(value, (bytes, bytearray)):
            return {"$bytes": base64.b64encode(value).decode()}
        return self._data(value, where)

    def _mapping(self, value: Mapping[Any, Any], where: str) -> Any:
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str(key): self.encode(item, _join(where, key)) for key, item in value.items()}
        pairs = [
            [self.encode(key, where), self.encode(item, _join(where, key))] for key, item in value.items()
        ]
        return {"$mapping": pairs}

    def _data(self, value: Any, where: str) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
            if value.dtype.hasobject:
                raise UnsavableError(f"{where or 'the value'} is an array of Python objects, {_ADVICE}")
            stream = io.BytesIO()
            numpy.save(stream, value, allow_pickle=False)
            return {"$array": self._file("npy", stream.getvalue())}
        codec = next((codec for codec in self._codecs if codec.is_value(value)), None)
        if codec is not None:
            name = self._file(codec.file_name.rpartition(".")[2], partial(codec.write, value))
            return {"$value": name, "codec": codec.name}
        raise UnsavableError(f"{where or 'the value'} is of type {type(value).__qualname__}, {_ADVICE}")

    def _file(self, ending: str, content: Content) -> str:
        name = f"{self._stem}-{len(self.files)}.{ending}"
        self.files[name] = content
        return name


_ADVICE = "which cannot be saved; use plain values (numbers, texts, lists, mappings) and arrays"


def decode(value: Any, read: ReadFile, codecs: Sequence[StateCodec] = ()) -> Any:
    """What `Encoder.encode` encoded; `read` gives the bytes of the files beside.

    Raises:
        DamagedSaveError: It is nothing that `encode` writes.
    """
    if isinstance(value, list):
        return [decode(item, read, codecs) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next((key for key in value if key.startswith("$")), None)
    if kind is None:
        return {key: decode(item, read, codecs) for key, item in value.items()}
    return _special(kind, value, read, codecs)


def _special(kind: str, value: dict[str, Any], read: ReadFile, codecs: Sequence[StateCodec]) -> Any:
    inside = value[kind]
    match kind:
        case "$float" if inside in ("nan", "inf", "-inf"):
            return float(inside)
        case "$int" if isinstance(inside, str):
            return _long(inside)
        case "$tuple" | "$set" | "$frozenset" if isinstance(inside, list):
            made = [decode(item, read, codecs) for item in inside]
            return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[kind](made)
        case "$bytes" if isinstance(inside, str):
            return base64.b64decode(inside)
        case "$mapping" if isinstance(inside, list):
            return {decode(key, read, codecs): decode(item, read, codecs) for key, item in inside}
        case "$array" if isinstance(inside, str):
            return _array(read(inside), inside)
        case "$value" if isinstance(inside, str):
            return _codec_value(inside, value.get("codec"), read, codecs)
    raise DamagedSaveError(f"a saved value has an entry {kind!r} that no version of Flambé writes")


def _array(data: bytes, name: str) -> Any:
    import numpy

    try:
        return numpy.load(io.BytesIO(data), allow_pickle=False)[()]
    except Exception as error:  # what numpy raises for a header that is none varies with its parser
        raise DamagedSaveError(f"{name} is no array that can be read without running code") from error


def _codec_value(name: str, codec: Any, read: ReadFile, codecs: Sequence[StateCodec]) -> Any:
    for known in codecs:
        if known.name == codec:
            return known.read(io.BytesIO(read(name)))
    raise SavingError(f"{name} was saved by the codec {codec!r}, which is not installed or not imported")


def to_json(value: Any) -> bytes:
    """The text of a JSON file; only what `encode` gives."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # half a surrogate pair becomes JSON's own escape


def is_long(value: int) -> bool:
    """Whether Python refuses to write or read all digits of `value`, as it does beyond 4,300 of them."""
    return value.bit_length() > _MOST_BITS


_MOST_BITS = 14_000


def _long(digits: str) -> int:
    try:
        return int(digits, 16)
    except ValueError as error:
        raise DamagedSaveError(f"{digits[:20]!r} is no number that Flambé wrote") from error


def is_small(value: Any, limit: int = 1000) -> bool:
    """Whether `value` is plain and has at most `limit` entries in all."""
    return _count(value, limit) <= limit


def _count(value: Any, limit: int) -> int:
    if value is None or isinstance(value, (bool, int, float, str)):
        return 1
    if type(value) not in (list, tuple, dict):
        return limit + 1
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    total = 1
    for item in items:
        total += _count(item, limit)
        if total > limit:
            break
    return total


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
