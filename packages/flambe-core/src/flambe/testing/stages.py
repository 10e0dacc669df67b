"""Stages for tests: small, predictable, and importable by any worker (`!flambe.testing.stages:Counter`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from flambe.component import Component
from flambe.errors import CannotChangeError
from flambe.logs import log


class Counter(Component):
    """Counts its steps, goes on from a checkpoint, and logs each count.

    Args:
        seconds: How long a step takes.
    """

    def __init__(self, steps: int = 3, seconds: float = 0.0) -> None:
        self.steps = steps
        self.seconds = seconds
        self.count = 0

    def step(self) -> bool:
        time.sleep(self.seconds)
        self.count += 1
        log("count", self.count, self.count)
        return self.count < self.steps

    def metric(self) -> float:
        return float(self.count)

    def custom_state(self) -> Mapping[str, Any]:
        return {"count": self.count}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]


class Tunable(Component):
    """Adds `rate` to its metric in each step; `rate` may change between steps, to anything above 0.

    Args:
        seconds: How long a step takes.

    Attributes:
        told: The new rates it was told of since it was built.
    """

    def __init__(self, steps: int = 3, rate: float = 1.0, seconds: float = 0.0) -> None:
        self.steps = steps
        self.rate = rate
        self.seconds = seconds
        self.count = 0
        self.total = 0.0
        self.told: list[float] = []

    def step(self) -> bool:
        time.sleep(self.seconds)
        self.count += 1
        self.total += self.rate
        log("rate", self.rate, self.count)
        return self.count < self.steps

    def metric(self) -> float:
        return self.total

    def change(self, path: str, value: Any) -> None:
        """Take a new rate."""
        if path != "rate":
            raise CannotChangeError(f"Tunable can change 'rate', not {path!r}")
        if value <= 0:
            raise ValueError("a rate is above 0")
        self.rate = value
        self.told.append(value)

    def custom_state(self) -> Mapping[str, Any]:
        return {"count": self.count, "total": self.total, "rate": self.rate}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.count, self.total, self.rate = state["count"], state["total"], state["rate"]


class Failing(Component):
    """Raises in its step number `at`; with `leave`, it calls `sys.exit()` instead."""

    def __init__(self, at: int = 1, leave: bool = False) -> None:
        self.at = at
        self.leave = leave
        self.count = 0

    def step(self) -> bool:
        self.count += 1
        if self.count == self.at:
            if self.leave:
                sys.exit("enough")
            raise ArithmeticError(f"step {self.at} went wrong")
        return True


class Killed(Component):
    """Its process is killed in its step number `at`, after a word beneath Python's standard error."""

    def __init__(self, at: int = 1) -> None:
        self.at = at
        self.count = 0

    def step(self) -> bool:
        self.count += 1
        if self.count == self.at:
            os.write(2, b"the last word\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return True


class Parent(Component):
    """Starts a process that would run for a minute, logs its id, and takes `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def step(self) -> bool:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        child.returncode = 0  # so that nobody complains that it still runs
        log("child", child.pid)
        print("started a child")
        time.sleep(self.seconds)
        return False


class Interval(Component):
    """Takes `seconds`, and tells when it began and ended (seconds since the epoch), and where."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds
        self.process = os.getpid()
        self.gpus = os.environ.get("CUDA_VISIBLE_DEVICES")

    def run(self) -> None:
        """Nothing: the work is done by `step`."""

    def step(self) -> bool:
        log("began", time.time())
        time.sleep(self.seconds)
        log("process", self.process)
        log("gpus", str(self.gpus))
        log("ended", time.time())
        return False


class Talker(Component):
    """Prints in its step: from Python, from a thread, and beneath Python."""

    def step(self) -> bool:
        print("said by print")
        os.write(1, b"said beneath Python\n")
        thread = threading.Thread(target=print, args=("said by a thread",))
        thread.start()
        thread.join()
        print("said on stderr", file=sys.stderr)
        return False


class Maker(Component):
    """Makes an array of `size` numbers, and what else later stages may want.

    Attributes:
        numbers: 0, 1, 2, …, as float64.
        items: A list, which `box` holds too.
        lock: What cannot be handed to another process.
    """

    def __init__(self, size: int = 100_000) -> None:
        import numpy as np

        self.size = size
        self.numbers = np.arange(float(size))
        self.items = [1, 2, 3]
        self.box = {"items": self.items}
        self.lock = threading.Lock()


class Taker(Component):
    """Takes linked values, tells in its log what it finds, and writes to what it can write to.

    Args:
        wait_s: How long to hold what it took.
    """

    def __init__(
        self,
        number: Any = None,
        numbers: Any = None,
        items: Any = None,
        box: Any = None,
        wait_s: float = 0.0,
    ) -> None:
        self.number = number
        self.numbers = numbers
        self.items = items
        self.box = box
        self.wait_s = wait_s

    def step(self) -> bool:
        log("number", self.number or 0)
        if self.numbers is not None:
            log("sum", float(self.numbers.sum()))
            log("writable", int(self.numbers.flags.writeable))
            log("own_bytes", own_bytes())
        if self.items is not None:
            log("length", len(self.items))
            self.items.append(4)
        if self.box is not None:
            log("same", int(self.box["items"] is self.items))
        time.sleep(self.wait_s)
        return False


def own_bytes() -> int:
    """Memory that is this process's own, not shared memory or files (Linux; elsewhere 0)."""
    try:
        with open("/proc/self/smaps_rollup") as table:
            sizes = {line.split()[0]: int(line.split()[1]) for line in table if line.endswith("kB\n")}
    except OSError:
        return 0
    return 1024 * sizes["Anonymous:"]
