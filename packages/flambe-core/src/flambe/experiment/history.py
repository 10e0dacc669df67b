"""The steps of an earlier run, for schedulers that go on where it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flambe.experiment.journal import TrialRecord
from flambe.trials.protocol import Stepped, TrialKey


def steps_of(events: Iterable[Mapping[str, Any]], records: Mapping[TrialKey, TrialRecord]) -> list[Stepped]:
    """Every step in the order of the journal, without those that were or will be done again."""
    known: dict[TrialKey, dict[int, tuple[int, Stepped]]] = {}
    for number, event in enumerate(events):
        if "variant" not in event:
            continue
        key = TrialKey(event["stage"], event["variant"])
        match event["event"]:
            case "trial":
                known[key] = {}
            case "started" | "resumed":
                _drop_after(event["step"], known.setdefault(key, {}))
            case "changed" if "donor" in event:
                _drop_after(event["step"], known.setdefault(key, {}))
            case "step":
                known.setdefault(key, {})[event["step"]] = number, _stepped(key, event)
    for key, steps in known.items():
        if not records[key].ended_well:
            _drop_after(records[key].checkpoint or 0, steps)
    return [
        step
        for _, step in sorted((entry for steps in known.values() for entry in steps.values()), key=_number)
    ]


def _drop_after(step: int, steps: dict[int, tuple[int, Stepped]]) -> None:
    for later in [number for number in steps if number > step]:
        del steps[later]


def _stepped(key: TrialKey, event: Mapping[str, Any]) -> Stepped:
    lower = bool(event.get("lower_is_better"))
    return Stepped(key, event["step"], event["metric"], event["checkpoint"], event["seconds"], lower)


def _number(entry: tuple[int, Stepped]) -> int:
    return entry[0]
