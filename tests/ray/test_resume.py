"""A run that is interrupted or killed, with schedulers, and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flambe import Experiment
from flambe.experiment.reading import read_run
from flambe.language.read import read_text
from flambe.trials.protocol import Recollection, Stepped, TrialKey
from flambe_ray.scheduling import StageScheduler
from flambe_ray.session import Session

MODULES = Path(__file__).parent / "modules"

CONFIG = """
my: climbing
---
name: killed
save_path: {folder}
pipeline:
  train: !my.Slow
    slope: !g [3, 1, 2, 9, 4, 8, 5, 7, 6]
    max_steps: 27
schedulers: {{train: !tune.HyperBandScheduler}}
reduce: {{train: 1}}
"""

UNDISTURBED = {
    **dict.fromkeys(range(1, 7), ("pruned", 3)),
    7: ("pruned", 9),
    8: ("pruned", 9),
    9: ("done", 27),
}


def keys(count: int) -> list[TrialKey]:
    return [TrialKey("train", f"v{slope}") for slope in range(1, count + 1)]


def hyperband() -> StageScheduler:
    from flambe_ray.hyperband import SizedHyperBand

    return StageScheduler(SizedHyperBand(max_t=9, metric="score", mode="max"))


def steps(slope: int, *numbers: int) -> list[Stepped]:
    return [Stepped(TrialKey("train", f"v{slope}"), n, float(slope * n), True, 0.0) for n in numbers]


def test_a_scheduler_remembers_who_waits() -> None:
    scheduler = hyperband()
    scheduler.replay(Recollection("train", [*steps(1, 1, 2, 3), *steps(2, 1, 2)], {}, siblings=3))
    assert scheduler.submitted(TrialKey("train", "v1"), 3) == "pause"
    assert scheduler.submitted(TrialKey("train", "v2"), 3) == "go"
    assert scheduler.submitted(TrialKey("train", "v3"), 3) == "go"


def test_a_scheduler_remembers_whom_it_had_decided_against() -> None:
    scheduler = hyperband()
    past = [*steps(1, 1, 2, 3), *steps(2, 1, 2, 3), *steps(3, 1, 2, 3, 4, 5)]
    scheduler.replay(Recollection("train", past, {TrialKey("train", "v1"): "pruned"}, siblings=3))
    assert scheduler.submitted(TrialKey("train", "v2"), 3) == "prune"
    assert scheduler.submitted(TrialKey("train", "v3"), 3) == "go"


def test_trials_that_had_ended_still_count_in_the_next_decision() -> None:
    scheduler = hyperband()
    past = [*steps(1, 1, 2, 3), *steps(3, 1, 2, 3), *steps(2, 1, 2)]
    scheduler.replay(Recollection("train", past, {}, siblings=3))
    for key in keys(3):
        scheduler.submitted(key, 3)
    scheduler.running(TrialKey("train", "v2"))
    (last,) = steps(2, 3)
    assert scheduler.judge(last, {}) == "prune"
    assert scheduler.pruned == [TrialKey("train", "v1")]
    assert scheduler.next_to_resume() == TrialKey("train", "v3")


@pytest.mark.slow
@pytest.mark.parametrize("after", [4, 20, 45, 60])
def test_a_killed_run_resumes_to_the_table_of_an_undisturbed_one(tmp_path: Path, after: int) -> None:
    config = tmp_path / "killed.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "out"))
    environment = {**os.environ, "PYTHONPATH": str(MODULES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "flambe", "run", str(config)]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    journal = tmp_path / "out/output__killed/journal.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_text().count('"event": "step"') < after:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    subprocess.run([*command, "--resume"], env=environment, check=True, capture_output=True, timeout=120)
    records = read_run(str(journal.parent)).records
    found = {int(key.variant[6]): (record.status, record.step) for key, record in records.items()}
    assert found == UNDISTURBED


@pytest.mark.slow
def test_a_run_that_ctrl_c_stops_says_so_and_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "killed.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "out"))
    environment = {**os.environ, "PYTHONPATH": str(MODULES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "flambe", "run", str(config)]
    run = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    journal = tmp_path / "out/output__killed/journal.jsonl"
    deadline = time.monotonic() + 90
    while not journal.exists() or journal.read_text().count('"event": "step"') < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told.decode()
    assert b"--resume" in told
    left = read_run(str(journal.parent)).records
    assert "running" not in {record.status for record in left.values()}
    subprocess.run([*command, "--resume"], env=environment, check=True, capture_output=True, timeout=120)
    records = read_run(str(journal.parent)).records
    found = {int(key.variant[6]): (record.status, record.step) for key, record in records.items()}
    assert found == UNDISTURBED


def test_a_run_whose_workers_are_killed_ends_as_an_undisturbed_one(
    ray_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(MODULES))
    text = CONFIG.format(folder=tmp_path / "out").replace(
        "max_steps: 27", f"max_steps: 27\n    once: {tmp_path}"
    )
    outcome = Experiment.from_document(read_text(text.replace("my.Slow", "my.Mortal"), "test.yaml")).run()
    sys.modules.pop("climbing", None)
    assert outcome.exit_code == 0
    assert len(list(tmp_path.glob("died-*"))) == 3
    found = {int(key.variant[6]): (record.status, record.step) for key, record in outcome.records.items()}
    assert found == UNDISTURBED
