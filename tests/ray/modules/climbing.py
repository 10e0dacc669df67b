"""Stages for the tests of schedulers: curves that are known beforehand."""

from __future__ import annotations

import os
import random
import signal
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambe import Component, log

ALIVE: weakref.WeakSet[Any] = weakref.WeakSet()


class Climb(Component):
    """Its metric after n steps is `slope` * n, negated with `down`; it raises in step `fail_at`."""

    def __init__(self, slope: float, max_steps: int = 9, down: bool = False, fail_at: int = 0) -> None:
        self.slope = slope
        self.max_steps = max_steps
        self.lower_is_better = down
        self.fail_at = fail_at
        self.taken = 0

    def step(self) -> bool:
        self.taken += 1
        if self.taken == self.fail_at:
            raise ArithmeticError("fell")
        return self.taken < self.max_steps

    def metric(self) -> float:
        return -self.slope * self.taken if self.lower_is_better else self.slope * self.taken

    def custom_state(self) -> Mapping[str, Any]:
        return {"taken": self.taken}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.taken = state["taken"]


class Blind(Component):
    """Has no metric before its last step."""

    def __init__(self, steps: int = 3) -> None:
        self.steps = steps
        self.taken = 0

    def step(self) -> bool:
        self.taken += 1
        return self.taken < self.steps

    def metric(self) -> float | None:
        return 1.0 if self.taken == self.steps else None


class Neighbour(Component):
    """Tells what it finds of the trial before it, and leaves something behind itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.myself = self  # a cycle: only the collector frees it
        ALIVE.add(self)

    def step(self) -> bool:
        print(f"{self.name} was here")
        log("process", os.getpid())
        log("alive", len(ALIVE))
        log("drawn", random.random())
        random.seed(self.name)
        return False


class Times(Component):
    """Its metric is `by` * `value`."""

    def __init__(self, by: float, value: float) -> None:
        self.by = by
        self.value = value

    def metric(self) -> float:
        return self.by * self.value


class Many(Component):
    """Takes many values, and ranks by the first."""

    def __init__(self, a: float, b: float, c: float, d: int, e: int, f: float, g: str, h: str) -> None:
        self.a = a

    def metric(self) -> float:
        return self.a


class Slow(Climb):
    """A climb that takes its time."""

    def step(self) -> bool:
        time.sleep(0.02)
        return super().step()


class Mortal(Climb):
    """A climb; three of them have their process killed in their second step, once.

    Args:
        once: A folder where it remembers that it has died.
    """

    def __init__(self, slope: float, max_steps: int, once: str) -> None:
        super().__init__(slope, max_steps)
        self.died = Path(once, f"died-{slope}")

    def step(self) -> bool:
        if self.slope in (2, 7, 9) and self.taken == 1 and not self.died.exists():
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Deadly(Component):
    """Kills the process that builds it."""

    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
