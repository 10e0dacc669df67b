"""`Local`: the executor of one machine, in this process for a lone trial, else with worker processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flambe.executors.in_process import InProcess
from flambe.executors.pool import Pool
from flambe.executors.protocol import Deliver, Executor
from flambe.executors.workshop import Equip, equip
from flambe.trials.protocol import Handle, Setting, TrialKey, TrialTask


class Local:
    """Runs trials on this machine: here if there is never more than one at a time, else in a `Pool`.

    Args:
        equip: Makes what runs the trials; a function that other processes can import.
    """

    def __init__(self, equip: Equip = equip) -> None:
        self._equip = equip
        self._chosen: Executor | None = None

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        self._chosen = InProcess(self._equip) if at_once == 1 else Pool(self._equip)
        self._chosen.start(setting, devices, at_once=at_once)

    def submit(self, task: TrialTask) -> None:
        self._executor.submit(task)

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        self._executor.wait(timeout_s, deliver)

    def stop(self, key: TrialKey) -> None:
        self._executor.stop(key)

    def leave(self, key: TrialKey) -> None:
        self._executor.leave(key)

    def kill(self, key: TrialKey, reason: str) -> None:
        """As the chosen executor does: a lone trial in this process cannot be killed."""
        self._executor.kill(key, reason)

    def at_work(self) -> Collection[TrialKey]:
        return self._executor.at_work()

    def interrupt(self) -> None:
        self._executor.interrupt()

    def release(self, handle: Handle) -> None:
        self._executor.release(handle)

    def close(self) -> None:
        if self._chosen is not None:
            self._chosen.close()

    @property
    def _executor(self) -> Executor:
        assert self._chosen is not None, "start() comes first"
        return self._chosen
