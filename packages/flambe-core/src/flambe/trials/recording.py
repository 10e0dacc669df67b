"""What a trial logs, in its folder: `metrics.jsonl` for values, `log.txt` for text.

The process that runs the trial writes both, before it stores a checkpoint: whatever a checkpoint's step
logged is in the files, and what was logged after it can be told apart and dropped.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flambe.errors import JournalError
from flambe.logs import Record
from flambe.storage.storage import Storage

METRICS = "metrics.jsonl"
LOG = "log.txt"


class TrialLog:
    """The two files of one trial."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def add(self, step: int, logged: Iterable[Record]) -> None:
        """Appends what was logged in step number `step`, counted from 1; 0 is before the first."""
        lines = b"".join(encode_record(record, step) for record in logged)
        if lines:
            self._storage.append(METRICS, lines)

    def say(self, lines: Iterable[str]) -> None:
        """Appends lines of text."""
        text = "".join(line.replace("\n", " ") + "\n" for line in lines)
        if text:
            self._storage.append(LOG, text.encode("utf-8", "backslashreplace"))

    def records(self, step: int) -> list[Record]:
        """What was logged up to step number `step`; its process may have logged more meanwhile.

        Raises:
            JournalError: a line is damaged.
        """
        return [decode_record(values) for values in self._parsed() if values["trial_step"] <= step]

    def rewind(self, step: int) -> None:
        """Drops what was logged after step number `step`: it will be logged again."""
        if not self._storage.exists(METRICS):
            return
        found = list(self._parsed())
        kept = [values for values in found if values["trial_step"] <= step]
        if len(kept) < len(found):
            text = "".join(f"{line}\n" for line in map(json.dumps, kept))
            self._storage.write(METRICS, text.encode(), durable=False)

    def flush(self) -> None:
        """Hand on what a remote storage may still hold back."""
        self._storage.flush()

    def close(self) -> None:
        """Flush, and let go of open files."""
        self._storage.close()

    def _parsed(self) -> Iterator[dict[str, Any]]:
        if not self._storage.exists(METRICS):
            return
        name = self._storage.join(METRICS)
        yield from _parsed(whole_lines(self._storage.read(METRICS)), name)


def whole_lines(data: bytes) -> list[bytes]:
    """The lines of a file that is appended to; a last one that a kill cut short is left out."""
    return data.split(b"\n")[:-1]


def encode_record(record: Record, step: int) -> bytes:
    """One line of `metrics.jsonl`; numbers that JSON lacks are strings, arrays are base64."""
    values = {
        "name": record.name,
        "value": _to_json(record.value),
        "step": record.step,
        "kind": record.kind,
        "time": round(record.time, 3),
        "trial_step": step,
    }
    return json.dumps(values).encode() + b"\n"


def decode_record(values: Mapping[str, Any]) -> Record:
    """The record that a line of `metrics.jsonl` holds."""
    value = values["value"]
    if values["kind"] != "text":
        value = _from_json(value)
    return Record(values["kind"], values["name"], value, values["step"], values["time"])


def _parsed(lines: Iterable[bytes], name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        values = _parse(line)
        if values is None:
            raise JournalError(f"{name}:{number}: this line is damaged; remove it to go on")
        yield values


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "trial_step" in values else None


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "__array__"):
        import numpy

        array = numpy.ascontiguousarray(value)
        data = base64.b64encode(array.tobytes()).decode()
        return {"array": data, "dtype": str(array.dtype), "shape": list(array.shape)}
    return str(value)


def _from_json(value: Any) -> Any:
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"array", "dtype", "shape"}:
            import numpy

            data = base64.b64decode(value["array"])
            return numpy.frombuffer(data, dtype=value["dtype"]).reshape(value["shape"])
        return {key: _from_json(item) for key, item in value.items()}
    return value
