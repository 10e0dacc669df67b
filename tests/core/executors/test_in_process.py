from __future__ import annotations

import os
from pathlib import Path

import pytest

from flambe.executors.in_process import InProcess
from flambe.testing import Driver
from flambe.trials.protocol import Finished, Setting


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    executor = InProcess()
    executor.start(Setting(name="here", folder=str(tmp_path), seed=1), {"cpu": 1})
    return Driver(executor, tmp_path)


def test_trials_run_in_this_process(driver: Driver) -> None:
    key = driver.submit("where", "v", build="Interval")
    driver.run()
    assert driver.logged(key)["process"] == os.getpid()


def test_values_that_cannot_be_pickled_are_handed_over_all_the_same(driver: Driver) -> None:
    made = driver.submit("make", "v", build="Maker", exports=("make.lock", "make.items", "make.box"))
    driver.run()
    imports = {"make": driver.handle(made)}
    arguments = {"number": "@make.lock", "items": "@make.items", "box": "@make.box"}
    keys = [
        driver.submit("take", f"v{index}", build="Taker", arguments=arguments, imports=imports)
        for index in range(2)
    ]
    driver.run()
    assert all(isinstance(driver.ending(key), Finished) for key in keys)
    assert [driver.logged(key)["same"] for key in keys] == [1, 1]
    driver.executor.release(driver.handle(made))


def test_closing_leaves_no_descriptor_behind(driver: Driver) -> None:
    driver.submit("first", "v", build="Counter")
    driver.run()
    before = os.listdir("/proc/self/fd")
    driver.submit("make", "v", build="Maker", exports=("make.numbers",))
    driver.run()
    assert len(os.listdir("/proc/self/fd")) > len(before)
    driver.executor.close()
    assert os.listdir("/proc/self/fd") == before
