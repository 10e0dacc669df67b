"""Population-based training of a stage, on a real Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe import Experiment, Outcome
from flambe.check import check
from flambe.errors import RunError
from flambe.experiment.reading import read_run
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe_ray.session import Session

MODULES = Path(__file__).parent / "modules"
RATES = [8, 4, 2, 1]

Run = Callable[[str], Outcome]


@pytest.fixture
def run(ray_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a config's pipeline and other keys; the results lie under `tmp_path`."""
    monkeypatch.syspath_prepend(str(MODULES))

    def run(text: str) -> Outcome:
        whole = f"my: descending\n---\nname: test\nsave_path: {tmp_path}/out\n{text}"
        return Experiment.from_document(read_text(whole, "test.yaml")).run()

    yield run
    sys.modules.pop("descending", None)


def plain(rate: float, steps: int) -> float:
    """How far from 0 a descent ends whose rate stays the same."""
    distance = 101.3
    for _ in range(steps):
        distance = abs(distance - rate)
    return distance


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def check_changes(folder: Path) -> int:
    """Each trial that was changed goes on from its donor's state, with its new rate; returns how often."""
    found = 0
    noted = events(folder)
    for at, event in enumerate(noted):
        if event["event"] != "changed" or "donor" not in event:
            continue
        found += 1
        before = [e for e in noted[:at] if e["event"] == "step" and e["variant"] == event["donor"]]
        later = [e for e in noted[at:] if e["event"] == "step" and e["variant"] == event["variant"]]
        (donor,) = [e for e in before if e["step"] == event["step"]][-1:]
        assert event["origin"] == "schedulers.train"
        if later:
            assert later[0]["step"] == event["step"] + 1
            assert later[0]["metric"] == pytest.approx(abs(donor["metric"] - event["values"]["rate"]))
    return found


@pytest.mark.parametrize("synch", ["false", "true"])
def test_a_population_finds_what_no_rate_finds_alone(run: Run, synch: str) -> None:
    outcome = run(f"""
pipeline:
  train: !my.Descent {{rate: !g {RATES}, max_steps: 40, seconds: 0.02}}
schedulers:
  train: !tune.PopulationBasedTraining
    hyperparam_mutations: {{rate: [8, 4, 2, 1, 0.5, 0.25]}}
    synch: {synch}
reduce: {{train: 1}}
""")
    folder = Path(outcome.folder)
    assert outcome.exit_code == 0
    assert {record.step for record in outcome.records.values()} == {40}
    assert check_changes(folder) >= 2
    best = min(record.metric for record in outcome.records.values() if record.metric is not None)
    assert best < min(plain(rate, 40) for rate in RATES)
    for key, record in outcome.records.items():
        if record.changes:
            config = (folder / "train" / key.variant / "config.yaml").read_text()
            assert f"rate: {record.changes['rate']}\n" in config
            assert "goes on from step" in (folder / "train" / key.variant / "log.txt").read_text()
        steps = [
            json.loads(line)["trial_step"]
            for line in (folder / "train" / key.variant / "metrics.jsonl").read_text().splitlines()
        ]
        assert steps == sorted(set(steps)), "each step is there once"


@pytest.mark.slow
def test_values_are_drawn_from_distributions_and_stay_in_them(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Descent {rate: !g [7.9, 4.0, 2.0, 1.0], max_steps: 30, seconds: 0.01}
schedulers:
  train: !tune.PopulationBasedTraining
    hyperparam_mutations: {rate: !loguniform [0.5, 8.0]}
    perturbation_interval: 3
""")
    changed = [event for event in events(Path(outcome.folder)) if event["event"] == "changed"]
    rates = [event["values"]["rate"] for event in changed]
    assert check_changes(Path(outcome.folder)) == len(changed)
    assert changed
    assert all(0.5 <= rate <= 8.0 for rate in rates)


@pytest.mark.slow
def test_bandits_choose_the_values_of_pb2(run: Run) -> None:
    pytest.importorskip("sklearn")
    outcome = run("""
pipeline:
  train: !my.Descent {rate: !g [8.0, 4.0, 2.0, 1.0], max_steps: 24}
schedulers:
  train: !tune.PB2
    hyperparam_bounds: {rate: [0.25, 8.0]}
    perturbation_interval: 4
""")
    assert outcome.exit_code == 0
    assert check_changes(Path(outcome.folder)) >= 1


@pytest.mark.slow
def test_a_population_that_is_larger_than_the_devices_takes_turns(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Descent {rate: !g [8, 7, 6, 5, 4, 3, 2, 1], max_steps: 20}
schedulers:
  train: !tune.PopulationBasedTraining
    hyperparam_mutations: {rate: [8, 4, 2, 1, 0.5]}
    perturbation_interval: 5
""")
    assert outcome.exit_code == 0
    assert {record.step for record in outcome.records.values()} == {20}
    steps = [e for e in events(Path(outcome.folder)) if e["event"] == "step"]
    tenth = next(at for at, event in enumerate(steps) if event["step"] == 15)
    assert len({event["variant"] for event in steps[:tenth]}) == 8, "all have begun before one is far ahead"


