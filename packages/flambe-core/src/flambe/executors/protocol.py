"""What an executor is: the one that decides where and when trials step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from flambe.language.links import LinkPath
from flambe.language.nodes import Node
from flambe.log import Record


class TrialKey(NamedTuple):
    """Names one trial of a run."""

    stage: str
    variant: str


Handle: TypeAlias = Any
"""What an executor gives for the linked values of a finished trial; only the executor looks inside."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a run share; sent once to every worker.

    Attributes:
        header: The header's modules by alias.
        hidden: Texts that must not be written anywhere: what `!env` and `!secret` stand for.
        modules: What to import before the first trial.
    """

    name: str
    folder: str
    seed: int
    header: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    resources: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = field(default=(), repr=False)
    modules: Sequence[str] = ()


@dataclass(frozen=True)
class TrialTask:
    """Everything a worker needs to run one trial.

    Attributes:
        node: The stage's node with every option replaced by its choice.
        exports: The paths (rooted at this stage) that later stages link to; evaluated when the trial is done.
        imports: For each linked upstream stage, the handle of its linked values.
        seed: The trial's own seed.
        devices: Share of each device, such as `{"cpu": 1, "gpu": 0.5}`.
        threads: Threads that numeric libraries may use.
        folder: URL or path of the trial's folder.
        restore: `fresh` builds anew; `checkpoint` goes on from the newest checkpoint in the folder;
            `finished` loads the finished object only to hand over its exports.
        upstream: For each upstream stage, the id of the variant that `imports` comes from.
        attempt: 0 for the first try.
    """

    key: TrialKey
    node: Node
    exports: tuple[LinkPath, ...]
    imports: Mapping[str, Handle]
    seed: int
    devices: Mapping[str, float]
    threads: int
    folder: str
    fingerprint: str
    upstream: Mapping[str, str] = field(default_factory=dict)
    restore: Literal["fresh", "checkpoint", "finished"] = "fresh"
    attempt: int = 0


@dataclass(frozen=True)
class Started:
    """The trial was built, or restored, and steps from now on; `step` is where it goes on from."""

    key: TrialKey
    step: int


@dataclass(frozen=True)
class Logged:
    """What the trial logged since the last event, already in its folder; `lines` are text."""

    key: TrialKey
    records: Sequence[Record]
    lines: Sequence[str]


@dataclass(frozen=True)
class Stepped:
    """One step is done. `checkpoint` says whether the state after it is safely stored."""

    key: TrialKey
    step: int
    metric: float | None
    checkpoint: bool
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The trial ended and is saved. `handle` gives its exports to later trials."""

    key: TrialKey
    step: int
    metric: float | None
    lower_is_better: bool
    handle: Handle
    status: Literal["done", "stopped", "pruned"] = "done"


@dataclass(frozen=True)
class Left:
    """The trial was interrupted after `step` steps: a checkpoint is stored, and it can go on from there.

    `step` is None for a trial that was still queued: nothing of it has changed.
    """

    key: TrialKey
    step: int | None


@dataclass(frozen=True)
class Failed:
    """The trial raised, or its worker died (`lost`). `error` is one line, `traceback` the whole story."""

    key: TrialKey
    error: str
    traceback: str
    lost: bool = False


Event: TypeAlias = Started | Logged | Stepped | Finished | Left | Failed


class Channel(Protocol):
    """How a running trial talks to the executor that runs it."""

    def emit(self, event: Event) -> None:
        """Report what happened; the last event of a trial is `Finished`, `Left` or `Failed`."""

    def stop_requested(self) -> bool:
        """Whether the trial should end after its current step, and be saved."""

    def interrupt_requested(self) -> bool:
        """Whether the trial should write a checkpoint after its current step and leave."""

    def output(self) -> Sequence[str]:
        """Lines that libraries and other programs have written beneath Python since the last call."""

    def load(self, handle: Handle) -> Mapping[LinkPath, Any]:
        """The linked values of an upstream trial; what is never looked at is never unpacked."""

    def share(self, values: Mapping[LinkPath, Any]) -> Handle:
        """Make the trial's own linked values available to later trials.

        Raises:
            HandOverError: a value cannot leave the process it was made in.
        """


Runner: TypeAlias = Callable[[TrialTask, Channel], None]
"""Runs a whole trial; failures of user code are reported through the channel, never raised."""

Deliver: TypeAlias = Callable[[Event], None]
"""Takes an event; it may submit, stop, interrupt and release, but neither wait nor close."""


class Executor(Protocol):
    """Runs trials in places of its choice and reports what happens.

    An executor is made without arguments, started once and closed once. It keeps the devices that a
    task asks for within those of its places. Every submitted trial ends in exactly one `Finished`,
    `Left` or `Failed`. `flambe.testing.ExecutorContract` holds all of this as tests.
    """

    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        """Get ready to run trials, with `devices` in all to share among them.

        Call it early, while the process has one thread. `at_once` is a hint: the most trials that can
        be ready to run at the same time, None if that is not known.
        """

    def submit(self, task: TrialTask) -> None:
        """Queue a trial; it starts when its devices are free.

        A later trial never takes what an earlier one waits for. One that asks for more than there is
        fails, and says what it asked for.
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

        A queued trial is reported so at once, with step 0 and no handle; an unknown or ended one is ignored.
        """

    def interrupt(self) -> None:
        """Let every trial write a checkpoint after its current step and leave; each reports `Left`.

        This alone may be called at any time, as by a signal handler: `wait` carries it out.
        """

    def release(self, handle: Handle) -> None:
        """No trial needs the handle's values any more, neither queued nor later."""

    def close(self) -> None:
        """Stop everything at once and free all that was taken; a second call does nothing."""
