"""`RayExecutor`: trials in Ray actors, with each stage's own scheduler between their steps."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flambe.executors.protocol import Deliver
from flambe.executors.workshop import Equip, equip
from flambe.storage.storage import refuse_private
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Handle,
    HandlesLost,
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
from flambe_ray.courses import LASTING, Clock, Course
from flambe_ray.floor import Floor
from flambe_ray.premises import ADDRESS
from flambe_ray.session import prepare_environment
from flambe_ray.worker import IN_STORE
from flambe_ray.workers import ParcelsLost, WorkerLost

if TYPE_CHECKING:
    from flambe.registry.registry import Registry
    from flambe.variants.search import Search
    from flambe.variants.space import StageSpace
    from flambe_ray.scheduling import StageScheduler
    from flambe_ray.workers import Slot

_log = logging.getLogger("flambe")

_TICK_S = 0.2


@dataclass(frozen=True, eq=False)
class Stored:
    """The handle of a trial's linked values: a reference into Ray's object store."""

    reference: Any


class RayExecutor:
    """Runs trials on Ray: on the cluster that is named, or on one started for the run.

    Each trial is driven step by step, so that its stage's scheduler decides after each. One that has to
    wait stays in its worker until another needs the devices; then it leaves a checkpoint behind and goes
    on from there, anywhere.

    Args:
        equip: Makes what runs the trials; a function that other processes can import.
    """

    def __init__(self, equip: Equip = equip) -> None:
        self._equip = equip
        self._setting: Setting | None = None
        self._registry: Registry | None = None
        self._floor = Floor()
        self._stumbled: set[TrialKey] = set()
        self._interrupted = False
        self._troubled = False

    # -- the protocol ---------------------------------------------------------------------------------------

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        del at_once  # workers are started as they are needed
        refuse_private(setting.folder)
        prepare_environment(setting.options.get(ADDRESS))
        self._setting = setting
        if setting.stages:
            from flambe.registry.registry import Registry
            from flambe_ray.building import schedulers_of
            from flambe_ray.searching import check_searches

            self._registry = Registry.load().with_aliases(setting.header)
            check_searches(setting, self._registry)
            self._floor.schedulers = schedulers_of(setting, self._registry)
        self._floor.open(setting, self._equip, devices)

    def machines(self) -> Sequence[Mapping[str, float]]:
        return self._floor.premises.all()

    def search(self, space: StageSpace, number: int) -> Search:
        from flambe_ray.searching import search_of

        assert self._setting is not None, "start() comes first"
        assert self._registry is not None, "the setting names the stage's search"
        return search_of(self._setting, self._registry, space, number)

    def recall(self, past: Recollection) -> None:
        if past.stage in self._floor.schedulers:
            self._floor.schedulers[past.stage].replay(past)

    def submit(self, task: TrialTask) -> None:
        problem = self._floor.machines.problem(task.devices)
        if problem is not None:
            self._floor.events.append(Failed(task.key, problem, problem))
            return
        scheduler = None if task.restore == "finished" else self._floor.schedulers.get(task.key.stage)
        course = Course(task)
        self._floor.courses[task.key] = self._floor.queue[task.key] = course
        if task.ahead:
            self._floor.queue.move_to_end(task.key, last=False)
        if scheduler is None:
            return
        course.task, course.exploit = scheduler.enlist(task)
        match scheduler.submitted(task.key, task.siblings):
            case "pause":
                course.waiting = course.begun = True
                del self._floor.queue[task.key]
                self._floor.events.append(Paused(task.key, scheduler.step_of(task.key), False))
            case "prune":
                course.wish, course.begun = "prune", True

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        clock = Clock(timeout_s)
        self._carry_out_interrupt()
        if (
            self._floor.courses
            and not self._floor.events
            and not self._floor.workers.busy()
            and not self._floor.queue
        ):
            self._floor.go_on_without_others()
        self._floor.dispatch()
        while not self._floor.events and self._floor.courses and not clock.over():
            for slot, outcome in self._floor.workers.reports(min(_TICK_S, clock.left())):
                self._hear(slot, outcome)
            self._carry_out_interrupt()
            if not self._floor.events:  # who is told of one that left may submit it again, ahead of the queue
                self._floor.dispatch()
        while self._floor.events:
            deliver(self._floor.events.popleft())
        self._forget_failed()
        self._floor.dispatch()

    def stop(self, key: TrialKey) -> None:
        course = self._floor.courses.get(key)
        if course is None:
            return
        if not course.begun and course.task.restore != "checkpoint":
            self._floor.end(course)
            self._floor.events.append(Finished(key, 0, None, False, None, "stopped"))
        else:
            self._floor.have(course, "stop")

    def leave(self, key: TrialKey) -> None:
        course = self._floor.courses.get(key)
        if course is not None and course.wish not in LASTING:
            self._floor.leave(course)

    def kill(self, key: TrialKey, reason: str) -> None:
        course = self._floor.courses.get(key)
        if course is None:
            return
        if course.slot is not None:
            self._floor.workers.kill(course.slot)
        self._floor.end(course)
        self._failed(course, Failed(key, reason, reason, lost=True))

    def at_work(self) -> Collection[TrialKey]:
        return self._floor.workers.at_work()

    def interrupt(self) -> None:
        self._interrupted = True

    def release(self, handle: Handle) -> None:
        """Nothing: Ray frees the values with the last reference to them, which the caller drops."""

    def pids(self) -> list[int]:
        """The ids of the worker processes."""
        return self._floor.workers.pids()

    def close(self) -> None:
        self._floor.close(troubled=self._troubled)

    def _carry_out_interrupt(self) -> None:
        if not self._interrupted:
            return
        self._interrupted = False
        for course in list(self._floor.courses.values()):
            self._floor.leave(course)

    # -- hearing from workers -------------------------------------------------------------------------------

    def _hear(self, slot: Slot, outcome: Any) -> None:
        course = self._floor.courses.get(slot.key) if slot.key is not None else None
        if isinstance(outcome, ParcelsLost):
            self._floor.workers.free(slot)
            if course is not None:
                self._floor.end(course)
                self._floor.events.append(HandlesLost(course.task.key, _gone(course.task, outcome)))
            return
        if isinstance(outcome, WorkerLost):
            self._lose(course, outcome)
            return
        if course is None:  # it was closed
            return
        for event in outcome.report.events:
            self._note(course, event, outcome.parcel)
        if outcome.report.ended:
            self._floor.workers.free(slot)
            return
        self._decide(course)

    def _lose(self, course: Course | None, lost: WorkerLost) -> None:
        """A worker has gone: its trial has failed, unless it had not even begun."""
        self._troubled = True
        if course is None or course.place is None:
            return
        with_machine = self._floor.premises.is_lost(course.place.node)
        if lost.unplaced:
            self._floor.give_back(course)
            self._floor.queue[course.task.key] = course
            self._floor.queue.move_to_end(course.task.key, last=False)
            return
        self._floor.end(course)
        if with_machine:
            error = f"the machine that ran it was lost ({lost.error})"
            self._failed(course, Failed(course.task.key, error, lost.story, lost=True, machine=True))
        else:
            self._failed(course, Failed(course.task.key, lost.error, lost.story, lost=True))

    def _note(self, course: Course, event: Event, parcel: Any) -> None:
        scheduler = self._floor.schedulers.get(course.task.key.stage)
        match event:
            case Started():
                self._started(course, event)
                return
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
                self._floor.end(course)
                self._floor.away(course)
            case Failed():
                self._floor.give_back(course)
                if event.refused and course.exploit is not None:
                    self._refused(course, event.error)
                    return
                self._floor.end(course)
                self._failed(course, event)
                return
        self._floor.events.append(event)

    def _started(self, course: Course, event: Started) -> None:
        key, scheduler = course.task.key, self._floor.schedulers.get(course.task.key.stage)
        exploited = course.exploit is not None
        if (changed := course.changed(event.step)) is not None:
            self._floor.events.append(changed)
        if scheduler is not None:
            scheduler.running(key)
            if event.step > scheduler.step_of(key) and not exploited:  # it got further than was heard of it
                course.last = Stepped(key, event.step, event.metric, True, 0.0, event.lower_is_better)
        self._floor.events.append(event)

    def _refused(self, course: Course, error: str) -> None:
        """A trial cannot be changed as its scheduler wants it to: it goes on as it was."""
        key, exploit = course.task.key, course.exploit
        assert exploit is not None
        course.exploit = None
        self._floor.schedulers[key.stage].refused(key, exploit)
        _log.warning("schedulers.%s: %s goes on as it was: %s", key.stage, key.variant, error)
        if course.wish not in LASTING:
            course.wish = None
        self._floor.queue_again(course)

    def _decide(self, course: Course) -> None:
        """What comes after a step: what was asked for, else what the scheduler says."""
        scheduler = self._floor.schedulers.get(course.task.key.stage)
        if course.wish is None and scheduler is not None and course.last is not None:
            judgement = scheduler.judge(course.last, course.logged)
            course.step, course.last = course.last.step, None
            if judgement == "pause":
                course.waiting = True
                self._floor.events.append(Paused(course.task.key, course.step, False))
            elif judgement == "prune":
                course.wish = "prune"
            self._exploit(scheduler)
        if course.slot is not None and course.slot.call is None and not course.waiting:
            self._floor.advance(course)

    def _exploit(self, scheduler: StageScheduler) -> None:
        """Have trials changed as their scheduler has decided: each leaves its worker, and goes on changed."""
        for key, exploit in scheduler.take_exploits():
            course = self._floor.courses.get(key)
            if course is None or course.wish in LASTING:
                continue
            course.exploit = exploit
            if course.slot is not None and course.wish is None:
                course.waiting = True
                self._floor.have(course, "change")

    def _made_room(self, course: Course, step: int) -> None:
        self._floor.give_back(course)
        self._floor.events.append(Paused(course.task.key, step, True))
        if course.wish in ("make room", "change"):
            course.wish = None
        if course.wish is not None or not course.waiting:  # its scheduler has decided meanwhile
            self._floor.queue_again(course)

    def _finished(self, course: Course, event: Finished, parcel: Any) -> None:
        self._floor.end(course)
        scheduler = self._floor.schedulers.get(event.key.stage)
        if scheduler is not None and course.task.restore != "finished":
            scheduler.ended(event.key, course.last, course.logged)
        handle = Stored(parcel) if event.handle == IN_STORE else None
        status = "pruned" if course.wish == "prune" and event.status == "stopped" else event.status
        self._floor.events.append(replace(event, handle=handle, status=status))

    def _failed(self, course: Course, event: Failed) -> None:
        scheduler = self._floor.schedulers.get(event.key.stage)
        if scheduler is not None:
            scheduler.stumbled(event.key, pruned=course.wish == "prune")
            self._stumbled.add(event.key)
        self._floor.events.append(event)

    def _forget_failed(self) -> None:
        """Who was told of a failure has submitted the trial again by now, or never will."""
        for key in self._stumbled - self._floor.courses.keys():
            self._floor.schedulers[key.stage].failed(key)
        self._stumbled.clear()


def _gone(task: TrialTask, lost: ParcelsLost) -> dict[str, Handle]:
    """The handles that lead to what is lost: those it is known of, else all."""
    handles = {stage: handle for stage, handle in task.imports.items() if handle is not None}
    known = {stage: h for stage, h in handles.items() if h.reference.hex() == lost.reference}
    return known or handles
