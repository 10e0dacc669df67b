"""The part of the executors' contract about trials that end before their time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from flambe.testing.driver import Driver
from flambe.trials.protocol import Event, Failed, Finished, Left, Started, Stepped, TrialKey

LONG = {"steps": 1000, "seconds": 0.01}


class EndingContract:
    """How trials are stopped, sent away, killed and interrupted.

    Attributes:
        kills: Whether a running trial can be killed; not where it runs in the driver's own process.
    """

    kills = True

    # -- stopping -------------------------------------------------------------------------------------------

    def test_a_queued_trial_is_stopped_at_once(self, driver: Driver) -> None:
        keys = [driver.submit("count", f"v{index}", build="Counter") for index in range(3)]
        driver.executor.stop(keys[2])
        driver.run()
        assert driver.of(keys[2]) == [Finished(keys[2], 0, None, False, None, "stopped")]
        assert driver.ending(keys[0]) == Finished(keys[0], 3, 3.0, False, None, "done")

    def test_a_queued_trial_with_a_checkpoint_is_stopped_where_it_was(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments=LONG)
        driver.react = at_step(key, 2, lambda: driver.executor.leave(key))
        driver.run()
        left = driver.ending(key)
        assert isinstance(left, Left)
        assert left.step is not None

        driver.events.clear()
        busy = driver.submit("count", "busy", build="Counter", devices={"cpu": 2})
        driver.submit("count", "v", build="Counter", arguments=LONG, restore="checkpoint")
        driver.executor.stop(key)
        driver.run()
        assert driver.ending(busy) == Finished(busy, 3, 3.0, False, None, "done")
        assert driver.of(key, Stepped) == []
        assert driver.ending(key) == Finished(key, left.step, float(left.step), False, None, "stopped")

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

    # -- one trial leaves -----------------------------------------------------------------------------------

    def test_one_trial_leaves_with_a_checkpoint_and_the_others_go_on(self, driver: Driver) -> None:
        key = driver.submit("count", "leaving", build="Counter", arguments=LONG)
        other = driver.submit("count", "other", build="Counter", arguments={"steps": 30, "seconds": 0.01})
        driver.react = at_step(key, 2, lambda: driver.executor.leave(key))
        driver.run()
        assert driver.ending(other) == Finished(other, 30, 30.0, False, None, "done")
        left = driver.ending(key)
        assert isinstance(left, Left)
        assert left.step is not None
        assert 2 <= left.step < 1000

        driver.events.clear()
        arguments = {"steps": left.step + 2, "seconds": 0.0}
        driver.submit("count", "leaving", build="Counter", arguments=arguments, restore="checkpoint")
        driver.run()
        assert driver.of(key, Started) == [Started(key, left.step)]
        assert [event.step for event in driver.of(key, Stepped)] == [left.step + 1, left.step + 2]
        assert driver.ending(key) == Finished(key, left.step + 2, left.step + 2.0, False, None, "done")

    def test_a_trial_that_left_may_be_submitted_when_that_is_told(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments=LONG)

        def go_on(event: Event) -> None:
            if isinstance(event, Stepped) and event.step in (2, 6):
                driver.executor.leave(key)
            elif isinstance(event, Left):
                assert event.step is not None
                arguments = {**LONG, "steps": max(event.step + 2, 12)}
                driver.submit("count", "v", build="Counter", arguments=arguments, restore="checkpoint")

        driver.react = go_on
        driver.run()
        assert len(driver.of(key, Left)) == 2
        assert [event.step for event in driver.of(key, Started)] == [
            0,
            *(event.step for event in driver.of(key, Left)),
        ]
        steps = [event.step for event in driver.of(key, Stepped)]
        assert steps == list(range(1, len(steps) + 1)), "no step is done twice"
        assert isinstance(driver.of(key)[-1], Finished)

    def test_who_left_may_take_its_place_again_ahead_of_the_queue(self, driver: Driver) -> None:
        everything = {"cpu": 2.0}
        key = driver.submit("count", "first", build="Counter", arguments=LONG, devices=everything)
        for index in range(2):
            driver.submit("count", f"queued{index}", build="Counter", devices=everything)

        def come_back(event: Event) -> None:
            if isinstance(event, Stepped) and event.key == key and event.step == 2:
                driver.executor.leave(key)
            elif isinstance(event, Left):
                assert event.step is not None
                driver.submit(
                    "count",
                    "first",
                    build="Counter",
                    arguments={"steps": event.step + 1},
                    devices=everything,
                    restore="checkpoint",
                    ahead=True,
                )

        driver.react = come_back
        driver.run()
        endings = [event.key.variant for event in driver.events if isinstance(event, Finished)]
        assert endings == ["first", "queued0", "queued1"]

    def test_a_queued_trial_leaves_at_once(self, driver: Driver) -> None:
        busy = driver.submit("count", "busy", build="Counter", arguments=LONG, devices={"cpu": 2})
        queued = driver.submit("count", "queued", build="Counter")

        def leave_then_stop(event: Event) -> None:
            if isinstance(event, Stepped) and event.step == 2:
                driver.executor.leave(queued)
            elif isinstance(event, Left):
                driver.executor.stop(busy)

        driver.react = leave_then_stop
        driver.run()
        assert driver.of(queued) == [Left(queued, None)]
        ending = driver.ending(busy)
        assert isinstance(ending, Finished)
        assert ending.status == "stopped"

    def test_who_has_ended_or_is_unknown_does_not_leave(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter")
        driver.run()
        driver.executor.leave(key)
        driver.executor.leave(TrialKey("no", "such"))
        driver.events.clear()
        driver.submit("count", "v", build="Counter", arguments={"steps": 5})
        driver.run()
        assert driver.ending(key) == Finished(key, 5, 5.0, False, None, "done")

    # -- one trial is killed --------------------------------------------------------------------------------

    def test_a_trial_that_hangs_is_killed_and_its_place_goes_on(self, driver: Driver) -> None:
        if not self.kills:
            pytest.skip("trials run in the driver's process")
        key = driver.submit("hang", "v", build="Interval", arguments={"seconds": 600}, devices={"cpu": 2})
        later = driver.submit("count", "later", build="Counter", devices={"cpu": 2})
        driver.until(lambda: driver.of(key, Started))
        assert list(driver.executor.at_work()) == [key]
        driver.executor.kill(key, "it took too long")
        driver.run()
        assert driver.ending(key) == Failed(key, "it took too long", "it took too long", lost=True)
        assert driver.ending(later) == Finished(later, 3, 3.0, False, None, "done")

    def test_a_killed_trial_goes_on_from_its_checkpoint(self, driver: Driver) -> None:
        if not self.kills:
            pytest.skip("trials run in the driver's process")
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 1000, "seconds": 0.02})
        driver.react = at_step(key, 3, lambda: driver.executor.kill(key, "enough"))
        driver.run()
        ending = driver.ending(key)
        assert isinstance(ending, Failed)
        assert ending.lost
        stored = [event.step for event in driver.of(key, Stepped) if event.checkpoint]
        assert stored

        driver.events.clear()
        arguments = {"steps": 5, "seconds": 0.0}
        driver.submit("count", "v", build="Counter", arguments=arguments, restore="checkpoint")
        driver.run()
        (started,) = driver.of(key, Started)
        assert started.step >= stored[-1]

    def test_a_trial_that_cannot_be_killed_goes_on(self, driver: Driver) -> None:
        if self.kills:
            pytest.skip("running trials can be killed")
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 5})
        driver.react = at_step(key, 2, lambda: driver.executor.kill(key, "enough"))
        driver.run()
        assert driver.ending(key) == Finished(key, 5, 5.0, False, None, "done")

    def test_a_queued_trial_that_is_killed_fails_at_once(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 5})
        queued = driver.submit("count", "queued", build="Counter", devices={"cpu": 2})
        driver.executor.kill(queued, "enough")
        driver.executor.kill(TrialKey("no", "such"), "enough")
        driver.run()
        assert driver.of(queued) == [Failed(queued, "enough", "enough", lost=True)]
        assert driver.ending(key) == Finished(key, 5, 5.0, False, None, "done")
        driver.executor.kill(key, "too late")
        assert list(driver.executor.at_work()) == []
        driver.executor.wait(0.1, driver.deliver)

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


def at_step(key: TrialKey, step: int, act: Callable[[], None]) -> Callable[[Event], None]:
    """Acts when the trial has done its step number `step`."""

    def react(event: Event) -> None:
        if isinstance(event, Stepped) and event.key == key and event.step == step:
            act()

    return react
