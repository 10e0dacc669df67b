"""The contract of executors, as tests that every executor inherits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from flambe.executors.protocol import Executor
from flambe.language import nodes
from flambe.language.links import parse_link
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Handle,
    Left,
    Logged,
    Setting,
    Started,
    Stepped,
    TrialKey,
    TrialTask,
)

Ending = Finished | Left | Failed


class Driver:
    """Drives an executor as the engine does, and keeps what it reports.

    Args:
        executor: Started.
        folder: Where trials keep their files.
    """

    def __init__(self, executor: Executor, folder: Path) -> None:
        self.executor = executor
        self.events: list[Event] = []
        self.react: Callable[[Event], None] = lambda event: None
        self._folder = folder
        self._open: set[TrialKey] = set()

    def submit(
        self,
        stage: str,
        variant: str,
        *,
        build: str,
        module: str = "flambe.testing.stages",
        arguments: Mapping[str, Any] | None = None,
        devices: Mapping[str, float] | None = None,
        exports: tuple[str, ...] = (),
        imports: Mapping[str, Handle] | None = None,
        restore: Literal["fresh", "checkpoint", "finished"] = "fresh",
    ) -> TrialKey:
        """Queue a trial of the class `build` of `module`; an argument that starts with `@` is a link."""
        key = TrialKey(stage, variant)
        entries = (nodes.Entry(name, _node(value)) for name, value in (arguments or {}).items())
        self._open.add(key)
        self.executor.submit(
            TrialTask(
                key=key,
                node=nodes.Build(f"{module}:{build}", nodes.Mapping(tuple(entries))),
                exports=tuple(parse_link(path) for path in exports),
                imports=imports or {},
                seed=1,
                devices=devices or {"cpu": 1},
                threads=1,
                folder=str(self._folder / stage / variant),
                fingerprint="0",
                upstream=dict.fromkeys(imports or {}, "v"),
                restore=restore,
            )
        )
        return key

    def deliver(self, event: Event) -> None:
        """Takes an event from the executor."""
        self.events.append(event)
        if isinstance(event, Finished | Left | Failed):
            self._open.remove(event.key)
        self.react(event)

    def run(self, timeout_s: float = 60) -> None:
        """Wait until every submitted trial has ended."""
        deadline = time.monotonic() + timeout_s
        while self._open:
            assert time.monotonic() < deadline, f"{self._open} did not end; so far: {self.events}"
            self.executor.wait(1.0, self.deliver)

    def of(self, key: TrialKey, kind: type[Any] = object) -> list[Any]:
        """The events of a trial, in order."""
        return [event for event in self.events if event.key == key and isinstance(event, kind)]

    def ending(self, key: TrialKey) -> Ending:
        """How a trial ended."""
        (found,) = self.of(key, Finished) + self.of(key, Left) + self.of(key, Failed)
        ending: Ending = found
        return ending

    def handle(self, key: TrialKey) -> Handle:
        """The handle of a trial that has finished."""
        ending = self.ending(key)
        assert isinstance(ending, Finished), ending
        return ending.handle

    def logged(self, key: TrialKey) -> dict[str, Any]:
        """The last value that a trial logged under each name."""
        return {record.name: record.value for event in self.of(key, Logged) for record in event.records}

    def lines(self, key: TrialKey) -> list[str]:
        """The lines for a trial's log file."""
        return [line for event in self.of(key, Logged) for line in event.lines]


def _node(value: Any) -> nodes.Node:
    if isinstance(value, str) and value.startswith("@"):
        return nodes.Link(parse_link(value[1:]))
    return nodes.Scalar(value)


