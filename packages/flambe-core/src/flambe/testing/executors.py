"""The contract of executors, as tests that every executor inherits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flambe.executors.protocol import Executor
from flambe.testing.driver import Driver
from flambe.testing.ending import EndingContract
from flambe.testing.handing import HandingContract
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Logged,
    Setting,
    Started,
    Stepped,
)


class ExecutorContract(EndingContract, HandingContract):
    """What every executor does. Inherit it, and give the fixture `executor`.

    Example:
        >>> import pytest
        >>> from flambe.executors.in_process import InProcess
        >>> class TestInProcess(ExecutorContract):
        ...     @pytest.fixture
        ...     def executor(self):
        ...         return InProcess()
    """

    @pytest.fixture
    def executor(self) -> Executor:
        """A new executor, not started."""
        raise NotImplementedError("give a fixture `executor`")

    @pytest.fixture
    def driver(self, executor: Executor, tmp_path: Path) -> Iterator[Driver]:
        """Drives the executor with `devices: {cpu: 2}`, and closes it at the end."""
        executor.start(Setting(name="contract", folder=str(tmp_path), seed=1), {"cpu": 2})
        yield Driver(executor, tmp_path)
        executor.close()

    # -- a trial --------------------------------------------------------------------------------------------

    def test_a_trial_runs_to_its_end(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 3})
        driver.run()
        assert driver.of(key, Started) == [Started(key, 0)]
        assert [(event.step, event.metric) for event in driver.of(key, Stepped)] == [
            (1, 1.0),
            (2, 2.0),
            (3, 3.0),
        ]
        assert driver.ending(key) == Finished(key, 3, 3.0, False, None, "done")

    def test_events_of_a_trial_come_in_order(self, driver: Driver) -> None:
        keys = [
            driver.submit("count", f"v{index}", build="Counter", arguments={"steps": 5}) for index in range(4)
        ]
        driver.run()
        for key in keys:
            events = [event for event in driver.of(key) if not isinstance(event, Logged)]
            assert [type(event) for event in events] == [Started, *[Stepped] * 5, Finished]
            assert [event.step for event in driver.of(key, Stepped)] == [1, 2, 3, 4, 5]
            assert [record.step for event in driver.of(key, Logged) for record in event.records] == [
                1,
                2,
                3,
                4,
                5,
            ]

    def test_many_trials_all_end(self, driver: Driver) -> None:
        keys = [
            driver.submit("count", f"v{index}", build="Counter", arguments={"steps": 1})
            for index in range(50)
        ]
        driver.run()
        assert all(isinstance(driver.ending(key), Finished) for key in keys)

    def test_prints_and_logging_become_lines_of_the_trial(self, driver: Driver) -> None:
        key = driver.submit("talk", "v", build="Talker")
        driver.run()
        assert {"said by print", "said by a thread", "said on stderr"} <= set(driver.lines(key))

    # -- failures -------------------------------------------------------------------------------------------

    def test_a_failing_trial_is_reported_and_the_others_go_on(self, driver: Driver) -> None:
        failing = driver.submit("fail", "v", build="Failing", arguments={"at": 2})
        others = [driver.submit("count", f"v{index}", build="Counter") for index in range(3)]
        driver.run()
        ending = driver.ending(failing)
        assert isinstance(ending, Failed)
        assert ending.error == "ArithmeticError: step 2 went wrong"
        assert 'raise ArithmeticError(f"step {self.at} went wrong")' in ending.traceback
        assert not ending.lost
        assert [event.step for event in driver.of(failing, Stepped)] == [1]
        assert all(isinstance(driver.ending(key), Finished) for key in others)

    def test_sys_exit_in_user_code_fails_only_its_trial(self, driver: Driver) -> None:
        leaving = driver.submit("fail", "v", build="Failing", arguments={"leave": True})
        other = driver.submit("count", "v", build="Counter")
        driver.run()
        ending = driver.ending(leaving)
        assert isinstance(ending, Failed)
        assert ending.error == "SystemExit: enough"
        assert isinstance(driver.ending(other), Finished)

    def test_a_stage_that_cannot_be_built_fails_its_trial(self, driver: Driver) -> None:
        key = driver.submit("none", "v", build="NoSuchStage")
        driver.run()
        ending = driver.ending(key)
        assert isinstance(ending, Failed)
        assert "NoSuchStage" in ending.error

    # -- devices --------------------------------------------------------------------------------------------

    def test_no_more_trials_run_than_devices_allow(self, driver: Driver) -> None:
        keys = [driver.submit("hold", f"v{index}", build="Interval") for index in range(6)]
        driver.run()
        spans = [(driver.logged(key)["began"], driver.logged(key)["ended"]) for key in keys]
        assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) <= 2

    def test_a_later_trial_does_not_take_what_an_earlier_one_waits_for(self, driver: Driver) -> None:
        driver.submit("hold", "first", build="Interval", arguments={"seconds": 0.3})
        big = driver.submit("hold", "big", build="Interval", devices={"cpu": 2})
        small = [driver.submit("hold", f"small{index}", build="Interval") for index in range(4)]
        driver.run()
        assert all(driver.logged(big)["ended"] <= driver.logged(key)["began"] for key in small)

    @pytest.mark.parametrize("devices", [{"cpu": 3.0}, {"cpu": 1.0, "tpu": 0.5}])
    def test_a_trial_that_asks_for_too_much_fails(self, driver: Driver, devices: dict[str, float]) -> None:
        key = driver.submit("count", "v", build="Counter", devices=devices)
        driver.run()
        wanted = {"cpu": "cpu: 3, and this run has cpu: 2", "tpu": "tpu: 0.5, and this run has tpu: 0"}
        ending = driver.ending(key)
        assert isinstance(ending, Failed)
        assert ending.error == f"the trial asks for {wanted[list(devices)[-1]]}"

    # -- waiting --------------------------------------------------------------------------------------------

    def test_wait_returns_at_once_when_there_is_nothing_to_wait_for(self, driver: Driver) -> None:
        began = time.monotonic()
        driver.executor.wait(None, driver.deliver)
        assert time.monotonic() - began < 1
        assert driver.events == []

    def test_events_are_delivered_in_the_thread_that_waits(self, driver: Driver) -> None:
        threads = set()
        driver.react = lambda event: threads.add(threading.get_ident())
        driver.submit("talk", "v", build="Talker")
        driver.run()
        assert threads == {threading.get_ident()}

    def test_events_are_delivered_while_the_trial_runs(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 1000, "seconds": 0.01})

        def stop_after_two(event: Event) -> None:
            if isinstance(event, Stepped) and event.step == 2:
                driver.executor.stop(key)

        driver.react = stop_after_two
        driver.run()
        ending = driver.ending(key)
        assert isinstance(ending, Finished)
        assert ending.status == "stopped"
        assert 2 <= ending.step < 1000

    def test_trials_can_be_submitted_while_events_are_delivered(self, driver: Driver) -> None:
        def follow(event: Event) -> None:
            if isinstance(event, Finished) and event.key.stage == "first":
                driver.submit("second", event.key.variant, build="Counter")

        driver.react = follow
        for index in range(3):
            driver.submit("first", f"v{index}", build="Counter", arguments={"steps": 1})
        driver.run()
        endings = [event for event in driver.events if isinstance(event, Finished)]
        assert sum(event.key.stage == "second" for event in endings) == 3

    def test_what_deliver_raises_comes_out_of_wait(self, driver: Driver) -> None:
        driver.submit("count", "v", build="Counter")

        def refuse(event: Event) -> None:
            raise OSError("the disk is full")

        driver.react = refuse
        with pytest.raises(OSError, match=r"^the disk is full$"):
            driver.run()
