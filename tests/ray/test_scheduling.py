"""What a stage's scheduler is told of its trials, without Ray."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from flambe.trials.protocol import Stepped, TrialKey
from flambe_ray.hyperband import SizedHyperBand
from flambe_ray.scheduling import METRIC, TIME, StageScheduler

GOOD, BAD = TrialKey("train", "good"), TrialKey("train", "bad")


def halving(**given: Any) -> StageScheduler:
    """Stops the worse one of two after the first unit of time."""
    chosen = {"time_attr": TIME, "metric": METRIC, "mode": "max", **given}
    scheduler = StageScheduler(AsyncHyperBandScheduler(max_t=9, reduction_factor=2, **chosen))
    scheduler.add(GOOD, 2)
    scheduler.add(BAD, 2)
    return scheduler


def judge(
    scheduler: StageScheduler,
    key: TrialKey,
    metric: float | None,
    logged: Mapping[str, float] | None = None,
    *,
    step: int = 1,
    seconds: float = 0.0,
) -> str:
    return scheduler.judge(Stepped(key, step, metric, True, seconds, lower_is_better=True), logged or {})


@pytest.mark.parametrize(("mode", "metric"), [("min", 1.0), ("max", -1.0)])
def test_no_metric_is_worse_than_any_in_either_direction(mode: str, metric: float) -> None:
    scheduler = halving(mode=mode)
    assert judge(scheduler, GOOD, metric) == "go"
    assert judge(scheduler, BAD, None) == "prune"


def test_a_metric_that_is_logged_can_be_looked_at() -> None:
    scheduler = halving(metric="accuracy")
    assert judge(scheduler, GOOD, 0.0, {"accuracy": 0.9}) == "go"
    assert judge(scheduler, BAD, 0.0, {"accuracy": 0.1}) == "prune"


def test_a_logged_metric_that_is_no_number_is_the_worst() -> None:
    scheduler = halving(metric="loss", mode="min")
    assert judge(scheduler, GOOD, 0.0, {"loss": 2.0}) == "go"
    assert judge(scheduler, BAD, 0.0, {"loss": float("nan")}) == "prune"


def test_time_can_be_the_seconds_that_a_trial_has_stepped() -> None:
    scheduler = halving(time_attr="time_total_s", grace_period=4)
    assert judge(scheduler, GOOD, 1.0, seconds=5.0) == "go"
    assert judge(scheduler, BAD, 2.0, seconds=3.0) == "go"
    assert judge(scheduler, BAD, 2.0, step=2, seconds=2.0) == "go"
    assert judge(scheduler, GOOD, 1.0, step=2, seconds=5.0) == "prune"


@pytest.mark.parametrize("given", [{"metric": "dev_loss"}, {"time_attr": "epoch"}])
def test_what_nobody_logs_decides_nothing_and_is_told_once(
    given: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    hyperband = StageScheduler(
        SizedHyperBand(max_t=9, **{"time_attr": TIME, "metric": METRIC, "mode": "max", **given})
    )
    keys = GOOD, BAD
    for key in keys:
        hyperband.add(key, 2)
    with caplog.at_level(logging.WARNING, logger="flambe"):
        for step in range(1, 10):
            assert {judge(hyperband, key, 1.0, {"other": 1.0}, step=step) for key in keys} == {"go"}
        for key in keys:
            hyperband.ended(key, None, {})
    (name,) = given.values()
    assert [record.getMessage() for record in caplog.records] == [
        f"schedulers.train: no trial has logged {name!r}, which the scheduler looks at, so it decides "
        "nothing; leave it out, and the stage's own metric and steps are taken"
    ]
