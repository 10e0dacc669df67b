"""Actors that run one trial after the other, and that may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flambe.errors import RunError
from flambe.executors.protocol import Executor
from flambe.testing import Driver
from flambe.trials.protocol import Failed, Finished, Setting, Started, Stepped
from flambe_ray.executor import RayExecutor
from flambe_ray.session import Session
from flambe_ray.workers import WorkerLost, _fate

MODULES = Path(__file__).parent / "modules"


@pytest.fixture
def executor(ray_session: Session) -> Executor:
    return RayExecutor()


@pytest.fixture
def driver(executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.syspath_prepend(str(MODULES))
    executor.start(Setting(name="test", folder=str(tmp_path), seed=1), {"cpu": 1})
    yield Driver(executor, tmp_path)
    executor.close()
    sys.modules.pop("climbing", None)


def test_nothing_of_a_trial_is_left_for_the_next_in_its_process(driver: Driver) -> None:
    keys = [
        driver.submit("next", name, build="Neighbour", module="climbing", arguments={"name": name})
        for name in ("a", "b", "c")
    ]
    driver.run()
    found = [driver.logged(key) for key in keys]
    assert len({logged["process"] for logged in found}) == 1, "they share a process"
    assert [logged["alive"] for logged in found] == [1, 1, 1], "the one before is freed"
    assert len({logged["drawn"] for logged in found}) == 1, "each draws from its own seed"
    assert [driver.lines(key) for key in keys] == [["a was here"], ["b was here"], ["c was here"]]


def test_a_killed_worker_takes_only_its_trial_with_it(driver: Driver) -> None:
    killed = driver.submit("kill", "v", build="Killed", arguments={"at": 2})
    other = driver.submit("count", "v", build="Counter")
    driver.run()
    ending = driver.ending(killed)
    assert isinstance(ending, Failed)
    assert ending.lost
    assert ending.error == "the worker process died"
    assert isinstance(driver.ending(other), Finished)


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small", "large"])
def test_a_worker_that_dies_after_its_trial_takes_nothing_with_it(driver: Driver, size: int) -> None:
    made = driver.submit("make", "v", build="Maker", arguments={"size": size}, exports=("make.numbers",))
    driver.run()
    handle = driver.handle(made)
    assert isinstance(driver.executor, RayExecutor)
    (pid,) = driver.executor.pids()
    os.kill(pid, signal.SIGKILL)
    arguments = {"numbers": "@make.numbers"}
    taker = driver.submit("take", "v", build="Taker", arguments=arguments, imports={"make": handle})
    driver.run()
    assert driver.of(taker, Failed) == [], "it had not begun, so it is no failure of its own"
    assert driver.logged(taker)["sum"] == size * (size - 1) / 2


@pytest.mark.parametrize("idle", [True, False])
def test_a_worker_that_was_killed_for_its_memory_is_said_to_be(idle: bool) -> None:
    from ray.exceptions import OutOfMemoryError

    story = "Task was killed due to the node running low on memory."
    fate = _fate(OutOfMemoryError(story), idle=idle)
    assert fate == WorkerLost("the worker was killed for want of memory", story, unplaced=idle)


def test_a_trial_that_kills_each_worker_while_it_is_built_fails(driver: Driver) -> None:
    driver.submit("count", "v", build="Counter")
    driver.run()
    killed = driver.submit("kill", "v", build="Deadly", module="climbing")
    driver.run()
    ending = driver.ending(killed)
    assert isinstance(ending, Failed)
    assert ending.lost


def test_a_run_ends_when_ray_has_died(
    driver: Driver, ray_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.submit("count", "v", build="Counter", arguments={"steps": 200, "seconds": 0.05})
    assert ray_session.alive()
    driver.until(lambda: driver.events)
    monkeypatch.setattr("flambe_ray.session.Session.alive", lambda session: False)
    with pytest.raises(RunError, match=r"^Ray has died on this machine.* Go on with --resume"):
        driver.run()


@pytest.mark.slow
def test_a_machine_that_dies_is_noticed_at_once(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from flambe.errors import RunError\n"
        "from flambe.testing import Driver\n"
        "from flambe.trials.protocol import Setting, Stepped\n"
        "from flambe_ray.executor import RayExecutor\n"
        "executor, folder = RayExecutor(), Path(sys.argv[1])\n"
        "executor.start(Setting(name='a', folder=str(folder), seed=1), {'cpu': 1})\n"
        "import ray\n"
        "driver = Driver(executor, folder)\n"
        "key = driver.submit('count', 'v', build='Counter', arguments={'steps': 900, 'seconds': 0.05})\n"
        "driver.until(lambda: driver.of(key, Stepped))\n"
        "for info in ray._private.worker._global_node.all_processes['raylet']:\n"
        "    os.kill(info.process.pid, signal.SIGKILL)\n"
        "killed = time.monotonic()\n"
        "try:\n"
        "    driver.run()\n"
        "except RunError:\n"
        "    print('noticed', time.monotonic() - killed < 10)\n"
        "executor.close()\n"
        "print('logs', any((folder / 'ray-logs').iterdir()))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "noticed True\nlogs True\n", done.stderr


def test_a_killed_trial_goes_on_from_its_checkpoint(driver: Driver) -> None:
    arguments = {"steps": 40, "seconds": 0.03}
    key = driver.submit("count", "v", build="Counter", arguments=arguments)
    stored: list[int] = []

    def kill(event: object) -> None:
        if isinstance(event, Stepped) and event.checkpoint:
            stored.append(event.step)
        if isinstance(event, Stepped) and event.step == 10:
            assert isinstance(driver.executor, RayExecutor)
            (pid,) = driver.executor.pids()
            os.kill(pid, signal.SIGKILL)

    driver.react = kill
    driver.run()
    assert isinstance(driver.ending(key), Failed)
    driver.events.clear()
    driver.react = lambda event: None
    driver.submit("count", "v", build="Counter", arguments=arguments, restore="checkpoint")
    driver.run()
    (started,) = driver.of(key, Started)
    assert stored[-1] <= started.step <= 13, "what it had done and not told may be stored too"
    assert driver.ending(key) == Finished(key, 40, 40.0, False, None, "done")


def test_a_large_array_is_in_memory_once_however_many_take_it(driver: Driver) -> None:
    made = driver.submit(
        "make", "v", build="Maker", arguments={"size": 25_000_000}, exports=("make.numbers", "make.size")
    )
    driver.run()
    handle = driver.handle(made)
    plain = driver.submit(
        "take", "plain", build="Taker", arguments={"number": "@make.size"}, imports={"make": handle}
    )
    arguments = {"numbers": "@make.numbers"}
    takers = [
        driver.submit("take", f"v{i}", build="Taker", arguments=arguments, imports={"make": handle})
        for i in range(3)
    ]
    driver.run()
    assert isinstance(driver.ending(plain), Finished)
    own = [driver.logged(key)["own_bytes"] for key in takers]
    assert max(own) - min(own) < 50_000_000, "200 MB are mapped, not copied"
    assert [driver.logged(key)["writable"] for key in takers] == [0, 0, 0]
    assert max(own) < 400_000_000