class ExecutorContract:
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

    # -- stopping and interrupting --------------------------------------------------------------------------

    def test_a_queued_trial_is_stopped_at_once(self, driver: Driver) -> None:
        keys = [driver.submit("count", f"v{index}", build="Counter") for index in range(3)]
        driver.executor.stop(keys[2])
        driver.run()
        assert driver.of(keys[2]) == [Finished(keys[2], 0, None, False, None, "stopped")]
        assert driver.ending(keys[0]) == Finished(keys[0], 3, 3.0, False, None, "done")

    def test_stopping_what_does_not_run_is_ignored(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter")
        driver.run()
        driver.executor.stop(key)
        driver.executor.stop(TrialKey("no", "such"))
        again = driver.submit("count", "w", build="Counter")
        driver.run()
        assert driver.ending(again) == Finished(again, 3, 3.0, False, None, "done")

    def test_an_interrupted_trial_leaves_and_goes_on_from_its_checkpoint(self, driver: Driver) -> None:
        arguments = {"steps": 200, "seconds": 0.01}
        running = driver.submit("count", "running", build="Counter", arguments=arguments, devices={"cpu": 2})
        queued = driver.submit("count", "queued", build="Counter", arguments=arguments)

        def interrupt(event: Event) -> None:
            if isinstance(event, Stepped) and event.step == 3:
                driver.executor.interrupt()

        driver.react = interrupt
        driver.run()
        assert driver.of(queued) == [Left(queued, None)]
        left = driver.ending(running)
        assert isinstance(left, Left)
        assert left.step is not None
        assert 3 <= left.step < 200

        driver.events.clear()
        arguments = {"steps": left.step + 2, "seconds": 0.0}
        driver.submit("count", "running", build="Counter", arguments=arguments, restore="checkpoint")
        driver.run()
        assert driver.of(running, Started) == [Started(running, left.step)]
        assert driver.ending(running) == Finished(
            running, left.step + 2, left.step + 2.0, False, None, "done"
        )

    # -- linked values --------------------------------------------------------------------------------------

    def test_linked_values_reach_later_trials(self, driver: Driver) -> None:
        links = ("make.size", "make.numbers", "make.items", "make.box")
        made = driver.submit("make", "v", build="Maker", exports=links)
        driver.run()
        arguments = {
            "number": "@make.size",
            "numbers": "@make.numbers",
            "items": "@make.items",
            "box": "@make.box",
        }
        takers = [
            driver.submit(
                "take", f"v{index}", build="Taker", arguments=arguments, imports={"make": driver.handle(made)}
            )
            for index in range(3)
        ]
        driver.run()
        for key in takers:
            found = driver.logged(key)
            assert isinstance(driver.ending(key), Finished), driver.ending(key)
            assert found["number"] == 100_000
            assert found["sum"] == sum(range(100_000))
            assert found["writable"] == 0, "large arrays are shared, and come out read-only"
            assert found["length"] == 3, "what another trial appended is not seen"
            assert found["same"] == 1, "what was one object is one object"
        driver.executor.release(driver.handle(made))

    def test_values_can_be_handed_on_and_on(self, driver: Driver) -> None:
        handle = None
        for index in range(4):
            stage, before = f"stage{index}", f"stage{index - 1}"
            key = driver.submit(
                stage,
                "v",
                build="Taker" if index else "Maker",
                arguments={"numbers": f"@{before}.numbers"} if index else {},
                imports={before: handle} if index else {},
                exports=(f"{stage}.numbers",),
            )
            driver.run()
            if handle is not None:
                driver.executor.release(handle)
            handle = driver.handle(key)
        assert driver.logged(key)["sum"] == sum(range(100_000))

    def test_a_finished_trial_is_loaded_for_its_values_alone(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 4})
        driver.run()
        driver.events.clear()
        driver.submit(
            "count",
            "v",
            build="Counter",
            arguments={"steps": 4},
            exports=("count.count",),
            restore="finished",
        )
        driver.run()
        assert driver.of(key, Stepped) == []
        taker = driver.submit(
            "take",
            "v",
            build="Taker",
            arguments={"number": "@count.count"},
            imports={"count": driver.handle(key)},
        )
        driver.run()
        assert driver.logged(taker)["number"] == 4

    # -- closing --------------------------------------------------------------------------------------------

    def test_closing_stops_everything_at_once(self, driver: Driver) -> None:
        for index in range(4):
            driver.submit("hold", f"v{index}", build="Counter", arguments={"steps": 1, "seconds": 60})
        began = time.monotonic()
        driver.executor.close()
        driver.executor.close()
        assert time.monotonic() - began < 5

    def test_closing_while_trials_run_is_quick(self, driver: Driver) -> None:
        """A second thread closes nothing: an executor that blocks in `wait` is left by an exception."""
        driver.submit("count", "v", build="Counter", arguments={"steps": 1000, "seconds": 0.01})

        def leave(event: Event) -> None:
            if isinstance(event, Stepped):
                raise KeyboardInterrupt

        driver.react = leave
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            driver.run()
        driver.executor.close()
        assert time.monotonic() - began < 5
