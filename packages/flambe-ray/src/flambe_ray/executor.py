"""`RayExecutor`: trials in Ray actors, with each stage's own scheduler between their steps."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flambe.executors.devices import Devices, Share
from flambe.executors.protocol import Deliver
from flambe.executors.workshop import Equip, equip
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Handle,
    Left,
    Logged,
    Paused,
    Recollection,
    Setting,
    Started,
    Stepped,
    TrialKey,
    TrialTask,
)
from flambe_ray.session import Session, prepare_environment
from flambe_ray.worker import IN_STORE, Verdict
from flambe_ray.workers import WorkerLost, Workers

if TYPE_CHECKING:
    from flambe.registry.registry import Registry
    from flambe.variants.search import Search
    from flambe.variants.space import StageSpace
    from flambe_ray.scheduling import StageScheduler
    from flambe_ray.workers import Slot

_LOOK_AHEAD = 64
"""How far behind a waiting trial one is looked for that needs other devices."""

_TICK_S = 0.2
_QUICK_S = 0.02
"""Steps of a trial without a scheduler are done together until they have taken this long."""

Wish: TypeAlias = Literal["stop", "prune", "leave", "make room"]

_VERDICTS: Mapping[Wish, Verdict] = {"stop": "stop", "prune": "stop", "leave": "leave", "make room": "leave"}


@dataclass(frozen=True, eq=False)
class Stored:
    """The handle of a trial's linked values: a reference into Ray's object store."""

    reference: Any


@dataclass(eq=False)
class _Course:
    """A submitted trial that has not ended.

    Attributes:
        wish: What it is to do instead of its next step.
        waiting: Its scheduler lets it wait; with a slot it does so in its worker, else in its checkpoint.
        begun: A worker has had it.
    """

    task: TrialTask
    slot: Slot | None = None
    share: Share | None = None
    wish: Wish | None = None
    waiting: bool = False
    begun: bool = False
    last: Stepped | None = None
    step: int = 0
    logged: dict[str, float] = field(default_factory=dict)


class RayExecutor:
    """Runs trials on Ray: on the cluster that `RAY_ADDRESS` names, or on one started for the run.

    Each trial is driven step by step, so that its stage's scheduler decides after each. One that has to
    wait stays in its worker until another needs the devices; then it leaves a checkpoint behind and goes
    on from there, anywhere.

    Args:
        equip: Makes what runs the trials; a function that other processes can import.
    """

    def __init__(self, equip: Equip = equip) -> None:
        self._equip = equip
        self._session: Session | None = None
        self._setting: Setting | None = None
        self._registry: Registry | None = None
        self._workers = Workers()
        self._devices = Devices({})
        self._schedulers: dict[str, StageScheduler] = {}
        self._courses: dict[TrialKey, _Course] = {}
        self._queue: OrderedDict[TrialKey, _Course] = OrderedDict()
        self._events: deque[Event] = deque()
        self._stumbled: set[TrialKey] = set()
        self._interrupted = False
        self._troubled = False

    # -- the protocol ---------------------------------------------------------------------------------------

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        del at_once  # workers are started as they are needed
        keep = None if "://" in setting.folder else Path(setting.folder, "ray-logs")
        prepare_environment()
        self._setting = setting
        if setting.stages:
            from flambe.registry.registry import Registry
            from flambe_ray.building import schedulers_of

            self._registry = Registry.load().with_aliases(setting.header)
            self._schedulers = schedulers_of(setting, self._registry)
        self._session = Session(devices, keep=keep)
        self._devices = Devices(devices)
        self._workers.start(setting, self._equip, devices)

    def search(self, space: StageSpace, number: int) -> Search:
        from flambe_ray.searching import search_of

        assert self._setting is not None, "start() comes first"
        assert self._registry is not None, "the setting names the stage's search"
        return search_of(self._setting, self._registry, space, number)

    def recall(self, past: Recollection) -> None:
        if past.stage in self._schedulers:
            self._schedulers[past.stage].replay(past)

    def submit(self, task: TrialTask) -> None:
        problem = self._devices.problem(task.devices)
        if problem is not None:
            self._events.append(Failed(task.key, problem, problem))
            return
        course = _Course(task)
        self._courses[task.key] = self._queue[task.key] = course
        scheduler = self._schedulers.get(task.key.stage)
        if scheduler is None or task.restore == "finished":
            return
        match scheduler.submitted(task.key, task.siblings):
            case "pause":
                course.waiting = course.begun = True
                del self._queue[task.key]
            case "prune":
                course.wish, course.begun = "prune", True

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        clock = _Clock(timeout_s)
        self._carry_out_interrupt()
        if self._courses and not self._events and not self._workers.busy() and not self._queue:
            self._go_on_without_others()
        self._dispatch()
        while not self._events and self._courses and not clock.over():
            for slot, outcome in self._workers.reports(min(_TICK_S, clock.left())):
                self._hear(slot, outcome)
            self._carry_out_interrupt()
            self._dispatch()
        while self._events:
            deliver(self._events.popleft())
        self._forget_failed()
        self._dispatch()

    def stop(self, key: TrialKey) -> None:
        course = self._courses.get(key)
        if course is None:
            return
        if not course.begun:
            self._end(course)
            self._events.append(Finished(key, 0, None, False, None, "stopped"))
        else:
            self._wish(course, "stop")

    def interrupt(self) -> None:
        self._interrupted = True

    def release(self, handle: Handle) -> None:
        """Nothing: Ray frees the values with the last reference to them, which the caller drops."""

    def pids(self) -> list[int]:
        """The ids of the worker processes."""
        return self._workers.pids()

    def close(self) -> None:
        self._courses.clear()
        self._queue.clear()
        self._events.clear()
        self._schedulers.clear()
        if self._session is not None:
            self._workers.close()
            self._session.close(troubled=self._troubled)
            self._session = None

    # -- giving out work ------------------------------------------------------------------------------------

    def _carry_out_interrupt(self) -> None:
        if not self._interrupted:
            return
        self._interrupted = False
        for course in list(self._courses.values()):
            if course.slot is not None:
                self._wish(course, "leave")
            else:
                self._end(course)
                self._events.append(Left(course.task.key, None))

    def _dispatch(self) -> None:
        """Start what can start. What an earlier trial waits for is set aside, out of reach for later ones."""
        self._resume()
        if not self._queue:
            return
        free = self._devices.copy()
        for course in list(islice(self._queue.values(), _LOOK_AHEAD)):
            if free.exhausted():
                break
            share = free.take(course.task.devices)
            if share is None:
                free.earmark(course.task.devices)
            else:
                del self._queue[course.task.key]
                self._devices.assign(share)
                self._begin(course, share)
        if self._queue:
            self._make_room()

    def _begin(self, course: _Course, share: Share) -> None:
        course.share, course.begun = share, True
        references = [handle.reference for handle in course.task.imports.values() if handle is not None]
        named = {stage: stage for stage, handle in course.task.imports.items() if handle is not None}
        course.slot = self._workers.begin(replace(course.task, imports=named), references)

    def _make_room(self) -> None:
        """Let one trial that waits in its worker leave: another needs its devices."""
        if any(course.wish == "make room" for course in self._courses.values()):
            return
        for course in self._courses.values():
            if course.waiting and course.slot is not None and course.wish is None:
                self._wish(course, "make room")
                return

    def _wish(self, course: _Course, wish: Wish) -> None:
        """Have the trial end or leave: after its step if it runs, now if it waits in its worker."""
        course.wish = wish
        if course.slot is None:
            if course.waiting:
                self._queue_again(course)  # its checkpoint is loaded, to be saved as what has come of it
        elif course.slot.call is None:
            self._advance(course)

    def _queue_again(self, course: _Course) -> None:
        course.waiting = False
        course.task = replace(course.task, restore="checkpoint")
        self._queue[course.task.key] = course
        self._queue.move_to_end(course.task.key, last=False)

    def _advance(self, course: _Course) -> None:
        assert course.slot is not None
        verdict = _VERDICTS[course.wish] if course.wish is not None else "go"
        scheduled = course.task.key.stage in self._schedulers
        self._workers.advance(course.slot, verdict, 0.0 if scheduled else _QUICK_S)

    # -- waiting trials -------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Let trials go on whose schedulers say so, or end those they have decided against."""
        for scheduler in self._schedulers.values():
            while scheduler.pruned:
                if (key := scheduler.pruned.pop()) in self._courses:  # else an earlier run has ended it
                    self._wish(self._courses[key], "prune")
            while scheduler.waiting() and (resumed := scheduler.next_to_resume()) is not None:
                if resumed in self._courses:
                    self._go_on(self._courses[resumed], scheduler)

    def _go_on(self, course: _Course, scheduler: StageScheduler) -> None:
        if course.slot is None:
            self._queue_again(course)
            return
        course.waiting = False
        if course.slot.call is None:
            scheduler.running(course.task.key)
            self._events.append(Started(course.task.key, course.step))
            self._advance(course)
        # else it is on its way out, and is queued once it has left

    def _go_on_without_others(self) -> None:
        """Only waiting trials are left, so what they wait for will not come."""
        for scheduler in self._schedulers.values():
            if scheduler.waiting():
                scheduler.no_more()
        self._resume()
        if self._queue or self._workers.busy():
            return
        for course in list(self._courses.values()):  # no scheduler may hold up a run for good
            if course.waiting:
                self._go_on(course, self._schedulers[course.task.key.stage])
                return

    # -- hearing from workers -------------------------------------------------------------------------------

    def _hear(self, slot: Slot, outcome: Any) -> None:
        course = self._courses.get(slot.key) if slot.key is not None else None
        if isinstance(outcome, WorkerLost):
            self._troubled = True
            if course is not None:
                self._end(course)
                self._failed(course, Failed(course.task.key, outcome.error, outcome.story, lost=True))
            return
        if course is None:  # it was closed
            return
        for event in outcome.report.events:
            self._note(course, event, outcome.parcel)
        if outcome.report.ended:
            self._workers.free(slot)
            return
        self._decide(course)

    def _note(self, course: _Course, event: Event, parcel: Any) -> None:
        key, scheduler = course.task.key, self._schedulers.get(course.task.key.stage)
        match event:
            case Started(step=step) if scheduler is not None:
                scheduler.running(key)
                if step > scheduler.step_of(key):  # it got further than was heard of it
                    course.last = Stepped(key, step, event.metric, True, 0.0, event.lower_is_better)
            case Logged(records=records) if scheduler is not None:
                from flambe_ray.scheduling import scalars

                course.logged |= scalars(records)
            case Stepped():
                course.last = event
            case Left(step=step) if course.wish != "leave" and step is not None:
                self._made_room(course, step)
                return
            case Finished():
                self._finished(course, event, parcel)
                return
            case Left():
                self._end(course)
            case Failed():
                self._end(course)
                self._failed(course, event)
                return
        self._events.append(event)

    def _decide(self, course: _Course) -> None:
        """What comes after a step: what was asked for, else what the scheduler says."""
        scheduler = self._schedulers.get(course.task.key.stage)
        if course.wish is None and scheduler is not None and course.last is not None:
            judgement = scheduler.judge(course.last, course.logged)
            course.step, course.last = course.last.step, None
            if judgement == "pause":
                course.waiting = True
                self._events.append(Paused(course.task.key, course.step, False))
                return
            course.wish = "prune" if judgement == "prune" else None
        self._advance(course)

    def _made_room(self, course: _Course, step: int) -> None:
        self._give_back(course)
        self._events.append(Paused(course.task.key, step, True))
        if course.wish == "make room":
            course.wish = None
        if course.wish is not None or not course.waiting:  # its scheduler has decided meanwhile
            self._queue_again(course)

    def _finished(self, course: _Course, event: Finished, parcel: Any) -> None:
        self._end(course)
        scheduler = self._schedulers.get(event.key.stage)
        if scheduler is not None and course.task.restore != "finished":
            scheduler.ended(event.key, course.last, course.logged)
        handle = Stored(parcel) if event.handle == IN_STORE else None
        status = "pruned" if course.wish == "prune" and event.status == "stopped" else event.status
        self._events.append(replace(event, handle=handle, status=status))

    def _failed(self, course: _Course, event: Failed) -> None:
        scheduler = self._schedulers.get(event.key.stage)
        if scheduler is not None:
            scheduler.stumbled(event.key, pruned=course.wish == "prune")
            self._stumbled.add(event.key)
        self._events.append(event)

    def _forget_failed(self) -> None:
        """Who was told of a failure has submitted the trial again by now, or never will."""
        for key in self._stumbled - self._courses.keys():
            self._schedulers[key.stage].failed(key)
        self._stumbled.clear()

    def _end(self, course: _Course) -> None:
        self._give_back(course)
        self._queue.pop(course.task.key, None)
        self._courses.pop(course.task.key, None)

    def _give_back(self, course: _Course) -> None:
        if course.share is not None:
            self._devices.give_back(course.share)
        course.share = course.slot = None


class _Clock:
    """How long there is still to wait."""

    def __init__(self, timeout_s: float | None) -> None:
        self._until = None if timeout_s is None else time.monotonic() + timeout_s

    def left(self) -> float:
        return float("inf") if self._until is None else max(0.0, self._until - time.monotonic())

    def over(self) -> bool:
        return self.left() <= 0
