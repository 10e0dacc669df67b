"""The journal of a run: one line for each event, appended, checksummed, the truth that resume reads.

A line is a JSON object whose last key is `crc`, the CRC-32 of everything before it. A last line that
was cut short by a kill is dropped; damage anywhere else is an error, never guessed over.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from flambe.errors import JournalError
from flambe.executors.protocol import TrialKey
from flambe.saving.storage import Storage

JOURNAL = "journal.jsonl"

Status: TypeAlias = Literal["pending", "running", "paused", "done", "pruned", "stopped", "failed"]
ENDED: frozenset[Status] = frozenset({"done", "pruned", "stopped"})


@dataclass(slots=True)
class TrialRecord:
    """What the journal knows of one trial. `seconds` is time spent in steps; times are since the epoch."""

    key: TrialKey
    status: Status = "pending"
    fingerprint: str = ""
    seed: int = 0
    upstream: dict[str, str] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    checkpoint: int | None = None
    metric: float | None = None
    lower_is_better: bool = False
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def ended_well(self) -> bool:
        return self.status in ENDED


class Journal:
    """Appends events to a run folder's journal."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def write(self, event: str, *, durable: bool = False, **values: Any) -> None:
        """Append one event. With `durable` it is on the disk, not only with the system, on return."""
        line = encode({"event": event, "time": round(time.time(), 3), **values})
        self._storage.append(JOURNAL, line, durable=durable)

    def flush(self) -> None:
        """Hand on what a remote storage may still hold back."""
        self._storage.flush()


def encode(values: dict[str, Any]) -> bytes:
    """One line of the journal, newline included."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, default=_plain, separators=(", ", ": "))
    body = text[:-1].encode()
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


def decode(data: bytes, *, name: str = JOURNAL) -> Iterator[dict[str, Any]]:
    """The events of a journal.

    Raises:
        JournalError: for a damaged line that is not the last, unfinished one.
    """
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        values = _decode_line(line)
        if values is not None:
            yield values
        elif line and number < len(lines):
            raise JournalError(
                f"{name}:{number}: this line is damaged (its checksum does not fit); "
                "restore the file from a copy, or start over with --force"
            )


def unfinished(data: bytes) -> int:
    """How many bytes at the end belong to a line that was never finished."""
    return len(data) - (data.rfind(b"\n") + 1)


def records(events: Iterable[dict[str, Any]]) -> dict[TrialKey, TrialRecord]:
    """What each trial had come to when the journal ends."""
    known: dict[TrialKey, TrialRecord] = {}
    for event in events:
        if "variant" in event:
            key = TrialKey(event["stage"], event["variant"])
            _apply(known.setdefault(key, TrialRecord(key)), event)
    return known


def _apply(record: TrialRecord, event: dict[str, Any]) -> None:
    match event["event"]:
        case "trial":
            fresh = TrialRecord(record.key)
            for name in fresh.__slots__:
                setattr(record, name, getattr(fresh, name))
            record.fingerprint, record.seed = event["fingerprint"], event["seed"]
            record.upstream, record.choices = event["upstream"], event["choices"]
        case "started":
            record.status, record.step = "running", event["step"]
            record.attempts += 1
            record.started = record.started or event["time"]
        case "step":
            record.step, record.metric = event["step"], event["metric"]
            record.seconds += event["seconds"]
            if event["checkpoint"]:
                record.checkpoint = record.step
        case "left":
            record.status = "paused"
            record.checkpoint = event["step"]
        case "finished":
            record.status, record.metric, record.ended = event["status"], event["metric"], event["time"]
            record.step, record.lower_is_better = event["step"], event["lower_is_better"]
            record.error = None
        case "failed":
            record.status, record.error, record.ended = "failed", event["error"], event["time"]


def _decode_line(line: bytes) -> dict[str, Any] | None:
    body, mark, tail = line.rpartition(b', "crc": "')
    if not mark or tail != b'%08x"}' % zlib.crc32(body):
        return None
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)
    return item() if item is not None else str(value)
