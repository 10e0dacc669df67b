"""What an executor is: the one that decides where and when trials step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """What all trials of a run share; sent once to every worker."""

    name: str
    folder: str
    seed: int
    header: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    resources: Mapping[str, str] = field(default_factory=dict)
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
    """What the trial logged since the last event, after `step` steps; `lines` are text for its log file."""

    key: TrialKey
    step: int
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
    """The trial was interrupted after `step` steps: a checkpoint is stored, and it can go on from there."""

    key: TrialKey
    step: int


@dataclass(frozen=True)
class Failed:
    """The trial raised, or its worker died (`lost`). `error` is one line, `traceback` the whole story."""

    key: TrialKey
    error: str
    traceback: str
    lost: bool = False


Event: TypeAlias = Started | Logged | Stepped | Finished | Left | Failed


class Executor(Protocol):
    """Runs trials in places of its choice and reports what happens.

    An executor is made without arguments, started once and closed once. It keeps the devices that a
    task asks for within those of its places. `flambe.testing` holds the contract as tests.
    """

    def start(self, setting: Setting, devices: Mapping[str, float]) -> None:
        """Get ready to run trials, with `devices` in all to share among them."""

    def submit(self, task: TrialTask) -> None:
        """Queue a trial; it starts when its devices are free, in order of submission."""

    def wait(self, timeout_s: float | None) -> Sequence[Event]:
        """Events since the last call, in order for each trial; blocks up to `timeout_s` for the first."""

    def stop(self, key: TrialKey) -> None:
        """Let the trial end after its current step: it is saved and reported `Finished(status="stopped")`."""

    def interrupt(self) -> None:
        """Let every trial write a checkpoint after its current step and leave; each reports `Left`."""

    def release(self, handle: Handle) -> None:
        """No later trial needs the handle's values."""

    def close(self) -> None:
        """Stop everything at once and free all that was taken."""
