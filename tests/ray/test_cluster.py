"""Runs on several machines, which come, go and die. Each is a Ray node of its own on this machine."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe.experiment.reading import read_run
from flambe.storage.storage import open_storage

sys.path.insert(0, str(Path(__file__).parent))
from clusters import Machines, Run, said, several_machines, texts

sys.path.pop(0)

SHARING = """
my: travelling
---
name: sharing
save_path: {folder}
devices: {{cpu: 0.5, gpu: 0.5}}
pipeline:
  share: !my.Sharer {{number: !g [1, 2], place: {folder}}}
"""

WALKING = """
my: travelling
---
name: walking
save_path: {folder}
max_failures: 0
pipeline:
  numbers: !my.Numbers {{count: 100000, value: !g [1, 2]}}
  walk: !my.Walk
    slope: !g [1, 2, 3]
    numbers: [1, 1]
    max_steps: {steps}
    pause_s: {pause_s}
    diary: {diary}
  sum: !my.Sum {{numbers: !@ numbers.array, factor: !@ walk.taken}}
reduce: {{walk: 1}}
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with several_machines() as made:
        yield made


def table(url: str) -> dict[str, Any]:
    """What a run has come to."""
    records = read_run(url).records
    return {f"{key.stage}/{key.variant}": (r.status, r.metric, r.step) for key, r in records.items()}


def machine_of(url: str, trial: str) -> str:
    """The machine on which a trial was last built."""
    return texts(open_storage(url).read(f"{trial}/metrics.jsonl").decode(), "machine")[-1]


