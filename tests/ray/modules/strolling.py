"""A stage for the tests of live control: slow enough to be talked to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flambe import Component
from flambe.errors import CannotChangeError


class Stroll(Component):
    """Adds `slope` to its metric in each step of `seconds`; where it is flat, steps take no time."""

    def __init__(self, slope: float, max_steps: int = 60, seconds: float = 0.02) -> None:
        self.slope, self.max_steps, self.seconds = slope, max_steps, seconds
        self.taken, self.height = 0, 0.0

    def step(self) -> bool:
        time.sleep(self.seconds if self.slope else 0)
        self.taken += 1
        self.height += self.slope
        return self.taken < self.max_steps

    def metric(self) -> float:
        return self.height

    def change(self, path: str, value: float) -> None:
        if path != "slope" or value > 100:
            raise CannotChangeError(f"{path} cannot become {value}")
        self.slope = value

    def custom_state(self) -> Mapping[str, Any]:
        return {"taken": self.taken, "height": self.height}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.taken, self.height = state["taken"], state["height"]


class Stuck(Component):
    """Never gets through its second step."""

    def __init__(self) -> None:
        self.taken = 0

    def step(self) -> bool:
        self.taken += 1
        time.sleep(600 if self.taken == 2 else 0)
        return True
