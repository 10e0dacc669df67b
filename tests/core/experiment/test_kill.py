"""`kill -9` of the driver or a worker at any instant, then `--resume`: the table of a run never killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "modules"

CONFIG = """\
my: walking
---
name: test
seed: 5
max_failures: 100
pipeline:
  base: 12
  walk: !my.Walk
    stride: !g [0.5, 1.0, 1.5, 2.0]
    steps: !@ base
    seconds: 0.01
  report: !my.Report
    walk: !@ walk
    place: !@ walk.place
  again: !my.Walk
    stride: !@ report.place
    steps: 6
    seconds: 0.01
reduce:
  walk: 2
"""


Results = dict[str, list[tuple[object, ...]]]


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    paths = [str(MODULES), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "flambe", "run", "test.yaml", "--resume", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path) -> None:
    process = start(folder)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def results(folder: Path) -> Results:
    """What a person sees of a finished run: the table, and every logged value."""
    run = folder / "flambe-output/output__test"
    found = {}
    for file in sorted(run.glob("*/*/trial.json")):
        trial = json.loads(file.read_text())
        metrics = file.with_name("metrics.jsonl")
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        logged = [json.loads(line) for line in lines]
        found[f"{trial['stage']}/{trial['variant']}"] = [
            (trial["status"], trial["metric"], trial["steps"]),
            *((line["name"], line["step"], line["value"]) for line in logged),
        ]
    return found


def children_of(pid: int) -> list[int]:
    """All descendants, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        born = parents.get(todo.pop(), [])
        found += born
        todo += born
    return found


def gone(pids: list[int], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and _alive(pid)]:
            return True
        time.sleep(0.02)
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Results, float]:
    """The results of a run that nobody killed, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "test.yaml").write_text(CONFIG)
    began = time.monotonic()
    finish(folder)
    return results(folder), time.monotonic() - began


def kill_driver_at(instants: list[float], folder: Path) -> None:
    (folder / "test.yaml").write_text(CONFIG)
    for instant in instants:
        process = start(folder)
        try:
            process.wait(timeout=instant)
        except subprocess.TimeoutExpired:
            family = children_of(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert gone(family), "workers outlived their driver"
        process.communicate()
    finish(folder)


def kill_workers_at(instants: list[float], folder: Path) -> None:
    (folder / "test.yaml").write_text(CONFIG)
    process = start(folder)
    rng = random.Random(len(instants))
    for instant in instants:
        time.sleep(instant)
        family = children_of(process.pid)
        if process.poll() is None and family:
            try:
                os.kill(rng.choice(family), signal.SIGKILL)
            except ProcessLookupError:
                continue
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_driver_resumes_to_the_same_results(undisturbed, tmp_path: Path, seed: int) -> None:
    expected, seconds = undisturbed
    rng = random.Random(seed)
    kill_driver_at([rng.uniform(0.2, seconds) for _ in range(3)], tmp_path)
    assert results(tmp_path) == expected


def test_killed_workers_change_nothing(undisturbed, tmp_path: Path) -> None:
    expected, _ = undisturbed
    kill_workers_at([0.6, 0.1, 0.1, 0.2], tmp_path)
    assert results(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_a_driver_killed_at_many_instants_resumes_to_the_same_results(
    undisturbed, tmp_path: Path, seed: int
) -> None:
    expected, seconds = undisturbed
    rng = random.Random(seed)
    kill_driver_at([rng.uniform(0.1, seconds * 1.1) for _ in range(5)], tmp_path)
    assert results(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 220))
def test_workers_killed_at_many_instants_change_nothing(undisturbed, tmp_path: Path, seed: int) -> None:
    expected, _ = undisturbed
    rng = random.Random(seed)
    kill_workers_at([0.4, *(rng.uniform(0.0, 0.2) for _ in range(8))], tmp_path)
    assert results(tmp_path) == expected
