"""The journal of a run: one line for each event, appended, checksummed, the truth that resume reads.

A line is a JSON object whose last key is `crc`, the CRC-32 of everything before it. A last line that
was cut short by a kill is no line yet; damage anywhere else is an error, never guessed over.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from flambe.errors import JournalError
from flambe.storage.storage import Storage
from flambe.trials.protocol import TrialKey
from flambe.trials.recording import whole_lines

JOURNAL = "journal.jsonl"

Status: TypeAlias = Literal["pending", "running", "paused", "done", "pruned", "stopped", "failed"]
ENDED: frozenset[Status] = frozenset({"done", "pruned", "stopped"})


@dataclass(slots=True)
class TrialRecord:
    """What the journal knows of one trial. `seconds` is time spent in steps; times are since the epoch.

    `changes` are the values of arguments that a user or a scheduler has changed since the trial began;
    `proven` those of them that it has done a step with, or stored, where it has not with the newest yet.
    `paused_by` is the user who has paused it.
    `line` is the journal's line that says it finished; `safe` says that its files have been synced since.
    """

    key: TrialKey
    status: Status = "pending"
    fingerprint: str = ""
    seed: int = 0
    upstream: dict[str, str] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    suggestion: dict[str, int | float] | None = None
    step: int = 0
    checkpoint: int | None = None
    metric: float | None = None
    lower_is_better: bool = False
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    error: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    proven: dict[str, Any] | None = None
    paused_by: str | None = None
    line: int = 0
    safe: bool = False

    @property
    def ended_well(self) -> bool:
        return self.status in ENDED and not self.withdrawn

    @property
    def withdrawn(self) -> bool:
        """Whether it was stopped before it began: there is nothing of it that others could use."""
        return self.status == "stopped" and self.started is None


class Journal:
    """Appends events to a run folder's journal.

    Attributes:
        lines: How many lines it has.
        last_time: When the last event was written, in seconds since the epoch.
    """

    def __init__(self, storage: Storage, *, lines: int = 0) -> None:
        self._storage = storage
        self.lines = lines
        self.last_time = 0.0

    def write(self, event: str, *, durable: bool = False, **values: Any) -> None:
        """Append one event. With `durable` it is on the disk, not only with the system, on return."""
        self.last_time = round(time.time(), 3)
        line = encode({"event": event, "time": self.last_time, **values})
        self._storage.append(JOURNAL, line, durable=durable)
        self.lines += 1

    def flush(self) -> None:
        """Hand on what a remote storage may still hold back."""
        self._storage.flush()


def encode(values: dict[str, Any]) -> bytes:
    """One line of the journal."""
    body = json.dumps(values, ensure_ascii=True, allow_nan=False, default=_plain)[:-1].encode()
    return b'%s, "crc": "%08x"}\n' % (body, zlib.crc32(body))


def decode(data: bytes, *, name: str = JOURNAL) -> Iterator[dict[str, Any]]:
    """The events that the whole lines of a journal hold.

    Raises:
        JournalError: a line is damaged.
    """
    for number, line in enumerate(whole_lines(data), 1):
        values = _decode_line(line)
        if values is None:
            raise JournalError(
                f"{name}:{number}: this line is damaged (its checksum does not fit); "
                "restore the file from a copy, or start over with --force"
            )
        yield values


def records(events: Iterable[dict[str, Any]]) -> dict[TrialKey, TrialRecord]:
    """What each trial had come to when the journal ends."""
    known: dict[TrialKey, TrialRecord] = {}
    safe = 0
    for number, event in enumerate(events, 1):
        if "variant" in event:
            key = TrialKey(event["stage"], event["variant"])
            _apply(known.setdefault(key, TrialRecord(key)), event)
            known[key].line = number
        elif event["event"] == "safe":
            safe = event["lines"]
    for record in known.values():
        record.safe = record.ended_well and record.line <= safe
    return known


def _apply(record: TrialRecord, event: dict[str, Any]) -> None:
    match event["event"]:
        case "trial":
            fresh = TrialRecord(record.key)
            for name in fresh.__slots__:
                setattr(record, name, getattr(fresh, name))
            record.fingerprint, record.seed = event["fingerprint"], event["seed"]
            record.upstream, record.choices = event["upstream"], event["choices"]
            record.suggestion = event.get("suggestion")
        case "started":
            record.status, record.step = "running", event["step"]
            record.attempts += 1
            record.started = record.started or event["time"]
            record.paused_by = None
        case "step":
            record.step, record.metric, record.proven = event["step"], event["metric"], None
            record.lower_is_better = bool(event.get("lower_is_better"))
            record.seconds += event["seconds"]
            if event["checkpoint"]:
                record.checkpoint = record.step
        case "resumed":
            record.status, record.step, record.paused_by = "running", event["step"], None
        case "waits":
            record.status = "paused"
        case "left":
            record.status, record.proven = "paused", None
            record.checkpoint = event["step"]
        case "finished":
            record.status, record.metric, record.ended = event["status"], event["metric"], event["time"]
            record.step, record.lower_is_better = event["step"], event["lower_is_better"]
            record.error = None
        case "failed":
            record.status, record.error, record.ended = "failed", event["error"], event["time"]
        case _:
            _interfere(record, event)


def _interfere(record: TrialRecord, event: dict[str, Any]) -> None:
    """Applies what people and schedulers have done to a trial."""
    match event["event"]:
        case "paused":
            record.status, record.paused_by = "paused", event["by"]
        case "continued":
            record.status, record.paused_by = waiting_status(record), None
        case "unchanged":
            record.changes, record.proven = event["changes"], None
        case "changed":
            if "donor" in event:
                record.proven = None
            elif event.get("unproven") and record.proven is None:
                record.proven = dict(record.changes)
            record.changes = {**record.changes, **event["values"]}
            record.step = event["step"]
            if "donor" in event:
                record.checkpoint = event["step"]


def waiting_status(record: TrialRecord) -> Status:
    """The status of a trial that is not being run, but may be."""
    return "pending" if record.started is None else "paused"


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
