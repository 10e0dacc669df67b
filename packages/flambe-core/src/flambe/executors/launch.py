"""How the driver gets worker processes: from a zygote where processes can be forked, else one by one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Protocol

from flambe.executors.processes import Child, can_fork, fork, kill_group, start_fresh
from flambe.executors.segment import Descriptor
from flambe.executors.wire import Wire
from flambe.executors.workshop import Equip, Prepare, main_script, refuse_during_import
from flambe.executors.zygote import Launch, Quit, Reap, Zygote
from flambe.trials.protocol import Setting

_QUIT_S = 2.0


class Launcher(Protocol):
    """Starts worker processes and knows what became of them."""

    def launch(self, end: socket.socket, console: Descriptor) -> None:
        """Start a worker at `end`; it says `Ready` on its wire.

        Raises:
            OSError: this launcher is broken.
        """

    def reap(self, pid: int) -> int | None:
        """The exit code of a worker that is gone, if it is known."""

    def close(self) -> None:
        """Kill all workers, and free what was taken."""


def launcher(setting: Setting, equip: Equip) -> Launcher:
    """What starts workers quickest, and safely, on this system and in the present state of this process.

    Raises:
        RunError: this process only imports the script of another.
    """
    refuse_during_import()
    if sys.platform != "linux":
        return Spawner(Prepare(setting, equip, main_script(setting)))
    if can_fork():
        return Incubator.forked(Prepare(setting, equip))
    return Incubator.fresh(Prepare(setting, equip, main_script(setting)))


class Incubator:
    """The driver's side of a zygote."""

    def __init__(self, wire: Wire, zygote: Child) -> None:
        self._wire = wire
        self._zygote = zygote

    @classmethod
    def forked(cls, order: Prepare) -> Incubator:
        """A zygote that is a copy of this process: what is imported here is imported there."""
        wire, end = Wire.pair()
        driver = os.getpid()

        def life() -> None:
            wire.close()
            Zygote(Wire(end), driver).serve(order)

        zygote = fork(life)
        end.close()
        return cls(wire, zygote)

    @classmethod
    def fresh(cls, order: Prepare) -> Incubator:
        """A zygote in a new interpreter, for a process that cannot be copied."""
        wire, end = Wire.pair()
        with end:
            return cls(wire, start_fresh("zygote", end, None, order))

    def launch(self, end: socket.socket, console: Descriptor) -> None:
        self._wire.send(Launch(Descriptor(end.fileno()), console))

    def reap(self, pid: int) -> int | None:
        try:
            self._wire.send(Reap(pid))
            code: int | None = self._wire.receive()
        except (OSError, EOFError):
            return None
        return code

    def close(self) -> None:
        with suppress(OSError):
            self._wire.send(Quit())
        try:
            self._zygote.wait(timeout=_QUIT_S)
        except subprocess.TimeoutExpired:  # it may be importing something large
            kill_group(self._zygote.pid)
            self._zygote.wait()
        self._wire.close()
        if isinstance(self._zygote, subprocess.Popen) and self._zygote.stdin is not None:
            self._zygote.stdin.close()


class Spawner:
    """Starts every worker as an interpreter of its own."""

    def __init__(self, order: Prepare) -> None:
        self._order = order
        self._workers: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self, end: socket.socket, console: Descriptor) -> None:
        worker = start_fresh("worker", end, console.fd, self._order)
        self._workers[worker.pid] = worker

    def reap(self, pid: int) -> int | None:
        worker = self._workers.pop(pid, None)
        if worker is None:
            return None
        try:
            code = worker.wait(timeout=1)
        except subprocess.TimeoutExpired:  # it closed its wire and lives on
            kill_group(pid)
            code = worker.wait()
        if worker.stdin is not None:
            worker.stdin.close()
        return code

    def close(self) -> None:
        for pid in list(self._workers):
            kill_group(pid)
            self.reap(pid)
