"""A worker process: runs trials that the driver sends it, one at a time, until the driver goes away."""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO, cast

from flambe.executors.handover import Bundle, HandOver
from flambe.executors.processes import fresh_start, live
from flambe.executors.segment import Descriptor
from flambe.executors.wire import Wire
from flambe.executors.workshop import TrialChannel, Workshop, prepared, run_trial
from flambe.language.links import LinkPath
from flambe.trials.protocol import Event, Handle, TrialKey, TrialTask

_CONSOLE_BYTES = 1 << 20


@dataclass(frozen=True)
class Bind:
    """Driver to worker, first of all: these GPUs are yours from now on (None: whichever there are)."""

    gpus: tuple[str, ...] | None


@dataclass(frozen=True)
class Ready:
    """Worker to driver, first of all."""

    pid: int


@dataclass(frozen=True)
class Run:
    """Driver to worker: run this trial."""

    task: TrialTask


@dataclass(frozen=True)
class Stop:
    """Driver to worker: end this trial after its step, saved."""

    key: TrialKey


@dataclass(frozen=True)
class Interrupt:
    """Driver to worker: leave this trial after its step, with a checkpoint."""

    key: TrialKey


@dataclass(frozen=True)
class Began:
    """Worker to driver: a trial has arrived; from now on its failures count."""


@dataclass(frozen=True)
class Idle:
    """Worker to driver: the trial has ended and let go of what it held."""


class Console:
    """What is written to the process's standard output and error beneath Python, by libraries and programs.

    It goes to a file in memory that the driver holds too, so that the last words of a worker that
    crashed can be read.
    """

    def __init__(self, file: Descriptor | None) -> None:
        self._file = file
        self._read = 0
        if file is not None:
            import fcntl

            fcntl.fcntl(file.fd, fcntl.F_SETFL, os.O_APPEND)
            os.dup2(file.fd, 1)
            os.dup2(file.fd, 2)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        sys.stdin, sys.stdout, sys.stderr = _stream(0, "r"), _stream(1, "w"), _stream(2, "w")
        faulthandler.enable()

    def clear(self) -> None:
        """Forget what was written between two trials."""
        if self._file is not None:
            os.ftruncate(self._file.fd, 0)
            self._read = 0

    def lines(self) -> list[str]:
        """What was written since the last call."""
        if self._file is None:
            return []
        size = os.fstat(self._file.fd).st_size
        if size <= self._read:
            return []
        text = os.pread(self._file.fd, size - self._read, self._read).decode(errors="replace")
        self._read = size
        if size > _CONSOLE_BYTES:
            self.clear()
        return text.splitlines()


def _stream(fd: int, mode: str) -> TextIO:
    return cast(TextIO, open(fd, mode, buffering=1, errors="backslashreplace", closefd=False))


class Worker:
    """The life of a worker process."""

    def __init__(self, wire: Wire, console: Console, workshop: Workshop) -> None:
        self._wire = wire
        self._console = console
        self._workshop = workshop
        self._hand_over = HandOver(workshop.reducers)
        self._used = False

    def serve(self) -> None:
        """Run what comes until the driver closes the wire."""
        bind = self._wire.receive()
        if bind.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(bind.gpus)
        self._wire.send(Ready(os.getpid()))
        while True:
            message = self._wire.receive()
            if isinstance(message, Run):  # all others are for a trial that has ended meanwhile
                self._run(message.task)

    def _run(self, task: TrialTask) -> None:
        self._wire.send(Began())
        channel = _Channel(task, self._hand_over, self._wire, self._console)
        self._console.clear()
        run_trial(self._workshop.run, task, channel)
        self._hand_over.forget()
        channel.close()
        for handle in task.imports.values():
            if isinstance(handle, Bundle):
                handle.close()
        gc.collect()  # a model in a reference cycle would hold its memory while the next trial needs it
        if not self._used:
            gc.freeze()  # what the first trial has imported, so that the collector never looks at it again
            self._used = True
        self._wire.send(Idle())


class _Channel(TrialChannel):
    def __init__(self, task: TrialTask, hand_over: HandOver, wire: Wire, console: Console) -> None:
        super().__init__(task, hand_over)
        self._wire = wire
        self._console = console
        self._lock = threading.Lock()  # a thread of user code may print, which is an event too
        self._shared: list[Bundle] = []
        self._stopping = False
        self._interrupted = False

    def send(self, event: Event) -> None:
        try:
            with self._lock:
                self._wire.send(event)
        except OSError:  # the driver is gone, and nobody wants the rest of this trial
            os._exit(1)

    def stop_requested(self) -> bool:
        self._listen()
        return self._stopping

    def interrupt_requested(self) -> bool:
        self._listen()
        return self._interrupted

    def output(self) -> Sequence[str]:
        with self._lock:
            return self._console.lines()

    def share(self, values: Mapping[LinkPath, Any]) -> Handle:
        bundle = self._hand_over.pack(values)
        self._shared.append(bundle)
        return bundle

    def close(self) -> None:
        for bundle in self._shared:
            bundle.close()

    def _listen(self) -> None:
        try:
            waiting = self._wire.waiting()
        except EOFError:  # as in `send`
            os._exit(1)
        while waiting:
            message = waiting.popleft()
            if message == Stop(self.key):
                self._stopping = True
            elif message == Interrupt(self.key):
                self._interrupted = True


def main() -> None:
    """The life of a worker in a fresh interpreter."""

    def life() -> None:
        end, order = fresh_start()
        console = Console(Descriptor(os.dup(1)) if sys.platform != "win32" else None)
        with suppress(EOFError, OSError):  # the driver is gone
            Worker(Wire(end), console, prepared(order)).serve()

    live(life)
