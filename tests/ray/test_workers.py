"""Actors that run one trial after the other, and that may die."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flambe.executors.protocol import Executor
from flambe.testing import Driver
from flambe.trials.protocol import Failed, Finished, Setting, Started, Stepped
from flambe_ray.executor import RayExecutor
from flambe_ray.session import Session

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
