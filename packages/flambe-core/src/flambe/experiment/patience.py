"""How long a trial may go without getting anywhere."""

from __future__ import annotations

import time

from flambe.executors.protocol import Executor
from flambe.trials.protocol import TrialKey

_LOOK_S = 0.2


class Patience:
    """Kills trials that take too long for one thing: to be built, to step, or to be saved.

    Args:
        limit_s: How long is too long, in seconds; None for no limit.
    """

    def __init__(self, executor: Executor, limit_s: float | None) -> None:
        self._executor = executor
        self._limit_s = limit_s
        self._since: dict[TrialKey, float] = {}
        self._looked = float("-inf")

    def heard(self, key: TrialKey) -> None:
        """The trial has got somewhere."""
        if key in self._since:
            self._since[key] = time.monotonic()

    def check(self) -> None:
        """Kill those that have been at one thing for too long."""
        now = time.monotonic()
        if self._limit_s is None or now - self._looked < _LOOK_S:
            return
        self._looked = now
        self._since = {key: self._since.get(key, now) for key in self._executor.at_work()}
        for key, since in list(self._since.items()):
            if now - since > self._limit_s:
                del self._since[key]
                reason = f"it got nowhere for {self._limit_s:g} s (trial_timeout), so its worker was killed"
                self._executor.kill(key, reason)
