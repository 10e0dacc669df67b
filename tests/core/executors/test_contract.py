from __future__ import annotations

from collections.abc import Mapping

import pytest

from flambe.executors.in_process import InProcess
from flambe.executors.launch import Incubator, Spawner
from flambe.executors.local import Local
from flambe.executors.pool import Pool
from flambe.executors.protocol import Executor
from flambe.executors.workshop import Prepare, equip
from flambe.testing import ExecutorContract
from flambe.trials.protocol import Setting


class TestInProcess(ExecutorContract):
    kills = False

    @pytest.fixture
    def executor(self) -> Executor:
        return InProcess()


class TestPool(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return Pool()


class TestLocalForMany(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return Local()


class LoneTrial(Local):
    def start(self, setting: Setting, devices: Mapping[str, float], *, at_once: int | None = None) -> None:
        super().start(setting, devices, at_once=1)


class TestLocalForALoneTrial(ExecutorContract):
    kills = False

    @pytest.fixture
    def executor(self) -> Executor:
        return LoneTrial()


@pytest.mark.slow
class TestPoolFromAFreshZygote(ExecutorContract):
    @pytest.fixture
    def executor(self, monkeypatch: pytest.MonkeyPatch) -> Executor:
        monkeypatch.setattr("flambe.executors.pool.launcher", lambda s, e: Incubator.fresh(Prepare(s, e)))
        return Pool(equip)


@pytest.mark.slow
class TestPoolOfSpawnedWorkers(ExecutorContract):
    @pytest.fixture
    def executor(self, monkeypatch: pytest.MonkeyPatch) -> Executor:
        monkeypatch.setattr("flambe.executors.pool.launcher", lambda s, e: Spawner(Prepare(s, e)))
        return Pool(equip)
