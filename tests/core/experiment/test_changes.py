"""Values of a running trial that an executor's scheduler has changed: records, files, history."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flambe.executors.in_process import InProcess
from flambe.executors.protocol import Deliver
from flambe.experiment.history import steps_of
from flambe.experiment.journal import decode, records
from flambe.trials.protocol import Changed, Event, Stepped

WALK = "pipeline: {walk: !my.Walk {steps: 4}}"


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch):
    """Has the executor change every trial after its second step."""

    def change(values: Mapping[str, Any], donor: str | None = None, step: int = 2) -> None:
        wait = InProcess.wait

        def changing(self: InProcess, timeout_s: float | None, deliver: Deliver) -> None:
            def deliver_more(event: Event) -> None:
                deliver(event)
                if isinstance(event, Stepped) and event.step == 2:
                    deliver(Changed(event.key, step, values, "schedulers.walk", donor))

            wait(self, timeout_s, deliver_more)

        monkeypatch.setattr(InProcess, "wait", changing)

    return change


def journal(folder: Path) -> list[dict[str, Any]]:
    return list(decode((folder / "out/output__test/journal.jsonl").read_bytes()))


def test_what_a_scheduler_changes_is_kept_in_the_record_and_its_files(run, change, tmp_path: Path) -> None:
    change({"stride": 0.5})
    [record] = run(WALK).records.values()
    assert record.changes == {"stride": 0.5}
    trial = json.loads((tmp_path / "out/output__test/walk/default/trial.json").read_text())
    assert trial["changes"] == {"stride": 0.5}
    [event] = [event for event in journal(tmp_path) if event["event"] == "changed"]
    assert {name: event[name] for name in ("step", "values", "origin")} == {
        "step": 2,
        "values": {"stride": 0.5},
        "origin": "schedulers.walk",
    }
    [known] = records(journal(tmp_path)).values()
    assert known.changes == {"stride": 0.5}


def test_steps_before_a_donors_checkpoint_are_all_that_is_left_of_a_trials_history(
    run, change, tmp_path: Path
) -> None:
    change({"stride": 0.5}, donor="stride=2.0", step=1)
    run(WALK)
    events = [event for event in journal(tmp_path) if event.get("step", 0) <= 2 or "variant" not in event]
    kept = [event for event in events if event["event"] != "finished"]
    found = records(kept)
    [record] = found.values()
    assert (record.step, record.checkpoint) == (1, 1)
    assert [step.step for step in steps_of(kept, found)] == [1]
