"""The zygote: a process with one thread that has imported what trials need, and forks workers.

A worker that is forked from it starts in milliseconds and shares the imported modules. The zygote does
nothing else, so it can be copied safely at any time, also long after the driver has started threads.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flambe.executors.processes import (
    Child,
    can_fork,
    die_with_parent,
    fork,
    fresh_start,
    kill_group,
    live,
    parent_pid,
    start_fresh,
)
from flambe.executors.segment import Descriptor
from flambe.executors.wire import Wire
from flambe.executors.worker import Console, Worker
from flambe.executors.workshop import Prepare, Workshop, prepared

_PARENT_CHECK_S = 1.0


@dataclass(frozen=True)
class Launch:
    """Driver to zygote: start a worker at this end of a wire, with this console."""

    end: Descriptor
    console: Descriptor


@dataclass(frozen=True)
class Reap:
    """Driver to zygote: this worker is gone; the answer is its exit code, None if it is not known."""

    pid: int


@dataclass(frozen=True)
class Quit:
    """Driver to zygote: end all workers, then yourself."""


class Zygote:
    """The life of the zygote."""

    def __init__(self, wire: Wire, driver: int) -> None:
        self._wire = wire
        self._driver = driver
        self._children: dict[int, Child] = {}

    def serve(self, order: Prepare) -> None:
        """Start and reap workers until the driver says `Quit` or dies."""
        Console(Descriptor(os.open(os.devnull, os.O_RDWR)))
        workshop = prepared(order)
        gc.freeze()  # so that no worker's collector touches, and thereby copies, what is shared
        forks = can_fork()
        try:
            while not isinstance(message := self._receive(), Quit):
                if isinstance(message, Reap):
                    self._wire.send(self._reap(message.pid))
                elif forks:
                    self._fork(message, workshop)
                else:  # an imported module has started threads
                    self._start_fresh(message, order)
        except (EOFError, OSError):
            pass  # the driver is gone
        finally:
            for pid, child in self._children.items():
                kill_group(pid)
                child.wait()

    def _receive(self) -> Any:
        while not self._wire.readable(_PARENT_CHECK_S):
            if os.getppid() != self._driver:  # a fork of the driver may still hold the other end
                raise EOFError
        return self._wire.receive()

    def _fork(self, launch: Launch, workshop: Workshop) -> None:
        zygote = os.getpid()

        def life() -> None:
            die_with_parent(zygote)
            for other in self._wire.arrived():  # a copy of another worker's end would hide its death
                if isinstance(other, Launch):
                    other.end.close()
                    other.console.close()
            self._wire.close()
            wire = Wire(socket.socket(fileno=launch.end.fd))
            with suppress(EOFError, OSError):  # the driver is gone, or does not need this worker
                Worker(wire, Console(launch.console), workshop).serve()

        child = fork(life)
        self._children[child.pid] = child
        launch.end.close()
        launch.console.close()

    def _start_fresh(self, launch: Launch, order: Prepare) -> None:
        with socket.socket(fileno=launch.end.fd) as end:
            child = start_fresh("worker", end, launch.console.fd, order)
        self._children[child.pid] = child
        launch.console.close()

    def _reap(self, pid: int) -> int | None:
        child = self._children.pop(pid, None)
        if child is None:
            return None
        try:
            return child.wait(timeout=1)
        except subprocess.TimeoutExpired:  # it closed its wire and lives on
            kill_group(pid)
            return child.wait()


def main() -> None:
    """The life of a zygote in a fresh interpreter."""

    def life() -> None:
        end, order = fresh_start()
        Zygote(Wire(end), parent_pid()).serve(order)

    live(life)
