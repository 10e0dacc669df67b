"""Requests to a run that is going: small files in its folder, that the run takes out as it answers them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from flambe.errors import MissingFileError, RunError
from flambe.experiment.journal import Journal
from flambe.storage.storage import Storage, protocol_of

FOLDER = "control"
ANSWER = "control"
"""The journal's event that answers a request."""

_LOCAL_S, _REMOTE_S = 0.2, 3.0

Action: TypeAlias = Literal["stop", "pause", "resume", "set", "extend"]


@dataclass(frozen=True)
class Request:
    """What a person wants of a run.

    Attributes:
        id: Names it, and sorts it after those that were made before.
        user: Who asked.
        time: When, in seconds since the epoch.
        variant: The variant that it is about; none for `extend`.
        values: New values by their path in the stage, for `set`.
        samples: How many more, for `extend`.
    """

    action: Action
    stage: str
    user: str
    variant: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    samples: int | None = None
    time: float = field(default_factory=lambda: round(time.time(), 3))
    id: str = field(default_factory=lambda: f"{time.time_ns():020d}-{secrets.token_hex(4)}")

    @property
    def file(self) -> str:
        """Where it lies in the run's folder while it waits for its answer."""
        return f"{FOLDER}/{self.id}.json"

    def json(self) -> dict[str, Any]:
        """Its values, without those that say nothing."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


def send(storage: Storage, request: Request) -> None:
    """Put the request where the run looks for it: whole or not at all."""
    storage.write(request.file, json.dumps(request.json()).encode(), durable=False)


class Mailbox:
    """The run's side: takes requests, and answers them in its journal.

    Args:
        storage: The run's folder.
    """

    def __init__(self, storage: Storage, journal: Journal) -> None:
        self._storage = storage
        self._journal = journal
        self._every_s = _LOCAL_S if protocol_of(storage.url) == "file" else _REMOTE_S
        self._looked = float("-inf")
        self._open: dict[str, Request] = {}

    def look(self, *, now: bool = False) -> list[Request]:
        """The requests that are not answered yet, in their order; nothing if it was looked a moment ago."""
        clock = time.monotonic()
        if not now and clock - self._looked < self._every_s:
            return []
        self._looked = clock
        there = [name for name in self._storage.list(FOLDER) if name.endswith(".json")]
        self._open = {name: request for name in there for request in self._read(name)}
        return list(self._open.values())

    def answer(self, request: Request, *, refused: bool = False, why: str = "") -> None:
        """Journal what became of the request, and take it out."""
        outcome = "refused" if refused else "done"
        self._journal.write(ANSWER, request=request.json(), answer=outcome, why=why)
        self._journal.flush()
        self._storage.remove(request.file)

    def _read(self, name: str) -> Iterator[Request]:
        if name in self._open:
            yield self._open[name]
            return
        try:
            values = json.loads(self._storage.read(f"{FOLDER}/{name}"))
            yield _request(values, name)
        except MissingFileError:  # it was withdrawn
            return
        except (ValueError, TypeError) as error:
            self._journal.write(
                ANSWER,
                request={"id": name.removesuffix(".json")},
                answer="refused",
                why=f"not a request: {error}",
            )
            self._storage.remove(f"{FOLDER}/{name}")


_KINDS: Mapping[str, Any] = MappingProxyType(
    {
        "id": str,
        "stage": str,
        "user": str,
        "variant": str | None,
        "values": Mapping,
        "samples": int | None,
        "time": int | float,
    }
)
"""What a request's values must be; anybody who may write to the run's folder can put files there."""


def _request(values: Any, name: str) -> Request:
    if not isinstance(values, dict):
        raise TypeError("expected a mapping")
    json.dumps(values, allow_nan=False)  # the journal could not hold such numbers
    request = Request(**values)
    for field_name, kinds in _KINDS.items():
        value = getattr(request, field_name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{field_name} cannot be {value!r}")
    if request.action not in get_args(Action) or f"{request.id}.json" != name:
        raise ValueError(f"no such action as {request.action!r}, or another name than {name}")
    return request


@dataclass(frozen=True)
class Answer:
    """What a run said to a request."""

    refused: bool
    why: str


def answer_in(events: Iterator[dict[str, Any]], request: Request) -> Answer:
    """The answer to `request` among a journal's events.

    Raises:
        RunError: there is none.
    """
    for event in events:
        if event["event"] == ANSWER and event["request"]["id"] == request.id:
            return Answer(event["answer"] == "refused", event["why"])
    raise RunError("the request was withdrawn before the run has answered it")
