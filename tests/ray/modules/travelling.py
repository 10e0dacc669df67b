"""Stages for the tests of clusters: they tell on which machine they were."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flambe import Component, log


def machine() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


class Numbers(Component):
    """An array of `count` times `value`."""

    def __init__(self, count: int, value: float = 1.0) -> None:
        log("machine", machine())
        self.array = np.full(count, value)


class Walk(Component):
    """Its metric after n steps is `slope` * n * the mean of `numbers`; with `own`, it hands on an array too.

    Args:
        pause_s: How long a step takes.
        diary: A file that gets a line for each step: slope, step, process, machine.
    """

    def __init__(
        self, slope: float, numbers: Any, max_steps: int = 10, pause_s: float = 0.1, diary: str | None = None
    ) -> None:
        self.slope = slope
        self.numbers = numbers
        self.max_steps = max_steps
        self.pause_s = pause_s
        self.diary = diary
        self.taken = 0
        self.own = np.full(100_000, slope)
        log("machine", machine())

    def step(self) -> bool:
        time.sleep(self.pause_s)
        self.taken += 1
        if self.diary is not None:
            with Path(self.diary).open("a") as diary:
                diary.write(f"{self.slope} {self.taken} {os.getpid()} {machine()}\n")
        return self.taken < self.max_steps

    def metric(self) -> float:
        return self.slope * self.taken * float(np.mean(self.numbers))

    def custom_state(self) -> Mapping[str, Any]:
        return {"taken": self.taken}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.taken = state["taken"]


class Sum(Component):
    """Its metric is the sum of what it is given."""

    def __init__(self, numbers: Any, factor: float = 1.0) -> None:
        self.total = float(np.sum(numbers)) * factor
        log("machine", machine())

    def metric(self) -> float:
        return self.total


class Sharer(Component):
    """Sees a part of a GPU for a moment; its metric is how many trials it met there."""

    def __init__(self, number: int, place: str) -> None:
        self.number = number
        self.place = Path(place)
        self.met = 0

    def step(self) -> bool:
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        log("gpu", f"gpu {gpu} of {machine()}")
        (self.place / f"in-{self.number}").touch()
        deadline = time.monotonic() + 10
        while not self.met and time.monotonic() < deadline:
            time.sleep(0.05)
            self.met = len(list(self.place.glob("in-*"))) - 1
        return False

    def metric(self) -> float:
        return float(self.met)
