"""What is lost with a machine: linked values are loaded again, and trials are not blamed for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flambe import Experiment
from flambe.executors.in_process import InProcess
from flambe.experiment.session import Outcome
from flambe.language.read import read_text
from flambe.trials.protocol import Event, Failed, HandlesLost, TrialTask

CONFIG = """\
my: walking
---
name: lost
save_path: {folder}
pipeline:
  walk: !my.Walk {{stride: !g [1.0, 2.0]}}
  report: !my.Report {{walk: !@ walk, place: !@ walk.place}}
max_failures: 0
"""

Loss = Callable[[TrialTask], Event | None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Loss], Outcome]:
    """Runs the config on an executor that loses what `loss` says of a submitted task."""

    def run(loss: Loss) -> Outcome:
        submit = InProcess.submit

        def losing(self: InProcess, task: TrialTask) -> None:
            event = loss(task)
            if event is None:
                submit(self, task)
            else:
                self._events.append(event)

        monkeypatch.setattr(InProcess, "submit", losing)
        config = CONFIG.format(folder=tmp_path)
        return Experiment.from_document(read_text(config)).run(backend="in-process")

    return run


def test_values_that_were_lost_are_loaded_again_from_the_finished_trial(
    run: Callable[[Loss], Outcome],
) -> None:
    submitted: list[tuple[str, str]] = []

    def loss(task: TrialTask) -> Event | None:
        submitted.append((task.key.stage, task.restore))
        first = submitted.count(("report", "fresh")) <= 2
        if task.key.stage == "report" and first:
            return HandlesLost(task.key, {"walk": task.imports["walk"]})
        return None

    outcome = run(loss)
    assert {record.status for record in outcome.records.values()} == {"done"}
    assert sorted(submitted) == [
        *[("report", "fresh")] * 4,
        *[("walk", "finished")] * 2,
        *[("walk", "fresh")] * 2,
    ]


def test_a_trial_that_loses_a_machine_is_tried_again_without_counting(
    run: Callable[[Loss], Outcome],
) -> None:
    lost = []

    def loss(task: TrialTask) -> Event | None:
        if task.key.stage == "walk" and task.key not in lost:
            lost.append(task.key)
            return Failed(task.key, "the machine was lost", "", lost=True, machine=True)
        return None

    outcome = run(loss)
    assert len(lost) == 2
    assert outcome.exit_code == 0


def test_a_trial_that_brings_every_machine_down_fails(run: Callable[[Loss], Outcome]) -> None:
    def loss(task: TrialTask) -> Event | None:
        if task.key.stage == "walk" and "2.0" in task.key.variant:
            return Failed(task.key, "the machine was lost", "", lost=True, machine=True)
        return None

    outcome = run(loss)
    failed = [record for record in outcome.failed if record.key.stage == "walk"]
    assert [record.error for record in failed] == ["the machine was lost"]
