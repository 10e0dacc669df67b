"""Reading a run's folder from outside, while it grows or later."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flambe.errors import RunError
from flambe.experiment.journal import JOURNAL, TrialRecord, decode, records
from flambe.experiment.run_folder import RUN, extensions_of
from flambe.storage.storage import Storage, open_storage
from flambe.trials.protocol import TrialKey

_log = logging.getLogger("flambe")


@dataclass(frozen=True)
class Run:
    """What a run's folder says.

    Attributes:
        about: What `run.json` holds: name, status, seed, command, versions, …; nothing if it is damaged.
        stages: The names of the stages that have variants, in the order in which they began.
        records: What became of each trial, by stage and variant.
        chosen: For each reduced stage, the variants that flowed on, best first.
        left_out: The trials of an earlier run that a changed config has no more.
        extensions: By stage, how many variants more than its config says people have asked for.
    """

    folder: str
    about: Mapping[str, Any]
    stages: tuple[str, ...]
    records: Mapping[TrialKey, TrialRecord]
    chosen: Mapping[str, tuple[str, ...]]
    extensions: Mapping[str, int]
    left_out: frozenset[TrialKey] = frozenset()

    @cached_property
    def outdated(self) -> frozenset[TrialKey]:
        """The trials that were left out, and those that build on what a later `reduce` has left out."""
        found = set(self.left_out)
        for stage in self.stages:  # in their order: what a trial builds on comes before it
            for record in (record for key, record in self.records.items() if key.stage == stage):
                above = [TrialKey(*link) for link in record.upstream.items()]
                if any(key in found or self._is_left_out(key) for key in above):
                    found.add(record.key)
        return frozenset(found)

    def of(self, stage: str) -> list[TrialRecord]:
        """The stage's trials, but for outdated ones."""
        return [r for key, r in self.records.items() if key.stage == stage and key not in self.outdated]

    def _is_left_out(self, key: TrialKey) -> bool:
        return key.stage in self.chosen and key.variant not in self.chosen[key.stage]


def read_run(folder: str) -> Run:
    """The run in `folder`.

    Raises:
        RunError: there is no run in it.
        JournalError: its journal is damaged.
    """
    storage = open_storage(folder)
    if not storage.exists(JOURNAL):
        raise RunError(f"{folder} is not the folder of a run: it has no {JOURNAL}")
    events = list(decode(storage.read(JOURNAL), name=f"{folder}/{JOURNAL}"))
    found = records(events)
    order = [stage for event in events if event["event"] == "run" for stage in event["stages"]]
    latest = max((number for number, event in enumerate(events) if event["event"] == "run"), default=0)
    chosen = {e["stage"]: tuple(e["kept"]) for e in events[latest:] if e["event"] == "reduced"}
    left_out = [e["left_out"] for e in events[latest:] if e["event"] == "ended" and "left_out" in e]
    return Run(
        folder=storage.url,
        about=about_run(storage),
        stages=tuple(dict.fromkeys([*order, *(key.stage for key in found)])),
        records=found,
        chosen=chosen,
        extensions=extensions_of(events),
        left_out=frozenset(
            TrialKey(stage, id_) for stages in left_out for stage, ids in stages.items() for id_ in ids
        ),
    )


def about_run(storage: Storage) -> dict[str, Any]:
    """What `run.json` says; the journal alone is needed to know the trials."""
    if not storage.exists(RUN):
        return {}
    try:
        about = json.loads(storage.read(RUN))
    except ValueError:
        about = None
    if isinstance(about, dict):
        return about
    _log.warning("%s is damaged: what it says of the run is left out", storage.join(RUN))
    return {}
