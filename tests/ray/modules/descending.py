"""Stages for the tests of populations: what is best for them changes while they run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambe import Component, log
from flambe.errors import CannotChangeError


class Descent(Component):
    """Walks down to 0 by `rate` in each step, and across it where it is nearer than that.

    Large rates are best far away, small ones near: no rate is best all the way.
    """

    lower_is_better = True

    def __init__(self, rate: float, max_steps: int = 40, seconds: float = 0.0, fixed: int = 1) -> None:
        self.rate = rate
        self.max_steps = max_steps
        self.seconds = seconds
        self.taken = 0
        self.distance = 101.3

    def step(self) -> bool:
        time.sleep(self.seconds)
        self.taken += 1
        self.distance = abs(self.distance - self.rate)
        log("distance", self.distance, self.taken)
        return self.taken < self.max_steps

    def metric(self) -> float:
        return self.distance

    def change(self, path: str, value: Any) -> None:
        if path != "rate":
            raise CannotChangeError(f"Descent can change 'rate', not {path!r}")
        self.rate = value

    def custom_state(self) -> Mapping[str, Any]:
        return {"taken": self.taken, "distance": self.distance}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.taken, self.distance = state["taken"], state["distance"]


class Mortal(Descent):
    """A descent whose process is killed once it has taken `at` steps with a rate that it was given, once.

    Args:
        once: A folder where it remembers that it has died.
    """

    def __init__(self, rate: float, max_steps: int, once: str, at: int = 20) -> None:
        super().__init__(rate, max_steps)
        self.mark = Path(once, "died")
        self.at = at
        self.changed = False

    def step(self) -> bool:
        if self.changed and self.taken >= self.at and not self.mark.exists():
            self.mark.write_text(json.dumps([self.rate, self.taken, self.distance]))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()

    def change(self, path: str, value: Any) -> None:
        super().change(path, value)
        self.changed = self.taken > 0
