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
from flambe_ray.machines import Machines, Node
from flambe_ray.worker import Report, Verdict, Worker

_Shape = tuple[tuple[str, float], ...]


@dataclass(eq=False)
class Slot:
    """An actor and the trial that it has.

    Attributes:
        node: The machine that it was sent to.
        call: The reference to the report that is awaited, None while nothing is.
        ready: The reference to an answer of the new actor, None once it has come.
        used: A trial before this one has run in it.
        beginning: What is awaited is that the trial is built.
    """

    actor: Any
    shape: _Shape
    ready: Any = None
    key: TrialKey | None = None
    node: Node = None
    call: Any = None
    parcel: Any = None
    used: bool = False
    beginning: bool = False


class Answer(NamedTuple):
    """A worker's report, and the reference to the parcel of a trial that has finished."""

    report: Report
    parcel: Any


class WorkerLost(NamedTuple):
    """The worker is gone, or its answer cannot be read.

    Attributes:
        unplaced: The trial has not come to it: its machine had gone before it was started, or it may have
            died while it had no trial.
    """

    error: str
    story: str
    unplaced: bool = False


class ParcelsLost(NamedTuple):
    """The worker could not begin: values that it was to be given are gone, those of `call` at the least."""

    reference: str


class Workers:
    """Starts actors, calls them and collects what they report."""

    def __init__(self) -> None:
        self._order: Prepare | None = None
        self._machines = Machines({})
        self._slots: list[Slot] = []
        self._calls: dict[Any, Slot] = {}

    def start(self, setting: Setting, equip: Equip, machines: Machines) -> None:
        self._machines = machines
        self._order = Prepare(setting, equip, main_script(setting))

    def begin(self, task: TrialTask, parcels: Sequence[Any], node: Node = None) -> Slot:
        """Run a trial in a free actor on this machine that holds its devices, or in a new one."""
        shape = _shape(task.devices)
        free = (s for s in self._slots if s.key is None and s.shape == shape and s.node == node)
        slot = next(free, None) or self._new(shape, node)
        slot.key = task.key
        slot.beginning = True
        self._call(slot, slot.actor.begin.options(num_returns=2).remote(task, *parcels))
        return slot

    def idle(self, devices: Mapping[str, float], node: Node) -> bool:
        """Whether an actor that holds these devices is free on the machine."""
        shape = _shape(devices)
        return any(s.key is None and s.shape == shape and s.node == node for s in self._slots)

    def advance(self, slot: Slot, verdict: Verdict, at_least_s: float) -> None:
        """Let the slot's trial carry out the verdict."""
        self._call(slot, slot.actor.advance.options(num_returns=2).remote(verdict, at_least_s))

    def kill(self, slot: Slot) -> None:
        """End the slot's actor at once, whatever it does."""
        self._calls.pop(slot.call, None)
        self._dismiss(slot)

    def at_work(self) -> list[TrialKey]:
        """The trials that an actor builds or steps now; one that is still starting does not."""
        import ray

        new = {slot.ready: slot for slot in self._slots if slot.ready is not None}
        if new:
            answered, _ = ray.wait(list(new), num_returns=len(new), timeout=0)
            for reference in answered:
                new[reference].ready = None
        return [slot.key for slot in self._calls.values() if slot.key is not None and slot.ready is None]

    def busy(self) -> bool:
        """Whether a report is awaited."""
        return bool(self._calls)

    def reports(self, timeout_s: float) -> Iterator[tuple[Slot, Answer | WorkerLost | ParcelsLost]]:
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
                answer = Answer(ray.get(call), parcel)
            except Exception as error:  # noqa: BLE001  # the actor's end, or what cannot be unpickled here
                fate = _fate(error, idle=slot.used and slot.beginning)
                if isinstance(fate, WorkerLost):
                    self._dismiss(slot)
                yield slot, fate
            else:
                slot.beginning = False
                yield slot, answer

    def free(self, slot: Slot) -> None:
        """The slot's trial has ended, and the actor has let go of it."""
        slot.key, slot.used = None, True

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

    def forget_strays(self) -> None:
        """Let go of free actors on machines that are gone."""
        there = self._machines.nodes()
        for slot in [s for s in self._slots if s.key is None and s.node not in there]:
            self._dismiss(slot)

    def _new(self, shape: _Shape, node: Node) -> Slot:
        import ray

        for other in [s for s in self._slots if s.key is None and s.node == node]:
            if self._has_room(shape, node):
                break
            self._dismiss(other)  # it holds devices that are about to be used
        options: Mapping[str, Any] = _options(dict(shape), node)
        actor = ray.remote(Worker).options(**options).remote(self._order, list(sys.path))
        slot = Slot(actor, shape, ready=actor.pid.remote(), node=node)
        self._slots.append(slot)
        return slot

    def _has_room(self, shape: _Shape, node: Node) -> bool:
        there = self._machines.devices_of(node)
        held = Counter[str]()
        for holder in (*(slot.shape for slot in self._slots if slot.node == node), shape):
            for kind, amount in holder:
                held[kind] += amount  # type: ignore[assignment]  # fractions of a device
        return all(amount <= there.get(kind, 0) + 1e-6 for kind, amount in held.items())

    def _dismiss(self, slot: Slot) -> None:
        import ray

        self._slots.remove(slot)
        with suppress(Exception):  # it is dead already
            ray.kill(slot.actor, no_restart=True)


def _shape(devices: Mapping[str, float]) -> _Shape:
    return tuple(sorted(devices.items()))


def _options(devices: dict[str, float], node: Node) -> dict[str, Any]:
    cpus, gpus = devices.pop("cpu", 0), devices.pop("gpu", 0)
    resources = {kind: amount for kind, amount in devices.items() if amount}
    where: dict[str, Any] = {}
    if node is not None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
    return {
        **where,
        "num_cpus": cpus,
        "num_gpus": gpus,
        "resources": resources,
        "max_restarts": 0,
        "max_task_retries": 0,
    }


def _fate(error: Exception, *, idle: bool) -> WorkerLost | ParcelsLost:
    """What has become of a call; `idle` if the worker may have died before it."""
    from ray.exceptions import (
        ActorUnschedulableError,
        ObjectLostError,
        OutOfMemoryError,
        RayActorError,
        RayTaskError,
    )

    if isinstance(error, RayTaskError) and isinstance(error.cause, ObjectLostError):
        return ParcelsLost(error.cause.object_ref_hex)
    if isinstance(error, ActorUnschedulableError):
        return WorkerLost("the worker's machine is gone", str(error), unplaced=True)
    if isinstance(error, ObjectLostError):
        return WorkerLost("what the worker reported is gone with its machine", str(error))
    text = " ".join(str(error).split())
    if isinstance(error, OutOfMemoryError):
        return WorkerLost("the worker was killed for want of memory", str(error), unplaced=idle)
    if isinstance(error, RayActorError):
        return WorkerLost("the worker process died", f"the worker process died\n\n{error}", unplaced=idle)
    return WorkerLost(
        f"what the worker was asked or answered cannot be read: {type(error).__name__}: {text}", str(error)
    )