def test_a_record_of_changes_is_gone_through_again(run: Run, tmp_path: Path) -> None:
    record = tmp_path / "policy.txt"
    lines = [["a", "b", 4, 4, {"rate": 8.0}, {"rate": 2.0}], ["c", "a", 9, 9, {"rate": 2.0}, {"rate": 0.5}]]
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = run(f"""
pipeline:
  train: !my.Descent {{rate: 1.0, max_steps: 12}}
schedulers:
  train: !tune.PopulationBasedTrainingReplay {{policy_file: {record}}}
""")
    changed = [event for event in events(Path(outcome.folder)) if event["event"] == "changed"]
    assert [(event["step"], event["values"]) for event in changed] == [
        (0, {"rate": 8.0}),
        (4, {"rate": 2.0}),
        (9, {"rate": 0.5}),
    ]
    (found,) = outcome.records.values()
    assert found.metric == pytest.approx(101.3 - 4 * 8 - 5 * 2 - 3 * 0.5)


@pytest.mark.slow
def test_tunes_own_record_is_kept_if_it_is_asked_for(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Descent {rate: !g [8, 1], max_steps: 12, seconds: 0.02}
schedulers:
  train: !tune.PopulationBasedTraining
    hyperparam_mutations: {rate: [8, 4, 2, 1]}
    perturbation_interval: 3
    log_config: true
""")
    changed = [event for event in events(Path(outcome.folder)) if event["event"] == "changed"]
    (record,) = Path(outcome.folder, "population/train").glob("pbt_global.txt")
    assert len(record.read_text().splitlines()) == len(changed)


def test_a_worker_that_dies_costs_no_change(run: Run, tmp_path: Path) -> None:
    outcome = run(f"""
pipeline:
  train: !my.Mortal {{rate: !g {RATES}, max_steps: 40, once: "{tmp_path}"}}
schedulers:
  train: !tune.PopulationBasedTraining {{hyperparam_mutations: {{rate: [8, 4, 2, 1, 0.5, 0.25]}}}}
""")
    assert outcome.exit_code == 0
    rate, taken, distance = json.loads((tmp_path / "died").read_text())
    noted = events(Path(outcome.folder))
    (retry,) = [at for at, event in enumerate(noted) if event["event"] == "retry"]
    of_the_trial = [e for e in noted[retry:] if e.get("variant") == noted[retry]["variant"]]
    first = next(e for e in of_the_trial if e["event"] in ("step", "changed"))
    if first["event"] == "changed":  # it was judged again before its first step
        return
    if first["step"] > taken:
        assert first["metric"] == pytest.approx(abs(distance - rate))
    found = first["metric"]
    for _ in range(taken - first["step"]):
        found = abs(found - rate)
    assert first["step"] > taken or found == pytest.approx(distance)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            "!tune.PopulationBasedTraining {hyperparam_mutations: {rat: [1, 2]}}",
            "schedulers.train.hyperparam_mutations: rat: my.Descent has no argument 'rat'; "
            "did you mean 'rate'?",
        ),
        (
            "!tune.PopulationBasedTraining {hyperparam_mutations: {rate: [1, high]}}",
            "schedulers.train.hyperparam_mutations.rate: Descent: 'rate' must be float, not 'high' (str)",
        ),
        (
            "!tune.PopulationBasedTraining {hyperparam_mutations: {rate: 3}}",
            "schedulers.train.hyperparam_mutations.rate: give a list of values, or a distribution "
            "such as !loguniform [1e-4, 1e-1]",
        ),
        (
            "!tune.PopulationBasedTraining",
            "schedulers.train: PopulationBasedTraining needs hyperparam_mutations",
        ),
        (
            "!tune.PB2 {hyperparam_bounds: {rate: [3, 2]}}",
            "schedulers.train.hyperparam_bounds.rate: give a range, the least and the greatest value, "
            "such as [0.0, 0.5]",
        ),
        (
            "!tune.PopulationBasedTrainingReplay {policy_file: /nowhere.txt}",
            "schedulers.train.policy_file: Policy file not found: /nowhere.txt",
        ),
        (
            "!tune.ResourceChangingScheduler",
            "schedulers.train: ResourceChangingScheduler gives running trials other devices; "
            "here 'devices' settles them before a trial begins",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(run: Run, scheduler: str, message: str) -> None:
    with pytest.raises(RunError) as caught:
        run(f"""
pipeline:
  train: !my.Descent {{rate: !g [1, 2], max_steps: 10}}
schedulers: {{train: {scheduler}}}
""")
    assert str(caught.value) == message


def test_a_scheduler_may_choose_from_options_inside_what_it_changes() -> None:
    text = """
name: a
pipeline: {b: !flambe.testing.stages:Tunable {rate: 1.0}}
schedulers:
  b: !tune.PopulationBasedTraining
    perturbation_interval: !g [1, 2]
    hyperparam_mutations: {rate: !uniform [0.1, 1.0]}
"""
    (problem,) = check(read_text(text, "x.yaml"), Registry.load())
    assert str(problem) == (
        "x.yaml:6:28  schedulers.b.perturbation_interval: "
        "options (such as !g or !uniform) can only be used in the pipeline"
    )


def test_a_stage_of_which_nothing_can_change_is_refused(run: Run) -> None:
    with pytest.raises(RunError) as caught:
        run("""
pipeline:
  train: !flambe.testing.stages:Counter {steps: !g [3, 4]}
schedulers: {train: !tune.PopulationBasedTraining {hyperparam_mutations: {steps: [3, 4]},
  perturbation_interval: 2}}
""")
    assert str(caught.value) == (
        "schedulers.train.hyperparam_mutations: Counter has no method change(path, value), "
        "so nothing of it can change once it runs"
    )


def test_a_stage_that_refuses_to_change_says_so_before_it_trains(run: Run) -> None:
    outcome = run("""
max_failures: 0
pipeline:
  train: !my.Descent {rate: !g [1, 2], max_steps: 10}
schedulers: {train: !tune.PopulationBasedTraining {hyperparam_mutations: {fixed: [3, 4]}}}
""")
    assert {(record.status, record.step) for record in outcome.records.values()} == {("failed", 0)}
    assert {record.error for record in outcome.records.values()} == {"Descent can change 'rate', not 'fixed'"}


CONFIG = """
my: descending
---
name: killed
save_path: {folder}
pipeline:
  train: !my.Descent {{rate: !g [8, 4, 2, 1], max_steps: 40, seconds: 0.02}}
schedulers:
  train: !tune.PopulationBasedTraining
    hyperparam_mutations: {{rate: [8, 4, 2, 1, 0.5, 0.25]}}
    synch: {synch}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("synch", "after"), [("false", 60), ("false", 130), ("true", 90)])
def test_a_killed_population_goes_on_with_its_values(tmp_path: Path, synch: str, after: int) -> None:
    config = tmp_path / "killed.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "out", synch=synch))
    environment = {**os.environ, "PYTHONPATH": str(MODULES), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "flambe", "run", str(config)]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    journal = tmp_path / "out/output__killed/journal.jsonl"
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_text().count('"event": "step"') < after:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    before = read_run(str(journal.parent)).records
    subprocess.run([*command, "--resume"], env=environment, check=True, capture_output=True, timeout=240)
    records = read_run(str(journal.parent)).records
    assert {record.step for record in records.values()} == {40}
    assert all(record.status == "done" for record in records.values())
    noted = events(journal.parent)
    for key, record in before.items():
        if record.changes and record.status != "done":
            later = [
                e for e in noted if e.get("variant") == key.variant and e["event"] in ("changed", "step")
            ]
            assert record.changes["rate"] in [e["values"]["rate"] for e in later if e["event"] == "changed"]
    best = min(record.metric for record in records.values() if record.metric is not None)
    assert best < min(plain(rate, 40) for rate in RATES)