def test_a_run_has_the_devices_of_all_machines_and_trials_share_a_gpu(
    machines: Machines, tmp_path: Path
) -> None:
    with_gpu, without = machines.add(num_cpus=1, num_gpus=1), machines.add(num_cpus=1)
    try:
        config = SHARING.format(folder=tmp_path)
        code, _, err = Run(config, tmp_path, "--ray-address", machines.address).end()
        assert code == 0, err
        assert all(line.startswith(("run folder", "share/")) for line in said(err)), err
        url = f"{tmp_path}/output__sharing"
        assert {metric for _, metric, _ in table(url).values()} == {1.0}
        gpus = {
            texts(open_storage(url).read(f"{trial}/metrics.jsonl").decode(), "gpu")[0] for trial in table(url)
        }
        assert gpus == {f"gpu 0 of {with_gpu.node_id}"}
        assert list((tmp_path / "home").rglob("*")) == []
    finally:
        machines.remove(with_gpu)
        machines.remove(without)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment in which `s3://` is a server on this machine, with the bucket `runs`."""
    server_of = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with pytest.MonkeyPatch.context() as patch:  # machines that are started from here have it too
        for name, value in environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("runs")
        yield environment
    server.stop()


@pytest.fixture(scope="module")
def far_machines(s3: dict[str, str]) -> Iterator[Machines]:
    with several_machines() as made:
        yield made


def walking(folder: Path, url: str, *, steps: int = 12, pause_s: float = 0.1) -> str:
    return WALKING.format(folder=url, steps=steps, pause_s=pause_s, diary=folder / "diary")


def steps_taken(folder: Path) -> int:
    diary = folder / "diary"
    return len(diary.read_text().splitlines()) if diary.exists() else 0


UNDISTURBED = {
    ("numbers", "done", None, 0),
    *(("walk", "done", 12.0 * slope, 12) for slope in (1, 2, 3)),
    ("sum", "done", 12e5, 0),
    ("sum", "done", 24e5, 0),
}
"""Of `WALKING` with 12 steps: stage, status, metric and steps of each trial."""


def results(url: str) -> set[Any]:
    return {(trial.partition("/")[0], *row) for trial, row in table(url).items()}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "remove"])
@pytest.mark.parametrize("after", [2, 10, 20])
def test_trials_of_a_machine_that_dies_go_on_elsewhere(
    far_machines: Machines, tmp_path: Path, end: str, after: int
) -> None:
    first, second = far_machines.add(num_cpus=2), far_machines.add(num_cpus=1)
    try:
        place = f"s3://runs/{uuid.uuid4().hex}"
        slowly = walking(tmp_path, place, pause_s=0.5)  # a killed machine's workers go on for a moment
        run = Run(slowly, tmp_path, "--ray-address", far_machines.address)
        run.until(lambda: steps_taken(tmp_path) >= after)
        getattr(far_machines, end)(first)
        code, out, err = run.end()
        assert code == 0, err
        assert results(f"{place}/output__walking") == UNDISTURBED
        assert all(line.startswith(("run folder", "numbers/", "walk/", "sum/")) for line in said(err)), err
        assert not any(line.startswith("!") for line in out.splitlines())
        taken_over = {line.split()[3] for line in (tmp_path / "diary").read_text().splitlines()[-3:]}
        assert taken_over == {second.node_id}
        assert list((tmp_path / "home").rglob("*")) == []
    finally:
        far_machines.remove(second)


@pytest.mark.slow
def test_values_that_were_on_a_dead_machine_are_loaded_again(far_machines: Machines, tmp_path: Path) -> None:
    first, second = far_machines.add(num_cpus=1), far_machines.add(num_cpus=1)
    alive = {first.node_id: first, second.node_id: second}
    try:
        place = f"s3://runs/{uuid.uuid4().hex}"
        config = walking(tmp_path, place).replace("value: !g [1, 2]", "value: !g [1, 2, 3, 4]")
        run = Run(config, tmp_path, "--ray-address", far_machines.address)
        run.until(lambda: steps_taken(tmp_path) >= 4)
        url = f"{place}/output__walking"
        made_on = {trial: machine_of(url, trial) for trial in table(url) if trial.startswith("numbers/")}
        held = [machine for machine in alive if machine in made_on.values()]
        far_machines.kill(alive.pop(held[0]))
        code, _, err = run.end()
        assert code == 0, err
        sums = {metric for trial, (_, metric, _) in table(url).items() if trial.startswith("sum/")}
        assert sums == {12e5, 24e5, 36e5, 48e5}
        log = open_storage(url).read("journal.jsonl").decode()
        assert '"event": "failed"' not in log
    finally:
        for machine in alive.values():
            far_machines.remove(machine)


@pytest.mark.slow
def test_a_machine_that_joins_gets_trials(far_machines: Machines, tmp_path: Path) -> None:
    first = far_machines.add(num_cpus=1)
    added = [first]
    try:
        place = f"s3://runs/{uuid.uuid4().hex}"
        run = Run(walking(tmp_path, place, pause_s=0.5), tmp_path, "--ray-address", far_machines.address)
        run.until(lambda: steps_taken(tmp_path) >= 2)
        added.append(far_machines.add(num_cpus=2))
        code, _, err = run.end()
        assert code == 0, err
        used = {line.split()[3] for line in (tmp_path / "diary").read_text().splitlines()}
        assert used == {machine.node_id for machine in added}
        assert results(f"{place}/output__walking") == UNDISTURBED
    finally:
        for machine in added:
            far_machines.remove(machine)


@pytest.mark.slow
def test_a_wait_for_the_first_machine_is_told_and_can_be_ended(
    far_machines: Machines, tmp_path: Path
) -> None:
    place = f"s3://runs/{uuid.uuid4().hex}"
    run = Run(walking(tmp_path, place), tmp_path, "--ray-address", far_machines.address)
    time.sleep(25)
    os.kill(run.pid, signal.SIGINT)
    code, _, err = run.end(timeout_s=20)
    assert code == 130
    assert "the run waits: the Ray cluster has no machine now that has room for its trials" in err


@pytest.mark.slow
def test_a_run_that_loses_its_only_machine_waits_for_another_and_says_so(
    far_machines: Machines, tmp_path: Path
) -> None:
    machine = far_machines.add(num_cpus=2)
    try:
        place = f"s3://runs/{uuid.uuid4().hex}"
        run = Run(walking(tmp_path, place), tmp_path, "--ray-address", far_machines.address)
        run.until(lambda: steps_taken(tmp_path) >= 4)
        far_machines.kill(machine)
        time.sleep(20)
        assert run.is_running()
        machine = far_machines.add(num_cpus=2)
        code, _, err = run.end()
        assert code == 0, err
        assert results(f"{place}/output__walking") == UNDISTURBED
        assert "the run waits: the Ray cluster has no machine now that has room for its trials" in err
        assert "the run goes on: " in err
    finally:
        far_machines.remove(machine)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to hide a folder")
def test_a_machine_that_does_not_see_the_save_path_is_refused_at_once(
    machines: Machines, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    start = f"{Path(sys.executable).parent}/ray start --address {machines.address} --num-cpus 1 --block"
    blind = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {hidden} && exec {start}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        machines.wait_for(2)
        config = walking(tmp_path, str(hidden))
        code, _, err = Run(config, tmp_path, "--ray-address", machines.address).end()
        assert code == 1
        assert re.search(
            r"flambe: machine \S+ \(\S+\) of the Ray cluster does not see \S+/hidden/output__walking, where "
            r"trials keep their results; give a save_path on a disk that all machines share, or a URL such "
            r"as s3://bucket/folder\n$",
            err,
        ), err
        assert list((hidden / "output__walking").rglob("*.jsonl")) == []
    finally:
        os.killpg(blind.pid, signal.SIGTERM)
        blind.wait(30)
