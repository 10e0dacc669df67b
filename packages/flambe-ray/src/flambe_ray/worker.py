"""The actor that runs trials: one at a time, in its main thread, and the driver decides between steps."""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from flambe.executors.segment import Descriptor, anonymous_file
from flambe.executors.worker import Console
from flambe.executors.workshop import Prepare, TrialChannel, prepared
from flambe.language.links import LinkPath
from flambe.trials.protocol import Event, Failed, Handle, TrialTask
from flambe_ray.handover import ObjectStore, Parcel

Verdict: TypeAlias = Literal["go", "store", "stop", "leave"]
"""What a trial does next: a step, a step and a checkpoint, its end (saved), or a checkpoint and away."""

IN_STORE = "in the object store"
"""The handle in a worker's `Finished`; the driver puts the reference to the parcel in its place."""


class Report(NamedTuple):
    """What happened in a call; `ended` when the trial is over and the worker is free."""

    events: Sequence[Event]
    ended: bool


class Worker:
    """Runs one trial after the other.

    Args:
        path: The driver's `sys.path`.
    """

    def __init__(self, order: Prepare, path: Sequence[str]) -> None:
        sys.path.extend(entry for entry in path if entry not in sys.path)
        self._console = Console(Descriptor(anonymous_file()) if sys.platform != "win32" else None)
        self._workshop = prepared(order)
        self._store = ObjectStore(self._workshop.reducers)
        self._channel: _Channel | None = None
        self._steps: Iterator[None] = iter(())
        self._used = False

    def pid(self) -> int:
        """The id of the worker's process."""
        return os.getpid()

    def begin(self, task: TrialTask, *parcels: Parcel) -> tuple[Report, Parcel | None]:
        """Build a trial; `parcels` are its imports, in their order."""
        self._console.clear()
        self._channel = _Channel(
            task, self._store, self._console, dict(zip(task.imports, parcels, strict=True))
        )
        self._steps = self._all_steps(task, self._channel)
        return self._advanced(0.0)

    def advance(self, verdict: Verdict, at_least_s: float) -> tuple[Report, Parcel | None]:
        """Carry out the verdict; steps go on until `at_least_s` have passed, for quick ones."""
        assert self._channel is not None, "begin() comes first"
        self._channel.verdict = verdict
        return self._advanced(at_least_s)

    def _advanced(self, at_least_s: float) -> tuple[Report, Parcel | None]:
        channel = self._channel
        assert channel is not None
        until = time.monotonic() + at_least_s
        for _ in self._steps:
            if time.monotonic() >= until:
                return Report(channel.take(), False), None
        report, parcel = Report(channel.take(), True), channel.shared
        self._clear()
        return report, parcel

    def _all_steps(self, task: TrialTask, channel: _Channel) -> Iterator[None]:
        """The trial's steps, ending with exactly one last event whatever the runner and user code do."""
        try:
            steps = getattr(self._workshop.run, "steps", None)
            if steps is None:
                self._workshop.run(task, channel)
            else:
                yield from steps(task, channel)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the runner itself, or sys.exit()
            if not channel.ended:
                told = f"{type(error).__name__}: {error}"
                channel.emit(Failed(task.key, told, "".join(traceback.format_exception(error))))
        if not channel.ended:
            channel.emit(Failed(task.key, "the trial ended without a result", ""))

    def _clear(self) -> None:
        """Let go of everything that the trial held."""
        self._channel, self._steps = None, iter(())
        gc.collect()  # a model in a reference cycle would hold its memory while the next trial needs it
        if not self._used:
            gc.freeze()  # what the first trial has imported, so that the collector never looks at it again
            self._used = True


class _Channel(TrialChannel):
    def __init__(
        self, task: TrialTask, store: ObjectStore, console: Console, parcels: Mapping[str, Parcel]
    ) -> None:
        super().__init__(task, store)
        self._console = console
        self._parcels = parcels
        self._events: list[Event] = []
        self.verdict: Verdict = "go"
        self.shared: Parcel | None = None

    def send(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        """The events since the last call."""
        taken, self._events = self._events, []
        return taken

    def stop_requested(self) -> bool:
        return self.verdict == "stop"

    def interrupt_requested(self) -> bool:
        return self.verdict == "leave"

    def store_requested(self) -> bool:
        return self.verdict == "store"

    def output(self) -> Sequence[str]:
        return self._console.lines()

    def load(self, handle: Handle) -> Mapping[LinkPath, Any]:
        return super().load(self._parcels[handle])

    def share(self, values: Mapping[LinkPath, Any]) -> Handle:
        parcel = super().share(values)
        assert isinstance(parcel, Parcel)
        self.shared = parcel
        return IN_STORE
