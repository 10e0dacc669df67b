"""`RayExecutor`: trials in Ray actors, with each stage's own scheduler between their steps."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from flambe.executors.protocol import Deliver
from flambe.executors.workshop import Equip, equip
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
from flambe_ray.courses import LASTING, VERDICTS, Clock, Course, Wish
from flambe_ray.machines import Machines, Place
from flambe_ray.premises import ADDRESS, Premises
from flambe_ray.session import prepare_environment
from flambe_ray.worker import IN_STORE, Verdict
from flambe_ray.workers import ParcelsLost, WorkerLost, Workers

if TYPE_CHECKING:
    from flambe.registry.registry import Registry
    from flambe.variants.search import Search
    from flambe.variants.space import StageSpace
    from flambe_ray.scheduling import StageScheduler
    from flambe_ray.workers import Slot

_LOOK_AHEAD = 64
"""How far behind a waiting trial one is looked for that needs other devices."""

_log = logging.getLogger("flambe")

_TICK_S = 0.2
_QUICK_S = 0.02
"""Steps of a trial without a scheduler are done together until they have taken this long."""


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
        self._premises: Premises | None = None
        self._setting: Setting | None = None
        self._registry: Registry | None = None
        self._workers = Workers()
        self._machines = Machines({})
        self._schedulers: dict[str, StageScheduler] = {}
        self._courses: dict[TrialKey, Course] = {}
        self._queue: OrderedDict[TrialKey, Course] = OrderedDict()
        self._events: deque[Event] = deque()
        self._stumbled: set[TrialKey] = set()
        self._interrupted = False
        self._troubled = False

    # -- the protocol ---------------------------------------------------------------------------------------

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        del at_once  # workers are started as they are needed
        prepare_environment(setting.options.get(ADDRESS))
        self._setting = setting
        if setting.stages:
            from flambe.registry.registry import Registry
            from flambe_ray.building import schedulers_of

            self._registry = Registry.load().with_aliases(setting.header)
            self._schedulers = schedulers_of(setting, self._registry)
        self._premises = Premises(setting, devices)
        self._machines = self._premises.machines
        self._workers.start(setting, self._equip, self._machines)

    def machines(self) -> Sequence[Mapping[str, float]]:
        assert self._premises is not None, "start() comes first"
        return self._premises.all()

    def search(self, space: StageSpace, number: int) -> Search:
        from flambe_ray.searching import search_of

        assert self._setting is not None, "start() comes first"
        assert self._registry is not None, "the setting names the stage's search"
        return search_of(self._setting, self._registry, space, number)

    def recall(self, past: Recollection) -> None:
        if past.stage in self._schedulers:
            self._schedulers[past.stage].replay(past)

    def submit(self, task: TrialTask) -> None:
        problem = self._machines.problem(task.devices)
        if problem is not None:
            self._events.append(Failed(task.key, problem, problem))
            return
        scheduler = None if task.restore == "finished" else self._schedulers.get(task.key.stage)
        course = Course(task)
        self._courses[task.key] = self._queue[task.key] = course
        if task.ahead:
            self._queue.move_to_end(task.key, last=False)
        if scheduler is None:
            return
        course.task, course.exploit = scheduler.enlist(task)
        match scheduler.submitted(task.key, task.siblings):
            case "pause":
                course.waiting = course.begun = True
                del self._queue[task.key]
            case "prune":
                course.wish, course.begun = "prune", True

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        clock = Clock(timeout_s)
        self._carry_out_interrupt()
        if self._courses and not self._events and not self._workers.busy() and not self._queue:
            self._go_on_without_others()
        self._dispatch()
        while not self._events and self._courses and not clock.over():
            for slot, outcome in self._workers.reports(min(_TICK_S, clock.left())):
                self._hear(slot, outcome)
            self._carry_out_interrupt()
            if not self._events:  # who is told of one that left may submit it again, ahead of the queue
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

    def leave(self, key: TrialKey) -> None:
        course = self._courses.get(key)
        if course is not None and course.wish not in LASTING:
            self._leave(course)

    def kill(self, key: TrialKey, reason: str) -> None:
        course = self._courses.get(key)
        if course is None:
            return
        if course.slot is not None:
            self._workers.kill(course.slot)
        self._end(course)
        self._failed(course, Failed(key, reason, reason, lost=True))

    def at_work(self) -> Collection[TrialKey]:
        return self._workers.at_work()

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
        if self._premises is not None:
            self._workers.close()
            self._premises.close(troubled=self._troubled)
            self._premises = None

    # -- giving out work ------------------------------------------------------------------------------------

    def _carry_out_interrupt(self) -> None:
        if not self._interrupted:
            return
        self._interrupted = False
        for course in list(self._courses.values()):
            self._leave(course)

    def _leave(self, course: Course) -> None:
        if course.slot is not None:
            self._wish(course, "leave")
            return
        self._end(course)
        self._away(course)
        self._events.append(Left(course.task.key, None))

    def _away(self, course: Course) -> None:
        if (scheduler := self._schedulers.get(course.task.key.stage)) is not None:
            scheduler.away(course.task.key)

    def _dispatch(self) -> None:
        """Start what can start. What an earlier trial waits for is set aside, out of reach for later ones."""
        self._resume()
        self._look_round()
        if not self._queue:
            return
        free = self._machines.copy()
        for course in list(islice(self._queue.values(), _LOOK_AHEAD)):
            if free.exhausted():
                break
            devices = course.task.devices
            place = free.take(devices, near=partial(self._workers.idle, devices))
            if place is None:
                free.earmark(devices)
            else:
                del self._queue[course.task.key]
                self._machines.assign(place)
                self._begin(course, place)
        if self._queue:
            self._make_room()

    def _look_round(self) -> None:
        """Take in which machines have come and gone, and say what the trials want."""
        assert self._premises is not None, "start() comes first"
        self._premises.look(
            lambda: (c.task.devices for c in self._courses.values() if c.slot is not None or not c.waiting)
        )
        self._workers.forget_strays()

    def _begin(self, course: Course, place: Place) -> None:
        course.place, course.begun = place, True
        task = course.to_begin()
        references = [handle.reference for handle in task.imports.values() if handle is not None]
        named = {stage: stage for stage, handle in task.imports.items() if handle is not None}
        course.slot = self._workers.begin(replace(task, imports=named), references, place.node)

    def _make_room(self) -> None:
        """Let one trial that waits in its worker leave: another needs its devices."""
        if any(course.wish == "make room" for course in self._courses.values()):
            return
        for course in self._courses.values():
            if course.waiting and course.slot is not None and course.wish is None:
                self._wish(course, "make room")
                return

    def _wish(self, course: Course, wish: Wish) -> None:
        """Have the trial end or leave: after its step if it runs, now if it waits in its worker."""
        course.wish = wish
        if course.slot is None:
            if course.waiting:
                self._queue_again(course)  # its checkpoint is loaded, to be saved as what has come of it
        elif course.slot.call is None:
            self._advance(course)

    def _queue_again(self, course: Course) -> None:
        course.waiting = False
        course.task = replace(course.task, restore="checkpoint")
        self._queue[course.task.key] = course
        self._queue.move_to_end(course.task.key, last=False)

    def _advance(self, course: Course) -> None:
        assert course.slot is not None
        scheduler = self._schedulers.get(course.task.key.stage)
        verdict: Verdict = "go"
        if course.wish is not None:
            verdict = VERDICTS[course.wish]
        elif scheduler is not None and scheduler.wants_checkpoint(course.task.key, course.step + 1):
            verdict = "store"
        self._workers.advance(course.slot, verdict, _QUICK_S if scheduler is None else 0.0)

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
                else:
                    scheduler.away(resumed)

    def _go_on(self, course: Course, scheduler: StageScheduler) -> None:
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
        if isinstance(outcome, ParcelsLost):
            self._workers.free(slot)
            if course is not None:
                self._end(course)
                self._events.append(HandlesLost(course.task.key, _gone(course.task, outcome)))
            return
        if isinstance(outcome, WorkerLost):
            self._lose(course, outcome)
            return
        if course is None:  # it was closed
            return
        for event in outcome.report.events:
            self._note(course, event, outcome.parcel)
        if outcome.report.ended:
            self._workers.free(slot)
            return
        self._decide(course)

    def _lose(self, course: Course | None, lost: WorkerLost) -> None:
        """A worker has gone: its trial has failed, unless it had not even begun."""
        self._troubled = True
        if course is None or course.place is None:
            return
        assert self._premises is not None
        with_machine = self._premises.is_lost(course.place.node)
        if lost.unplaced:
            self._give_back(course)
            self._queue[course.task.key] = course
            self._queue.move_to_end(course.task.key, last=False)
            return
        self._end(course)
        if with_machine:
            error = f"the machine that ran it was lost ({lost.error})"
            self._failed(course, Failed(course.task.key, error, lost.story, lost=True, machine=True))
        else:
            self._failed(course, Failed(course.task.key, lost.error, lost.story, lost=True))

    def _note(self, course: Course, event: Event, parcel: Any) -> None:
        scheduler = self._schedulers.get(course.task.key.stage)
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
                self._end(course)
                self._away(course)
            case Failed():
                self._give_back(course)
                if event.refused and course.exploit is not None:
                    self._refused(course, event.error)
                    return
                self._end(course)
                self._failed(course, event)
                return
        self._events.append(event)

    def _started(self, course: Course, event: Started) -> None:
        key, scheduler = course.task.key, self._schedulers.get(course.task.key.stage)
        exploited = course.exploit is not None
        if (changed := course.changed(event.step)) is not None:
            self._events.append(changed)
        if scheduler is not None:
            scheduler.running(key)
            if event.step > scheduler.step_of(key) and not exploited:  # it got further than was heard of it
                course.last = Stepped(key, event.step, event.metric, True, 0.0, event.lower_is_better)
        self._events.append(event)

    def _refused(self, course: Course, error: str) -> None:
        """A trial cannot be changed as its scheduler wants it to: it goes on as it was."""
        key, exploit = course.task.key, course.exploit
        assert exploit is not None
        course.exploit = None
        self._schedulers[key.stage].refused(key, exploit)
        _log.warning("schedulers.%s: %s goes on as it was: %s", key.stage, key.variant, error)
        if course.wish not in LASTING:
            course.wish = None
        self._queue_again(course)

    def _decide(self, course: Course) -> None:
        """What comes after a step: what was asked for, else what the scheduler says."""
        scheduler = self._schedulers.get(course.task.key.stage)
        if course.wish is None and scheduler is not None and course.last is not None:
            judgement = scheduler.judge(course.last, course.logged)
            course.step, course.last = course.last.step, None
            if judgement == "pause":
                course.waiting = True
                self._events.append(Paused(course.task.key, course.step, False))
            elif judgement == "prune":
                course.wish = "prune"
            self._exploit(scheduler)
        if course.slot is not None and course.slot.call is None and not course.waiting:
            self._advance(course)

    def _exploit(self, scheduler: StageScheduler) -> None:
        """Have trials changed as their scheduler has decided: each leaves its worker, and goes on changed."""
        for key, exploit in scheduler.take_exploits():
            course = self._courses.get(key)
            if course is None or course.wish in LASTING:
                continue
            course.exploit = exploit
            if course.slot is not None and course.wish is None:
                course.waiting = True
                self._wish(course, "change")

    def _made_room(self, course: Course, step: int) -> None:
        self._give_back(course)
        self._events.append(Paused(course.task.key, step, True))
        if course.wish in ("make room", "change"):
            course.wish = None
        if course.wish is not None or not course.waiting:  # its scheduler has decided meanwhile
            self._queue_again(course)

    def _finished(self, course: Course, event: Finished, parcel: Any) -> None:
        self._end(course)
        scheduler = self._schedulers.get(event.key.stage)
        if scheduler is not None and course.task.restore != "finished":
            scheduler.ended(event.key, course.last, course.logged)
        handle = Stored(parcel) if event.handle == IN_STORE else None
        status = "pruned" if course.wish == "prune" and event.status == "stopped" else event.status
        self._events.append(replace(event, handle=handle, status=status))

    def _failed(self, course: Course, event: Failed) -> None:
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

    def _end(self, course: Course) -> None:
        self._give_back(course)
        self._queue.pop(course.task.key, None)
        self._courses.pop(course.task.key, None)

    def _give_back(self, course: Course) -> None:
        if course.place is not None:
            self._machines.give_back(course.place)
        course.place = course.slot = None


def _gone(task: TrialTask, lost: ParcelsLost) -> dict[str, Handle]:
    """The handles that lead to what is lost: those it is known of, else all."""
    handles = {stage: handle for stage, handle in task.imports.items() if handle is not None}
    known = {stage: h for stage, h in handles.items() if h.reference.hex() == lost.reference}
    return known or handles
