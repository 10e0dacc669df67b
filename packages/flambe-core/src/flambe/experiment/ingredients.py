"""What the engine works on, and what it tells those who watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flambe.executors.protocol import Executor
from flambe.experiment.journal import TrialRecord
from flambe.experiment.reuse import Reuse
from flambe.experiment.run_folder import RunFolder
from flambe.experiment.searching import NewSearch
from flambe.experiment.settings import Settings
from flambe.experiment.stage_run import StageRun
from flambe.logs import MetricSink
from flambe.registry.registry import Registry

Change = Literal[
    "expanded",
    "reused",
    "started",
    "stepped",
    "changed",
    "unchanged",
    "paused",
    "resumed",
    "ended",
    "failed",
    "idle",
]


@dataclass(frozen=True)
class Update:
    """Something a display may want to show: what happened to which trial.

    `idle` says that everything else is done, and only trials that somebody has paused are left: the
    `paused` ones. `why` says why new values are taken back.
    """

    change: Change
    stage: str
    record: TrialRecord | None = None
    paused: Sequence[TrialRecord] = ()
    why: str = ""


@dataclass(frozen=True)
class Ingredients:
    """What the engine works on; made by `Session`."""

    settings: Settings
    stages: Mapping[str, StageRun]
    executor: Executor
    registry: Registry
    folder: RunFolder
    reuse: Reuse
    devices_of: Mapping[str, Mapping[str, float]]
    at_once: Callable[[str], int]
    threads_of: Mapping[str, int]
    new_search: NewSearch | None = None
    sinks: Sequence[MetricSink] = ()
    observe: Callable[[Update], None] = lambda update: None
