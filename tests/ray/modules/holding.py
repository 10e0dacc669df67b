"""Stages for the tests of memory: one makes a block of data, others hold it at the same time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from flambe import Component, log

MIB = 1 << 20


class Block(Component):
    """`mib` mebibytes of data: an array, a table of the torch plugin, or a tensor."""

    def __init__(self, kind: str, mib: int) -> None:
        numbers = np.ones((mib, MIB // 8))
        if kind == "array":
            self.data: Any = numbers
        elif kind == "rows":
            from flambe_torch.data import ArrayColumn, Rows

            self.data = Rows({"x": ArrayColumn.of(numbers)})
        else:
            import torch

            self.data = torch.from_numpy(numbers)


class Hold(Component):
    """Reads all of `data`, waits until `of` trials have done so, and tells what its process holds then.

    Its metric is its share of the memory in MiB: what several processes map counts in equal parts.
    """

    def __init__(self, number: int, of: int, place: str, data: Any) -> None:
        self.number = number
        self.of = of
        self.place = Path(place)
        self.data = data
        self.share = 0.0

    def step(self) -> bool:
        read(self.data)
        self._meet("read")
        memory = rollup()
        self.share = memory["Pss"]
        log("own", memory["Private_Clean"] + memory["Private_Dirty"])
        self._meet("measured")
        return False

    def metric(self) -> float:
        return self.share

    def _meet(self, name: str) -> None:
        (self.place / f"{name}-{self.number}").touch()
        deadline = time.monotonic() + 120
        while len(list(self.place.glob(f"{name}-*"))) < self.of:
            assert time.monotonic() < deadline, "the others have not come"
            time.sleep(0.02)


def read(data: Any) -> float:
    columns = getattr(data, "columns", None)
    if columns is not None:
        data = columns["x"].values
    return float(data.sum())


def rollup() -> dict[str, float]:
    """What the process holds, in MiB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
