"""Devices: how many there are, and which trial has which share of them."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_UNITS = 10_000
"""Shares are counted in whole parts of a device, so that three thirds and ten tenths fit."""


def available() -> dict[str, float]:
    """The processors and GPUs that this process may use: `{"cpu": 8, "gpu": 1}`."""
    return {"cpu": _processors(), "gpu": len(gpu_ids())}


def gpu_ids() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; starts no GPU library."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        ids = [part.strip() for part in visible.split(",")]
        return [part for part in ids if part and part != "-1"]
    drivers = Path("/proc/driver/nvidia/gpus")
    if drivers.is_dir():
        return [str(index) for index, _ in enumerate(drivers.iterdir())]
    return [str(index) for index in range(_listed_gpus())]


@dataclass(frozen=True)
class Share:
    """What one trial has: parts of each kind, and which GPUs (their position in the list of ids)."""

    parts: Mapping[str, int]
    gpus: tuple[int, ...] = ()


class Devices:
    """Keeps account of who has what. GPUs are told apart, all other kinds only counted."""

    def __init__(self, total: Mapping[str, float]) -> None:
        self._total = dict(total)
        self._free = {kind: round(amount * _UNITS) for kind, amount in total.items() if kind != "gpu"}
        self._gpus = [_UNITS] * int(total.get("gpu", 0))

    def problem(self, shares: Mapping[str, float]) -> str | None:
        """Why nobody can ever get `shares`, or None if somebody can."""
        for kind, amount in shares.items():
            there = self._total.get(kind, 0)
            if not math.isfinite(amount) or amount < 0:
                return f"a trial cannot have {kind}: {amount}; give a number that is not negative"
            if amount > there:
                return f"the trial asks for {kind}: {amount:g}, and this run has {kind}: {there:g}"
            if kind == "gpu" and amount > 1 and amount != int(amount):
                return f"the trial asks for gpu: {amount:g}; a share of more than one GPU is a whole number"
        return None

    def take(self, shares: Mapping[str, float]) -> Share | None:
        """Hand out `shares`, or None if they are not free now."""
        parts = _parts(shares)
        gpus = self._choose(parts.get("gpu", 0))
        if gpus is None or any(parts[kind] > self._free.get(kind, 0) for kind in parts if kind != "gpu"):
            return None
        share = Share(parts, gpus)
        self.assign(share)
        return share

    def assign(self, share: Share) -> None:
        """Note that somebody has this share."""
        self._account(share, -1)

    def give_back(self, share: Share) -> None:
        """Take back what was handed out."""
        self._account(share, 1)

    def earmark(self, shares: Mapping[str, float]) -> None:
        """Set aside what a waiting trial needs, so that none behind it takes it; use it on a copy."""
        parts = _parts(shares)
        wanted = parts.pop("gpu", 0)
        for kind, amount in parts.items():
            self._free[kind] = self._free.get(kind, 0) - amount
        emptiest = sorted(range(len(self._gpus)), key=lambda index: -self._gpus[index])
        for index in emptiest[: math.ceil(wanted / _UNITS)]:
            self._gpus[index] = 0

    def lack(self, shares: Mapping[str, float]) -> int:
        """How much more of the scarcest device would have to be free for `shares`; negative if it is free."""
        free = {**self._free, "gpu": sum(self._gpus)}
        return max((amount - free.get(kind, 0) for kind, amount in _parts(shares).items()), default=0)

    def exhausted(self) -> bool:
        """Whether there is nothing left to hand out."""
        return all(amount <= 0 for amount in (*self._free.values(), *self._gpus))

    def copy(self) -> Devices:
        """The same account, to try something on."""
        other = Devices(self._total)
        other._free, other._gpus = dict(self._free), list(self._gpus)
        return other

    def _choose(self, wanted: int) -> tuple[int, ...] | None:
        if wanted >= _UNITS:
            empty = [index for index, free in enumerate(self._gpus) if free == _UNITS]
            count = wanted // _UNITS
            return tuple(empty[:count]) if len(empty) >= count else None
        if not wanted:
            return ()
        fitting = [index for index, free in enumerate(self._gpus) if free >= wanted]
        return (min(fitting, key=lambda index: self._gpus[index]),) if fitting else None

    def _account(self, share: Share, sign: int) -> None:
        for kind, amount in share.parts.items():
            if kind != "gpu":
                self._free[kind] += sign * amount
        for index in share.gpus:
            self._gpus[index] += sign * min(share.parts["gpu"], _UNITS)


def _parts(shares: Mapping[str, float]) -> dict[str, int]:
    """Rounded down, so that as many fit as their shares promise."""
    return {kind: max(int(amount * _UNITS + 1e-6), 1 if amount > 0 else 0) for kind, amount in shares.items()}


def _processors() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _container_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def _container_quota() -> float | None:
    """Processors that the container may use, where it is limited."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _listed_gpus() -> int:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603  # the tool itself
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
