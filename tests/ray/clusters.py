"""Clusters of several machines on this one, for tests: each machine is a Ray node of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODULES = Path(__file__).parent / "modules"

SMALL = {"object_store_memory": 150 << 20}
QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}


class Machines:
    """A head that only directs, and machines that run trials."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE, **SMALL}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self._cluster.address)

    def add(self, **devices: Any) -> Any:
        return self._cluster.add_node(**SMALL, **devices)

    def remove(self, machine: Any) -> None:
        """Shut it down in good order."""
        self._cluster.remove_node(machine, allow_graceful=True)

    def kill(self, machine: Any) -> None:
        """Kill the process that makes it a machine; its workers go with it."""
        os.kill(machine.all_processes["raylet"][0].process.pid, signal.SIGKILL)

    def wait_for(self, count: int, timeout_s: float = 60) -> None:
        """Wait until there are this many, the head included."""
        deadline = time.monotonic() + timeout_s
        while sum(bool(node["Alive"]) for node in self._cluster.global_state.node_table()) < count:
            assert time.monotonic() < deadline, "a machine has not come"
            time.sleep(0.2)

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def several_machines() -> Iterator[Machines]:
    machines = Machines()
    try:
        yield machines
    finally:
        machines.close()


class Run:
    """`flambe run` in a process of its own."""

    def __init__(self, config: str, folder: Path, *options: str, **environment: str) -> None:
        file = folder / "config.yaml"
        file.write_text(config)
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        given = {"HOME": str(self.home), "PYTHONPATH": str(MODULES), "OMP_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-m", "flambe", "run", str(file), *options]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **given},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def until(self, happened: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait while it runs."""
        deadline = time.monotonic() + timeout_s
        while not happened():
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < deadline, "it has not happened in time"
            time.sleep(0.05)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def end(self, timeout_s: float = 120) -> tuple[int, str, str]:
        """Wait for its end: exit code, standard output and error."""
        try:
            out, err = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        return self._process.returncode, out, err


def said(err: str) -> list[str]:
    """The lines of the terminal without their times; what does not begin with a time is left whole."""
    lines = err.splitlines()
    return [line[10:] if line[2:3] == ":" and line[8:10] == "  " else f"!{line}" for line in lines]


def texts(metrics: str, name: str) -> Sequence[str]:
    """What a trial has logged under this name, from the text of its `metrics.jsonl`."""
    records = [json.loads(line) for line in metrics.splitlines()]
    return [record["value"] for record in records if record["name"] == name]
