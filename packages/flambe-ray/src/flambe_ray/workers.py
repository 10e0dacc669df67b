"""The actors of a run: started when a trial needs one, used for one trial after the other."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from flambe.executors.workshop import Equip, Prepare, main_script
from flambe.trials.protocol import Setting, TrialKey, TrialTask
from flambe_ray.worker import Report, Verdict, Worker

_Shape = tuple[tuple[str, float], ...]


@dataclass(eq=False)
class Slot:
    """An actor and the trial that it has.

    Attributes:
        call: The reference to the report that is awaited, None while nothing is.
    """

    actor: Any
    shape: _Shape
    key: TrialKey | None = None
    call: Any = None
    parcel: Any = None


class Answer(NamedTuple):
    """A worker's report, and the reference to the parcel of a trial that has finished."""

    report: Report
    parcel: Any


class WorkerLost(NamedTuple):
    """The worker is gone, or its answer cannot be read."""

    error: str
    story: str


class Workers:
    """Starts actors, calls them and collects what they report."""

    def __init__(self) -> None:
        self._order: Prepare | None = None
        self._devices: Mapping[str, float] = {}
        self._slots: list[Slot] = []
        self._calls: dict[Any, Slot] = {}

    def start(self, setting: Setting, equip: Equip, devices: Mapping[str, float]) -> None:
        self._devices = devices
        self._order = Prepare(setting, equip, main_script(setting))

    def begin(self, task: TrialTask, parcels: Sequence[Any]) -> Slot:
        """Run a trial in a free actor that holds its devices, or in a new one."""
        shape = tuple(sorted(task.devices.items()))
        slot = next((s for s in self._slots if s.key is None and s.shape == shape), None) or self._new(shape)
        slot.key = task.key
        self._call(slot, slot.actor.begin.options(num_returns=2).remote(task, *parcels))
        return slot

    def advance(self, slot: Slot, verdict: Verdict, at_least_s: float) -> None:
        """Let the slot's trial carry out the verdict."""
        self._call(slot, slot.actor.advance.options(num_returns=2).remote(verdict, at_least_s))

    def busy(self) -> bool:
        """Whether a report is awaited."""
        return bool(self._calls)

    def reports(self, timeout_s: float) -> Iterator[tuple[Slot, Answer | WorkerLost]]:
        """What has been reported; waits up to `timeout_s` for the first."""
        import ray

        if not self._calls:
            time.sleep(min(timeout_s, 0.01))
            return
        ready, _ = ray.wait(list(self._calls), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        for call in ready:
            slot = self._calls.pop(call)
            parcel, slot.call, slot.parcel = slot.parcel, None, None
            try:
                yield slot, Answer(ray.get(call), parcel)
            except Exception as error:  # noqa: BLE001  # the actor's end, or what cannot be unpickled here
                self._dismiss(slot)
                yield slot, _fate(error)

    def free(self, slot: Slot) -> None:
        """The slot's trial has ended, and the actor has let go of it."""
        slot.key = None

    def pids(self) -> list[int]:
        """The ids of the processes; those that run a step answer when it is done."""
        import ray

        found: list[int] = ray.get([slot.actor.pid.remote() for slot in self._slots])
        return found

    def close(self) -> None:
        """End all actors at once."""
        self._calls.clear()
        for slot in list(self._slots):
            self._dismiss(slot)

    def _call(self, slot: Slot, references: Sequence[Any]) -> None:
        slot.call, slot.parcel = references
        self._calls[slot.call] = slot

    def _new(self, shape: _Shape) -> Slot:
        import ray

        for other in [s for s in self._slots if s.key is None]:
            if self._has_room(shape):
                break
            self._dismiss(other)  # it holds devices that are about to be used
        options: Mapping[str, Any] = _options(dict(shape))
        actor = ray.remote(Worker).options(**options).remote(self._order, list(sys.path))
        slot = Slot(actor, shape)
        self._slots.append(slot)
        return slot

    def _has_room(self, shape: _Shape) -> bool:
        held = Counter[str]()
        for holder in (*(slot.shape for slot in self._slots), shape):
            for kind, amount in holder:
                held[kind] += amount  # type: ignore[assignment]  # fractions of a device
        return all(amount <= self._devices.get(kind, 0) + 1e-6 for kind, amount in held.items())

    def _dismiss(self, slot: Slot) -> None:
        import ray

        self._slots.remove(slot)
        with suppress(Exception):  # it is dead already
            ray.kill(slot.actor, no_restart=True)


def _options(devices: dict[str, float]) -> dict[str, Any]:
    cpus, gpus = devices.pop("cpu", 0), devices.pop("gpu", 0)
    resources = {kind: amount for kind, amount in devices.items() if amount}
    return {
        "num_cpus": cpus,
        "num_gpus": gpus,
        "resources": resources,
        "max_restarts": 0,
        "max_task_retries": 0,
    }


def _fate(error: Exception) -> WorkerLost:
    from ray.exceptions import RayActorError

    text = " ".join(str(error).split())
    if isinstance(error, RayActorError):
        return WorkerLost("the worker process died", f"the worker process died\n\n{error}")
    return WorkerLost(
        f"what the worker was asked or answered cannot be read: {type(error).__name__}: {text}", str(error)
    )
