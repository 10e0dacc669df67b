"""The trials of a run on Ray: who has a place, who waits for one, and who is next."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from flambe.executors.workshop import Equip
from flambe.trials.protocol import Event, Left, Setting, Started, TrialKey
from flambe_ray.courses import VERDICTS, Course, Wish
from flambe_ray.machines import Machines, Place
from flambe_ray.premises import Premises
from flambe_ray.worker import Verdict
from flambe_ray.workers import Workers

if TYPE_CHECKING:
    from flambe_ray.scheduling import StageScheduler

_LOOK_AHEAD = 64
"""How far behind a waiting trial one is looked for that needs other devices."""

_QUICK_S = 0.02
"""Steps of a trial without a scheduler are done together until they have taken this long."""


class Floor:
    """Gives places to trials, and lets them go on, wait or leave as their schedulers say.

    Attributes:
        courses: All trials that have not ended.
        queue: Those that wait for a place.
        events: What is to be told.
    """

    def __init__(self) -> None:
        self.workers = Workers()
        self.machines = Machines({})
        self.schedulers: Mapping[str, StageScheduler] = {}
        self.courses: dict[TrialKey, Course] = {}
        self.queue: OrderedDict[TrialKey, Course] = OrderedDict()
        self.events: deque[Event] = deque()
        self._premises: Premises | None = None

    @property
    def premises(self) -> Premises:
        """Where trials run."""
        assert self._premises is not None, "start() comes first"
        return self._premises

    def open(self, setting: Setting, equip: Equip, devices: Mapping[str, float]) -> None:
        """Get ready to run trials."""
        self._premises = Premises(setting, devices)
        self.machines = self._premises.machines
        self.workers.start(setting, equip, self.machines)

    def close(self, *, troubled: bool) -> None:
        """Stop everything at once; a second call does nothing."""
        self.courses.clear()
        self.queue.clear()
        self.events.clear()
        self.schedulers = {}
        if self._premises is not None:
            self.workers.close()
            self._premises.close(troubled=troubled)
            self._premises = None

    # -- giving out work ------------------------------------------------------------------------------------

    def leave(self, course: Course) -> None:
        """Have the trial leave, with a checkpoint if a worker has it; with `Left` it is forgotten here."""
        if course.slot is not None:
            self.have(course, "leave")
            return
        self.end(course)
        self.away(course)
        self.events.append(Left(course.task.key, None))

    def away(self, course: Course) -> None:
        """Its scheduler is to choose and wait for others."""
        if (scheduler := self.schedulers.get(course.task.key.stage)) is not None:
            scheduler.away(course.task.key)

    def dispatch(self) -> None:
        """Start what can start. What an earlier trial waits for is set aside, out of reach for later ones."""
        self._resume()
        self._look_round()
        if not self.queue:
            return
        free = self.machines.copy()
        for course in list(islice(self.queue.values(), _LOOK_AHEAD)):
            if free.exhausted():
                break
            devices = course.task.devices
            place = free.take(devices, near=partial(self.workers.idle, devices))
            if place is None:
                free.earmark(devices)
            else:
                del self.queue[course.task.key]
                self.machines.assign(place)
                self._begin(course, place)
        if self.queue:
            self._make_room()

    def _look_round(self) -> None:
        """Take in which machines have come and gone, and say what the trials want."""
        self.premises.look(
            lambda: (c.task.devices for c in self.courses.values() if c.slot is not None or not c.waiting),
            idle=bool(self.queue) and not self.workers.busy(),
        )
        self.workers.forget_strays()

    def _begin(self, course: Course, place: Place) -> None:
        course.place, course.begun = place, True
        task = course.to_begin()
        references = [handle.reference for handle in task.imports.values() if handle is not None]
        named = {stage: stage for stage, handle in task.imports.items() if handle is not None}
        course.slot = self.workers.begin(replace(task, imports=named), references, place.node)

    def _make_room(self) -> None:
        """Let one trial that waits in its worker leave: another needs its devices."""
        if any(course.wish == "make room" for course in self.courses.values()):
            return
        for course in self.courses.values():
            if course.waiting and course.slot is not None and course.wish is None:
                self.have(course, "make room")
                return

    def have(self, course: Course, wish: Wish) -> None:
        """Have the trial end or leave: after its step if it runs, now if it waits in its worker."""
        course.wish = wish
        if course.slot is None:
            if course.waiting:
                self.queue_again(course)  # its checkpoint is loaded, to be saved as what has come of it
        elif course.slot.call is None:
            self.advance(course)

    def queue_again(self, course: Course) -> None:
        """The trial goes on from its checkpoint, ahead of those that have not begun."""
        course.waiting = False
        course.task = replace(course.task, restore="checkpoint")
        self.queue[course.task.key] = course
        self.queue.move_to_end(course.task.key, last=False)

    def advance(self, course: Course) -> None:
        """Have the trial's worker do what comes next."""
        assert course.slot is not None
        scheduler = self.schedulers.get(course.task.key.stage)
        verdict: Verdict = "go"
        if course.wish is not None:
            verdict = VERDICTS[course.wish]
        elif scheduler is not None and scheduler.wants_checkpoint(course.task.key, course.step + 1):
            verdict = "store"
        self.workers.advance(course.slot, verdict, _QUICK_S if scheduler is None else 0.0)

    # -- waiting trials -------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Let trials go on whose schedulers say so, or end those they have decided against."""
        for scheduler in self.schedulers.values():
            while scheduler.pruned:
                if (key := scheduler.pruned.pop()) in self.courses:
                    self.have(self.courses[key], "prune")
                else:  # an earlier run has ended it, or somebody has paused it
                    scheduler.decided_against(key)
            while scheduler.waiting() and (resumed := scheduler.next_to_resume()) is not None:
                if resumed in self.courses:
                    self._go_on(self.courses[resumed], scheduler)
                else:
                    scheduler.away(resumed)

    def _go_on(self, course: Course, scheduler: StageScheduler) -> None:
        if course.slot is None:
            self.queue_again(course)
            return
        course.waiting = False
        if course.slot.call is None:
            scheduler.running(course.task.key)
            self.events.append(Started(course.task.key, course.step))
            self.advance(course)
        # else it is on its way out, and is queued once it has left

    def go_on_without_others(self) -> None:
        """Only waiting trials are left, so what they wait for will not come."""
        for scheduler in self.schedulers.values():
            if scheduler.waiting():
                scheduler.no_more()
        self._resume()
        if self.queue or self.workers.busy():
            return
        for course in list(self.courses.values()):  # no scheduler may hold up a run for good
            if course.waiting:
                self._go_on(course, self.schedulers[course.task.key.stage])
                return

    def end(self, course: Course) -> None:
        """The trial has ended: its place is free."""
        self.give_back(course)
        self.queue.pop(course.task.key, None)
        self.courses.pop(course.task.key, None)

    def give_back(self, course: Course) -> None:
        """The trial has left its place."""
        if course.place is not None:
            self.machines.give_back(course.place)
        course.place = course.slot = None
