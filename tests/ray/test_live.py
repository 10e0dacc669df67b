"""Runs on Ray that are steered while they go on, schedulers and searches at work."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe import Experiment, Outcome
from flambe.experiment.control.asking import ask, ask_for_more
from flambe.experiment.control.requests import Answer
from flambe.experiment.journal import TrialRecord, decode
from flambe.language.read import read_text
from flambe_ray.session import Session

MODULES = Path(__file__).parent / "modules"


class Going:
    """A run that is going, seen from outside."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def ask(self, action: Any, trial: str, **values: Any) -> Answer:
        return ask(self.folder, action, trial, timeout_s=30, **values)

    def wait_for(self, event: str, variant: str = "", count: int = 1) -> None:
        deadline = time.monotonic() + 60
        while True:
            found = decode(Path(self.folder, "journal.jsonl").read_bytes())
            if sum(e["event"] == event and e.get("variant", "").startswith(variant) for e in found) >= count:
                return
            assert time.monotonic() < deadline, f"no {event} of {variant}"
            time.sleep(0.02)


@pytest.fixture
def live(
    ray_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Outcome]]:
    """Runs a config on Ray, and meanwhile a talk with the run, in a thread of its own."""
    monkeypatch.syspath_prepend(str(MODULES))

    def live(text: str, talk: Callable[[Going], None]) -> Outcome:
        threads: list[threading.Thread] = []
        broken: list[BaseException] = []

        def safely(folder: str) -> None:
            try:
                talk(Going(folder))
            except BaseException as error:  # noqa: BLE001  # raised again where the test sees it
                broken.append(error)

        def started(folder: str, stages: object) -> None:
            threads.append(threading.Thread(target=safely, args=(folder,)))
            threads[0].start()

        whole = f"my: strolling\n---\nname: test\nsave_path: {tmp_path}/out\n{text}"
        outcome = Experiment.from_document(read_text(whole, "test.yaml")).run(backend="ray", started=started)
        threads[0].join(30)
        if broken:
            raise broken[0]
        return outcome

    yield live
    sys.modules.pop("strolling", None)


def by_slope(outcome: Outcome) -> dict[str, TrialRecord]:
    return {key.variant.partition("~")[0]: record for key, record in outcome.records.items()}


def test_trials_are_paused_changed_resumed_and_stopped(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", "slope=1", 3)
        assert run.ask("pause", "slope=1").why.startswith("after step ")
        assert run.ask("set", "slope=1", values={"slope": 50.0}).why == "when it goes on"
        assert not run.ask("resume", "slope=1").refused
        run.wait_for("resumed", "slope=1")
        assert run.ask("set", "slope=1", values={"slope": 500.0}) == Answer(True, "slope cannot become 500.0")
        assert run.ask("set", "slope=1", values={"slope": 5.0}).why.startswith("from step ")
        assert run.ask("stop", "slope=2").why.startswith("after step ")

    records = by_slope(live("pipeline: {walk: !my.Stroll {slope: !g [1.0, 2.0], max_steps: 150}}", talk))
    first, second = records["slope=1.0"], records["slope=2.0"]
    assert (first.status, first.step, first.changes, first.attempts) == ("done", 150, {"slope": 5.0}, 1)
    assert first.metric is not None
    assert first.metric > 150
    assert (second.status, second.step < 150) == ("stopped", True)


def test_a_trial_that_a_scheduler_lets_wait_is_paused_and_the_others_are_judged(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("waits", "slope=0.0")
        assert run.ask("pause", "slope=0.0").why.startswith("after step ")
        run.wait_for("finished", "slope=5.0")
        run.ask("resume", "slope=0.0")

    text = """
pipeline:
  walk: !my.Stroll {slope: !g [0.0, 3.0, 4.0, 5.0], max_steps: 9, seconds: 0.5}
schedulers: {walk: !tune.HyperBandScheduler}
"""
    records = by_slope(live(text, talk))
    assert records["slope=5.0"].status == "done"
    assert (records["slope=0.0"].status, records["slope=0.0"].step) == ("pruned", 3)


def test_a_trial_that_its_scheduler_lets_wait_is_changed_paused_and_stopped_at_once(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("waits", "slope=0.0")
        assert run.ask("set", "slope=0.0", values={"slope": 0.5}).why == "when it goes on"
        run.ask("pause", "slope=0.0")
        assert run.ask("stop", "slope=0.0").why == "after step 4"
        run.ask("stop", "slope=5.0")

    text = """
pipeline:
  walk: !my.Stroll {slope: !g [0.0, 5.0], max_steps: 9, seconds: 10}
schedulers: {walk: !tune.HyperBandScheduler {reduction_factor: 2}}
"""
    records = by_slope(live(text, talk))
    assert (records["slope=0.0"].status, records["slope=0.0"].step) == ("stopped", 4)
    assert records["slope=0.0"].changes == {"slope": 0.5}
    assert records["slope=5.0"].step < 4


def test_a_search_is_extended_while_it_goes_on(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("finished")
        assert not ask_for_more(run.folder, 3).refused

    text = """
pipeline:
  walk: !my.Stroll {slope: !uniform [0.0, 1.0], max_steps: 30, seconds: 0.01}
search: {walk: !tune.OptunaSearch {num_samples: 3}}
"""
    outcome = live(text, talk)
    assert [record.status for record in outcome.records.values()] == ["done"] * 6


@pytest.mark.slow
def test_a_trial_that_gets_nowhere_is_killed_and_the_others_go_on(live) -> None:
    text = """
max_failures: 0
trial_timeout: 20
pipeline:
  stuck: !my.Stuck
  walk: !my.Stroll {slope: 1.0, max_steps: 5}
"""
    stuck, walk = live(text, lambda run: None).records.values()
    assert stuck.error == "it got nowhere for 20 s (trial_timeout), so its worker was killed"
    assert (stuck.status, walk.status) == ("failed", "done")


@pytest.mark.slow
def test_a_trial_that_waits_for_devices_of_another_run_does_not_hang(live) -> None:
    import ray

    class Holder:
        def holds(self) -> bool:
            return True

    holder = ray.remote(Holder).options(num_cpus=2).remote()
    assert ray.get(holder.holds.remote())

    def talk(run: Going) -> None:
        time.sleep(15)
        ray.kill(holder)

    text = """
max_failures: 0
trial_timeout: 8
pipeline:
  walk: !my.Stroll {slope: 1.0, max_steps: 5}
"""
    (walk,) = live(text, talk).records.values()
    assert walk.status == "done"
