"""`InProcess`: one trial at a time, in this process and this thread, inside `wait`."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flambe.errors import HandOverError
from flambe.executors.devices import Devices
from flambe.executors.handover import Bundle, HandOver
from flambe.executors.protocol import Deliver
from flambe.executors.queued import stop_queued
from flambe.executors.workshop import (
    Equip,
    Prepare,
    TrialChannel,
    Workshop,
    equip,
    prepared,
    refuse_during_import,
    run_trial,
)
from flambe.language.links import LinkPath
from flambe.trials.protocol import Event, Failed, Handle, Left, Setting, TrialKey, TrialTask


class InProcess:
    """Runs trials here: for a lone trial, for debugging, and where there can be no other process.

    A trial has the thread of the caller, so signal handlers, debuggers and Ctrl-C work as in any program:
    a `KeyboardInterrupt` ends the trial at once and comes out of `wait`. Linked values are handed over
    as between processes; what cannot be pickled is deep-copied for every receiver. A running trial cannot
    be killed without the driver: `kill` only takes queued ones.

    Args:
        equip: Makes what runs the trials.
    """

    def __init__(self, equip: Equip = equip) -> None:
        self._equip = equip
        self._workshop: Workshop | None = None
        self._setting: Setting | None = None
        self._devices = Devices({})
        self._hand_over = HandOver()
        self._queue: OrderedDict[TrialKey, TrialTask] = OrderedDict()
        self._events: deque[Event] = deque()
        self._running: _Channel | None = None
        self._interrupted = False
        self._shared: dict[int, Bundle] = {}

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        del at_once  # always one
        refuse_during_import()
        self._setting = setting
        self._devices = Devices(devices)

    def submit(self, task: TrialTask) -> None:
        problem = self._devices.problem(task.devices)
        if problem is None:
            self._queue[task.key] = task
            if task.ahead:
                self._queue.move_to_end(task.key, last=False)
        else:
            self._events.append(Failed(task.key, problem, problem))

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        """Run the next trial to its end, delivering its events while it runs."""
        del timeout_s  # a trial that runs in the caller's thread cannot be left before it ends
        self._carry_out_interrupt()
        if not self._events and self._queue:
            _, task = self._queue.popitem(last=False)
            self._run(task, deliver)
            self._carry_out_interrupt()
        while self._events:
            deliver(self._events.popleft())

    def stop(self, key: TrialKey) -> None:
        if key in self._queue:
            self._events += stop_queued(self._queue, key)
        elif self._running is not None and self._running.key == key:
            self._running.stopping = True

    def leave(self, key: TrialKey) -> None:
        if self._queue.pop(key, None) is not None:
            self._events.append(Left(key, None))
        elif self._running is not None and self._running.key == key:
            self._running.leaving = True

    def kill(self, key: TrialKey, reason: str) -> None:
        if self._queue.pop(key, None) is not None:
            self._events.append(Failed(key, reason, reason, lost=True))

    def at_work(self) -> Collection[TrialKey]:
        return () if self._running is None else (self._running.key,)

    def interrupt(self) -> None:
        self._interrupted = True

    def release(self, handle: Handle) -> None:
        if self._shared.pop(id(handle), None) is not None:
            handle.close()

    def close(self) -> None:
        self._queue.clear()
        self._events.clear()
        while self._shared:
            self._shared.popitem()[1].close()

    def _carry_out_interrupt(self) -> None:
        if self._interrupted:
            self._interrupted = False
            self._events.extend(Left(key, None) for key in self._queue)
            self._queue.clear()

    def _run(self, task: TrialTask, deliver: Deliver) -> None:
        if self._workshop is None:
            assert self._setting is not None, "start() comes first"
            self._workshop = prepared(Prepare(self._setting, self._equip))
            self._hand_over = HandOver(self._workshop.reducers)
        self._running = _Channel(
            task,
            self._hand_over,
            events=self._events,
            deliver=deliver,
            interrupted=lambda: self._interrupted,
            shared=self._shared,
        )
        try:
            run_trial(self._workshop.run, task, self._running)
        except _DeliveryError as error:
            raise error.reason from None
        finally:
            self._running = None
            self._hand_over.forget()


@dataclass(frozen=True)
class _Kept:
    """Linked values that cannot be pickled."""

    values: Mapping[LinkPath, Any]


class _DeliveryError(BaseException):
    """What the driver raised when it was given an event: none of user code's business to catch."""

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


class _Channel(TrialChannel):
    def __init__(
        self,
        task: TrialTask,
        hand_over: HandOver,
        *,
        events: deque[Event],
        deliver: Deliver,
        interrupted: Callable[[], bool],
        shared: dict[int, Bundle],
    ) -> None:
        super().__init__(task, hand_over)
        self._deliver = deliver
        self._interrupted = interrupted
        self._shared = shared
        self._thread = threading.get_ident()
        self._undelivered = events  # the executor's own go with the trial's, and do not wait for its end
        self.stopping = False
        self.leaving = False

    def send(self, event: Event) -> None:
        self._undelivered.append(event)
        if threading.get_ident() != self._thread:  # a thread of user code printed something
            return
        try:
            while self._undelivered:
                self._deliver(self._undelivered.popleft())
        except Exception as error:  # it may be anything, and none of it is the trial's failure
            raise _DeliveryError(error) from error

    def stop_requested(self) -> bool:
        return self.stopping

    def interrupt_requested(self) -> bool:
        return self.leaving or self._interrupted()

    def load(self, handle: Handle) -> Mapping[LinkPath, Any]:
        if not isinstance(handle, _Kept):
            return super().load(handle)
        try:
            return copy.deepcopy(handle.values)
        except Exception:  # noqa: BLE001  # user classes take part; who cannot be copied is shared
            return handle.values

    def share(self, values: Mapping[LinkPath, Any]) -> Handle:
        try:
            bundle = self._hand_over.pack(values)
        except HandOverError:
            return _Kept(dict(values))
        self._shared[id(bundle)] = bundle
        return bundle
