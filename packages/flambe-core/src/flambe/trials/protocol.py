"""What passes between the engine, an executor and a running trial: tasks, events, and the channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from flambe.language.links import LinkPath
from flambe.language.nodes import Node
from flambe.logs import Record


class TrialKey(NamedTuple):
    """Names one trial of a run."""

    stage: str
    variant: str


Handle: TypeAlias = Any
"""What an executor gives for the linked values of a finished trial; only the executor looks inside."""


@dataclass(frozen=True)
class StageBrief:
    """What the config says of a stage for the executor that schedules its trials or searches for them.

    Attributes:
        scheduler: What stops or pauses the stage's trials early; to be built by the executor.
        search: What suggests the stage's variants; to be built by the executor.
        max_steps: The most steps that a trial of the stage takes, where its arguments tell.
        samples: How many variants the stage's search tries for each combination of upstream variants.
        node: The stage itself, options included, for schedulers that change what is in it.
    """

    scheduler: Node | None = None
    search: Node | None = None
    max_steps: int | None = None
    samples: int | None = None
    node: Node | None = None


@dataclass(frozen=True)
class Setting:
    """What all trials of a run share; sent once to every worker.

    Attributes:
        header: The header's modules by alias.
        hidden: Texts that must not be written anywhere: what `!env` and `!secret` stand for.
        modules: What to import before the first trial.
        stages: The stages that have a scheduler or a search.
        options: The executor's own options, by their names on the command line.
        environment: What `!env` stands for, on whichever machine a trial is built.
    """

    name: str
    folder: str
    seed: int
    header: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    resources: Mapping[str, str] = field(default_factory=dict)
    hidden: Sequence[str] = field(default=(), repr=False)
    modules: Sequence[str] = ()
    stages: Mapping[str, StageBrief] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


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
        siblings: How many trials of the stage there are to be run, this one included.
        changes: New values of arguments by their path in the stage (`optimizer.lr`), in the order in which
            they were given: what a user or a scheduler has changed since the trial began.
        donor: The folder of another trial, whose newest checkpoint is restored in place of the trial's own.
        ahead: It goes before all that are queued: it had a place, and left it only to be submitted again.
        stopping: It ends where it goes on from: it is restored only to be saved.
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
    siblings: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)
    donor: str | None = None
    ahead: bool = False
    stopping: bool = False


@dataclass(frozen=True)
class Started:
    """The trial was built, or restored, and steps from now on; `step` is where it goes on from.

    What it is worth there is told too, if it goes on: the step's own event may have been lost.
    """

    key: TrialKey
    step: int
    metric: float | None = field(default=None, compare=False)
    lower_is_better: bool = field(default=False, compare=False)


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
    lower_is_better: bool = False


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
class Paused:
    """A scheduler lets the trial wait after `step` steps; `Started` says that it goes on.

    It may come a second time, when the trial makes room for another: then with a checkpoint.
    """

    key: TrialKey
    step: int
    checkpoint: bool


@dataclass(frozen=True)
class Changed:
    """The trial goes on from `step` with new values of some arguments, by their path in the stage.

    `origin` says who changed them: a user's name, or `schedulers.<stage>`. `donor` is the variant whose
    checkpoint it goes on from, if that is not its own.
    """

    key: TrialKey
    step: int
    values: Mapping[str, Any]
    origin: str
    donor: str | None = None


@dataclass(frozen=True)
class Recollection:
    """What an earlier run did of a stage that is resumed, in the order in which it happened.

    Attributes:
        steps: All steps of trials that ended; of others, those before the checkpoint they go on from.
        ended: How the trials that ended did so; they are not submitted.
        siblings: How many trials the stage has, these included.
    """

    stage: str
    steps: Sequence[Stepped]
    ended: Mapping[TrialKey, str]
    siblings: int


@dataclass(frozen=True)
class Failed:
    """The trial raised, or its worker died (`lost`). `error` is one line, `traceback` the whole story.

    With `machine`, the machine went with the worker. With `refused`, the trial could not begin with the
    task's changes, or from its donor: nothing of it has changed, and it can go on without them.
    """

    key: TrialKey
    error: str
    traceback: str
    lost: bool = False
    machine: bool = False
    refused: bool = False


@dataclass(frozen=True)
class HandlesLost:
    """The trial could not begin: values it links to are gone, with the machine that held them.

    `handles` are those of its imports, by stage. Nothing of the trial has changed; who submitted it may
    submit it again with new handles.
    """

    key: TrialKey
    handles: Mapping[str, Handle]


Event: TypeAlias = Started | Logged | Stepped | Paused | Changed | Finished | Left | Failed | HandlesLost


class Channel(Protocol):
    """How a running trial talks to the executor that runs it."""

    def emit(self, event: Event) -> None:
        """Report what happened; the last event of a trial is `Finished`, `Left` or `Failed`."""

    def stop_requested(self) -> bool:
        """Whether the trial should end after its current step, and be saved."""

    def interrupt_requested(self) -> bool:
        """Whether the trial should write a checkpoint after its current step and leave."""

    def store_requested(self) -> bool:
        """Whether the trial should store a checkpoint after its current step, however quick steps are."""

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
