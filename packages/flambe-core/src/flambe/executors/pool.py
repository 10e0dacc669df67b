"""`Pool`: reused worker processes, each with its share of the devices."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from flambe.build.hidden import Mask
from flambe.executors.devices import Devices, Share, gpu_ids
from flambe.executors.handover import Bundle
from flambe.executors.launch import Launcher, launcher
from flambe.executors.processes import allow_descriptors, kill_group, restore_descriptors
from flambe.executors.protocol import Deliver
from flambe.executors.queued import stop_queued
from flambe.executors.segment import Descriptor, anonymous_file
from flambe.executors.wire import Wire
from flambe.executors.worker import Began, Bind, Idle, Interrupt, Ready, Run, Stop
from flambe.executors.workshop import Equip, equip
from flambe.storage.storage import refuse_private
from flambe.trials.protocol import Event, Failed, Finished, Handle, Left, Setting, TrialKey, TrialTask

_LOOK_AHEAD = 64
"""How far behind a waiting trial one is looked for that needs other devices."""

_LAST_WORDS_BYTES = 4096


class Pool:
    """Runs trials in worker processes, as many at once as the devices allow.

    A worker is started when a trial finds none that is free and has its GPUs, and is reused afterwards.
    One that dies takes no more with it than the trial it ran.

    Args:
        equip: Makes what runs the trials; a function that other processes can import.
    """

    def __init__(self, equip: Equip = equip) -> None:
        self._equip = equip
        self._setting: Setting | None = None
        self._launcher: Launcher | None = None
        self._selector: selectors.BaseSelector = selectors.SelectSelector()
        self._devices = Devices({})
        self._gpus: list[str] | None = None
        self._queue: OrderedDict[TrialKey, TrialTask] = OrderedDict()
        self._events: deque[Event] = deque()
        self._workers: list[_Worker] = []
        self._shared: dict[int, Bundle] = {}
        self._limits: tuple[int, int] | None = None
        self._interrupted = False
        self._mask = Mask(())

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        del at_once  # workers are started as they are needed
        refuse_private(setting.folder)
        self._setting = setting
        self._mask = Mask(setting.hidden)
        self._devices = Devices(devices)
        self._gpus = gpu_ids() if "gpu" in devices else None
        self._launcher = launcher(setting, self._equip)
        self._bell, self._ear = socket.socketpair()  # wakes `wait` when a signal handler interrupts
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        self._limits = allow_descriptors()

    def submit(self, task: TrialTask) -> None:
        problem = self._devices.problem(task.devices)
        if problem is None:
            self._queue[task.key] = task
            if task.ahead:
                self._queue.move_to_end(task.key, last=False)
        else:
            self._events.append(Failed(task.key, problem, problem))

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._carry_out_interrupt()
        self._dispatch()
        while not self._events and (self._queue or any(worker.task for worker in self._workers)):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            for ready, _ in self._selector.select(left):
                if ready.data is not None:
                    self._hear(ready.data)
            self._carry_out_interrupt()
            if not self._events:  # who is told of one that left may submit it again, ahead of the queue
                self._dispatch()
        while self._events:
            deliver(self._events.popleft())
        self._dispatch()

    def stop(self, key: TrialKey) -> None:
        if key in self._queue:
            self._events += stop_queued(self._queue, key)
        for worker in self._workers:
            if worker.task is not None and worker.task.key == key:
                worker.wish(Stop(key))

    def leave(self, key: TrialKey) -> None:
        if self._queue.pop(key, None) is not None:
            self._events.append(Left(key, None))
        for worker in self._workers:
            if worker.task is not None and worker.task.key == key:
                worker.wish(Interrupt(key))

    def kill(self, key: TrialKey, reason: str) -> None:
        for worker in [w for w in self._workers if w.task is not None and w.task.key == key]:
            self._hear_out(worker)
            if worker.task is not None and not worker.ended:
                self._free(worker)
                self._dismiss(worker)
                self._events.append(Failed(key, reason, reason, lost=True))
        if self._queue.pop(key, None) is not None:
            self._events.append(Failed(key, reason, reason, lost=True))

    def at_work(self) -> Collection[TrialKey]:
        return [w.task.key for w in self._workers if w.task is not None and not w.ended]

    def interrupt(self) -> None:
        self._interrupted = True
        self._bell.send(b"!")

    def release(self, handle: Handle) -> None:
        if self._shared.pop(id(handle), None) is not None:
            handle.close()

    def close(self) -> None:
        if self._launcher is None:
            return
        for worker in self._workers:
            if worker.pid is not None:
                kill_group(worker.pid)
            worker.close()
        self._launcher.close()
        self._launcher = None
        self._selector.close()
        self._bell.close()
        self._ear.close()
        self._workers.clear()
        self._queue.clear()
        self._events.clear()
        while self._shared:
            self._shared.popitem()[1].close()
        restore_descriptors(self._limits)

    def _carry_out_interrupt(self) -> None:
        if not self._interrupted:
            return
        self._ear.recv(1)
        self._interrupted = False
        self._events.extend(Left(key, None) for key in self._queue)
        self._queue.clear()
        for worker in self._workers:
            if worker.task is not None:
                worker.wish(Interrupt(worker.task.key))

    # -- giving out work ------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Start what can start. What an earlier trial waits for is set aside, out of reach for later ones."""
        if not self._queue:
            return
        free = self._devices.copy()
        for task in list(islice(self._queue.values(), _LOOK_AHEAD)):
            if free.exhausted():
                return
            share = free.take(task.devices)
            if share is None:
                free.earmark(task.devices)
            else:
                del self._queue[task.key]
                self._devices.assign(share)
                self._give(task, share)

    def _give(self, task: TrialTask, share: Share) -> None:
        gpus = None if self._gpus is None else tuple(self._gpus[index] for index in share.gpus)
        worker = next((w for w in self._workers if w.task is None and w.gpus == gpus), None)
        worker = worker or self._start_worker(gpus)
        worker.task, worker.share, worker.began, worker.ended = task, share, False, False
        worker.wished = None
        worker.tell(Run(task))

    def _start_worker(self, gpus: tuple[str, ...] | None) -> _Worker:
        for other in [w for w in self._workers if w.task is None and set(w.gpus or ()) & set(gpus or ())]:
            self._dismiss(other)  # it would keep memory on a GPU that is about to be used
        try:
            worker = self._launch(gpus)
        except OSError:  # somebody has killed the zygote
            assert self._launcher is not None
            assert self._setting is not None
            self._launcher.close()
            self._launcher = launcher(self._setting, self._equip)
            worker = self._launch(gpus)
        self._selector.register(worker.wire, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        worker.tell(Bind(gpus))
        return worker

    def _launch(self, gpus: tuple[str, ...] | None) -> _Worker:
        """A worker that is being started; its end of the wire is closed here, whatever happens.

        A zygote that were forked while it is open would keep a copy, and hide the worker's death.
        """
        assert self._launcher is not None, "start() comes first"
        wire, end = Wire.pair()
        worker = _Worker(wire, Descriptor(anonymous_file()), gpus)
        try:
            self._launcher.launch(end, worker.console)
        except OSError:
            worker.close()
            raise
        finally:
            end.close()
        return worker

    # -- hearing from workers -------------------------------------------------------------------------------

    def _hear(self, worker: _Worker) -> None:
        lost: Exception | None = None
        try:
            worker.wire.read()
        except Exception as error:  # noqa: BLE001  # its end, or what cannot be unpickled here
            lost = error
        self._take_in(worker)
        if lost is not None:
            self._lose(worker, lost)

    def _hear_out(self, worker: _Worker) -> None:
        """Take in what the worker has said so far, which may be that its trial has ended."""
        if worker.wire.readable(0):
            self._hear(worker)

    def _take_in(self, worker: _Worker) -> None:
        messages = worker.wire.arrived()
        while messages:
            message = messages.popleft()
            if isinstance(message, Ready):
                worker.pid = message.pid
            elif isinstance(message, Began):
                worker.began = True
            elif isinstance(message, Idle):
                worker.used = True
                self._free(worker)
            else:
                self._note(worker, message)

    def _note(self, worker: _Worker, event: Event) -> None:
        if isinstance(event, Finished | Left | Failed):
            worker.ended = True
        if isinstance(event, Finished) and isinstance(event.handle, Bundle):
            self._shared[id(event.handle)] = event.handle
        self._events.append(event)

    def _free(self, worker: _Worker) -> None:
        if worker.share is not None:
            self._devices.give_back(worker.share)
        worker.task = worker.share = None

    def _lose(self, worker: _Worker, reason: Exception) -> None:
        """A worker is gone or cannot be understood: its trial has failed, unless it had ended already."""
        task = worker.task
        self._free(worker)
        last_words = self._mask(worker.last_words())
        code = self._dismiss(worker)
        if task is None or worker.ended:
            return
        if worker.used and not worker.began:  # it died between two trials
            self._take_back(task, worker.wished)
            return
        if isinstance(reason, EOFError):
            error = _fate(worker.pid, code)
        else:
            error = f"what the worker process sent cannot be read here: {type(reason).__name__}: {reason}"
        story = f"{error}\n\nWhat it wrote last:\n{last_words}" if last_words else error
        self._events.append(Failed(task.key, error, story, lost=True))

    def _take_back(self, task: TrialTask, wished: Stop | Interrupt | None) -> None:
        """A trial that has not begun is queued again, unless it was to stop or leave meanwhile."""
        if isinstance(wished, Interrupt):
            self._events.append(Left(task.key, None))
            return
        self._queue[task.key] = task
        self._queue.move_to_end(task.key, last=False)
        if isinstance(wished, Stop):
            self._events += stop_queued(self._queue, task.key)

    def _dismiss(self, worker: _Worker) -> int | None:
        """Take a worker out, dead or alive; its exit code if it is known."""
        assert self._launcher is not None
        self._workers.remove(worker)
        self._selector.unregister(worker.wire)
        worker.close()
        if worker.pid is None:
            return None
        kill_group(worker.pid)  # what it has started too
        return self._launcher.reap(worker.pid)


@dataclass(eq=False)
class _Worker:
    """A worker process, seen from the driver.

    Attributes:
        used: It has run a trial before the present one.
        began: The present trial has reached it.
        ended: The present trial has reported its end.
        wished: What the present trial was last told to do.
    """

    wire: Wire
    console: Descriptor
    gpus: tuple[str, ...] | None
    pid: int | None = None
    task: TrialTask | None = None
    share: Share | None = None
    used: bool = False
    began: bool = False
    ended: bool = False
    wished: Stop | Interrupt | None = None

    def wish(self, message: Stop | Interrupt) -> None:
        self.wished = message
        self.tell(message)

    def tell(self, message: object) -> None:
        with suppress(OSError):  # it is dead, which the end of its wire tells
            self.wire.send(message)

    def last_words(self) -> str:
        """The end of what it wrote beneath Python, where that can be read."""
        if not hasattr(os, "pread"):  # Windows
            return ""
        size = os.fstat(self.console.fd).st_size
        last = os.pread(self.console.fd, _LAST_WORDS_BYTES, max(0, size - _LAST_WORDS_BYTES))
        return last.decode(errors="replace").strip()

    def close(self) -> None:
        self.wire.close()
        self.console.close()


def _fate(pid: int | None, code: int | None) -> str:
    if pid is None:
        return "the worker process could not be started"
    if code is None or code >= 0:
        return f"the worker process {pid} ended" + (
            "" if code is None else f" itself with exit status {code}"
        )
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"the worker process {pid} was killed by {name}" + (
        " (out of memory?)" if name == "SIGKILL" else ""
    )
