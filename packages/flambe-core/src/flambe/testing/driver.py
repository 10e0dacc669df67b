"""Driving an executor in a test as the engine does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from flambe.executors.protocol import Executor
from flambe.language import nodes
from flambe.language.links import parse_link
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Handle,
    Left,
    Logged,
    TrialKey,
    TrialTask,
)

Ending = Finished | Left | Failed


class Driver:
    """Drives an executor as the engine does, and keeps what it reports.

    Args:
        executor: Started.
        folder: Where trials keep their files.
    """

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self.events: list[Event] = []
        self.react: Callable[[Event], None] = lambda event: None
        self._folder = folder
        self._open: set[TrialKey] = set()

    def submit(
        self,
        stage: str,
        variant: str,
        *,
        build: str,
        module: str = "flambe.testing.stages",
        arguments: Mapping[str, Any] | None = None,
        devices: Mapping[str, float] | None = None,
        exports: tuple[str, ...] = (),
        imports: Mapping[str, Handle] | None = None,
        restore: Literal["fresh", "checkpoint", "finished"] = "fresh",
        ahead: bool = False,
    ) -> TrialKey:
        """Queue a trial of the class `build` of `module`; an argument that starts with `@` is a link."""
        key = TrialKey(stage, variant)
        entries = (nodes.Entry(name, _node(value)) for name, value in (arguments or {}).items())
        self._open.add(key)
        self.executor.submit(
            TrialTask(
                key=key,
                node=nodes.Build(f"{module}:{build}", nodes.Mapping(tuple(entries))),
                exports=tuple(parse_link(path) for path in exports),
                imports=imports or {},
                seed=1,
                devices=devices or {"cpu": 1},
                threads=1,
                folder=str(self._folder / stage / variant),
                fingerprint="0",
                upstream=dict.fromkeys(imports or {}, "v"),
                restore=restore,
                ahead=ahead,
            )
        )
        return key

    def deliver(self, event: Event) -> None:
        """Takes an event from the executor."""
        self.events.append(event)
        if isinstance(event, Finished | Left | Failed):
            self._open.remove(event.key)
        self.react(event)

    def run(self, timeout_s: float = 60) -> None:
        """Wait until every submitted trial has ended."""
        deadline = time.monotonic() + timeout_s
        while self._open:
            assert time.monotonic() < deadline, f"{self._open} did not end; so far: {self.events}"
            self.executor.wait(1.0, self.deliver)

    def until(self, condition: Callable[[], object], timeout_s: float = 60) -> None:
        """Wait until something has happened."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"did not happen; so far: {self.events}"
            self.executor.wait(0.1, self.deliver)

    def of(self, key: TrialKey, kind: type[Any] = object) -> list[Any]:
        """The events of a trial, in order."""
        return [event for event in self.events if event.key == key and isinstance(event, kind)]

    def ending(self, key: TrialKey) -> Ending:
        """How a trial ended."""
        (found,) = self.of(key, Finished) + self.of(key, Left) + self.of(key, Failed)
        ending: Ending = found
        return ending

    def handle(self, key: TrialKey) -> Handle:
        """The handle of a trial that has finished."""
        ending = self.ending(key)
        assert isinstance(ending, Finished), ending
        return ending.handle

    def logged(self, key: TrialKey) -> dict[str, Any]:
        """The last value that a trial logged under each name."""
        return {record.name: record.value for event in self.of(key, Logged) for record in event.records}

    def lines(self, key: TrialKey) -> list[str]:
        """The lines for a trial's log file."""
        return [line for event in self.of(key, Logged) for line in event.lines]


def _node(value: Any) -> nodes.Node:
    if isinstance(value, str) and value.startswith("@"):
        return nodes.Link(parse_link(value[1:]))
    return nodes.Scalar(value)
