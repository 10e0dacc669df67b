"""What an executor is: the one that decides where and when trials step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from flambe.trials.protocol import (
    Event,
    Handle,
    Recollection,
    Setting,
    TrialKey,
    TrialTask,
)
from flambe.variants.search import Search
from flambe.variants.space import StageSpace

Deliver: TypeAlias = Callable[[Event], None]
"""Takes an event; it may submit, stop, leave, kill, interrupt and release, but neither wait nor close."""


class Searcher(Protocol):
    """What an executor offers beside `Executor` that runs the search algorithms which a config names."""

    def search(self, space: StageSpace, number: int) -> Search:
        """The search that the stage's brief asks for; `number` tells those of one stage apart."""


class Rememberer(Protocol):
    """What an executor offers beside `Executor` that runs the schedulers which a config names.

    They go on where an earlier run was.
    """

    def recall(self, past: Recollection) -> None:
        """A stage is resumed: called before its trials are submitted."""


class Host(Protocol):
    """What an executor offers beside `Executor` whose places may be on other machines than this one."""

    def machines(self) -> Sequence[Mapping[str, float]]:
        """The devices of each machine that is there, or would be started for a trial; after `start`."""


class Executor(Protocol):
    """Runs trials in places of its choice and reports what happens.

    An executor is made without arguments, started once and closed once. It keeps the devices that a
    task asks for within those of its places. Every submitted trial ends in exactly one `Finished`,
    `Left`, `Failed` or `HandlesLost`. `flambe.testing.ExecutorContract` holds all of this as tests.
    """

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        """Get ready to run trials, with `devices` in all to share among them.

        Call it early, while the process has one thread. `at_once` is a hint: the most trials that can
        be ready to run at the same time, None if that is not known.
        """

    def submit(self, task: TrialTask) -> None:
        """Queue a trial; it starts when its devices are free.

        A later trial never takes what an earlier one waits for; a task that is `ahead` counts as the
        earliest. One that asks for more than there is fails, and says what it asked for.
        """

    def wait(self, timeout_s: float | None, deliver: Deliver) -> None:
        """Call `deliver` with the events since the last call, in order for each trial, in this thread.

        Blocks up to `timeout_s` for the first event (None: for as long as it takes), not at all when no
        trial is queued or running. An executor may use the call to run a trial in it, which then takes
        as long as the trial does, and delivers its events while it runs. What `deliver` raises comes out
        of `wait`.
        """

    def stop(self, key: TrialKey) -> None:
        """Let the trial end after its current step: it is saved and reported `Finished(status="stopped")`.

        A queued trial is reported so at once, with step 0 and no handle, unless it goes on from a checkpoint:
        then it is restored, and saved as it is. An unknown or ended one is ignored.
        """

    def leave(self, key: TrialKey) -> None:
        """Let the trial write a checkpoint after its current step and leave: it is reported `Left`.

        A queued trial leaves at once, with step None; one that ends by itself meanwhile is reported so;
        an unknown or ended one is ignored. The same trial may be submitted again afterwards.
        """

    def kill(self, key: TrialKey, reason: str) -> None:
        """End the trial at once, without a checkpoint, whatever it does: `Failed(lost=True)` with `reason`.

        Its place is cleared, or replaced, and goes on with other trials. A queued trial fails at once; an
        unknown or ended one is ignored. Where trials run in the driver's own process a running one cannot
        be killed: the call is ignored, and the executor says so in its documentation.
        """

    def at_work(self) -> Collection[TrialKey]:
        """The trials that have a place which builds, loads or steps them now; neither queued nor waiting."""

    def interrupt(self) -> None:
        """Let every trial write a checkpoint after its current step and leave; each reports `Left`.

        This alone may be called at any time, as by a signal handler: `wait` carries it out.
        """

    def release(self, handle: Handle) -> None:
        """No trial needs the handle's values any more, neither queued nor later."""

    def close(self) -> None:
        """Stop everything at once and free all that was taken; a second call does nothing."""
