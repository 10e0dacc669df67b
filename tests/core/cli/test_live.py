"""Commands on a run that another process drives."""

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

from flambe.experiment.journal import decode

MODULES = Path(__file__).parents[1] / "experiment/modules"
RUN = "flambe-output/output__test"

LONE = """\
my: walking
---
name: test
pipeline:
  walk: !my.Pliant {steps: 2000, seconds: 0.02, stride: 1.0}
"""
MANY = """\
my: walking
---
name: test
devices: {cpu: 0.5}
pipeline:
  walk: !my.Pliant {steps: 2000, seconds: 0.02, stride: !g [1.0, 2.0]}
"""


class Driver:
    """A `flambe run` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, config: str, *arguments: str) -> "subprocess.Popen[str]":
        (self.folder / "test.yaml").write_text(config)
        paths = [str(MODULES), os.environ.get("PYTHONPATH", "")]
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "flambe", "run", "test.yaml", *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.processes[-1]

    def events(self, event: str) -> list[dict[str, Any]]:
        journal = self.folder / RUN / "journal.jsonl"
        found = decode(journal.read_bytes()) if journal.exists() else iter(())
        return [values for values in found if values["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while len(found := self.events(event)) < count:
            assert time.monotonic() < deadline, f"no {event}"
            assert self.processes[-1].poll() is None, self.processes[-1].communicate()
            time.sleep(0.02)
        return found[count - 1]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path)
    yield driver
    for process in driver.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("config", [LONE, MANY], ids=["in process", "pool"])
def test_trials_are_paused_changed_resumed_and_stopped_from_another_process(
    flambe: Callable[..., Any], driver: Driver, config: str
) -> None:
    process = driver.start(config)
    driver.wait_for("step", 3)
    trial = flambe("trials", RUN).out.splitlines()[2].split()[0]
    wanted = "walk" if config is LONE else trial

    paused = flambe("pause", RUN, wanted)
    assert paused.out.startswith(f"{wanted}: paused after step "), paused
    assert "paused by" in flambe("trials", RUN).out
    changed = flambe("set", RUN, wanted, "stride=7")
    assert changed.out == f"{wanted}: stride=7 when it goes on\n"
    assert flambe("resume", RUN, wanted).out.startswith(f"{wanted}: goes on from step ")
    driver.wait_for("resumed")
    again = flambe("set", RUN, wanted, "stride=8.5")
    assert again.out.startswith(f"{wanted}: stride=8.5 from step "), again

    refused = flambe("set", RUN, wanted, "stride=700")
    assert (refused.code, refused.err) == (1, "flambe: refused: stride cannot become 700\n")
    unknown = flambe("set", RUN, wanted, "strid=700")
    assert unknown.code == 1
    assert "did you mean 'stride'" in unknown.err

    listed = json.loads(flambe("trials", RUN, "--json").out)
    assert [t["changes"] for t in listed] == [{"stride": 8.5}, *[{}] * (len(listed) - 1)]
    for trial in [t["variant"] for t in listed]:
        assert " stopped after step " in flambe("stop", RUN, trial).out
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "changed: walk/" in out
    assert "stride=8.5" in flambe("show", RUN).out
    assert "stopped" in flambe("trials", RUN, "--stage", "walk").out


def test_a_driver_killed_before_it_answered_carries_the_request_out_when_resumed(
    flambe: Callable[..., Any], driver: Driver
) -> None:
    first = driver.start(LONE)
    driver.wait_for("step", 3)
    first.send_signal(signal.SIGSTOP)
    late = flambe("set", RUN, "walk", "stride=5", "--timeout", "0.3")
    assert late.code == 1
    assert late.err.startswith("flambe: the run has not answered within 0.3 s; ")
    first.kill()
    first.communicate()
    gone = flambe("stop", RUN, "walk")
    assert gone.code == 1
    assert "the run was killed; go on with: flambe run test.yaml --resume" in gone.err

    driver.start(LONE, "--resume")
    assert driver.wait_for("changed")["values"] == {"stride": 5}
    assert flambe("stop", RUN, "walk").code == 0
    _, err = driver.processes[-1].communicate(timeout=30)
    assert "walk/default: changed: stride=5" in err


def test_a_run_with_only_paused_trials_says_so_and_is_left_with_ctrl_c(
    flambe: Callable[..., Any], driver: Driver
) -> None:
    process = driver.start(LONE)
    driver.wait_for("step", 3)
    assert flambe("pause", RUN, "walk").code == 0
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "everything else is done; paused: walk/default; go on with `flambe resume`" in err
    assert "stopped; go on with: flambe run test.yaml --resume" in err
