"""Trials that get nowhere: killed, counted as failed, tried again."""

from pathlib import Path

import pytest

from flambe.errors import ConfigError, RunError
from flambe.language.durations import seconds

HANGING = "trial_timeout: {limit}\npipeline: {{try: !my.Hanging {{at: {at}, once: '{once}'}}}}"


@pytest.mark.parametrize(("at", "goes_on_from"), [(3, 1), (0, 0)])
def test_a_trial_that_hangs_is_killed_and_goes_on_from_its_checkpoint(
    run, tmp_path: Path, at: int, goes_on_from: int
) -> None:
    started: list[int] = []

    def observe(update) -> None:
        if update.change == "started":
            started.append(update.record.step)

    text = HANGING.format(limit="'2 s'", at=at, once=tmp_path / "hung")
    outcome = run(text, backend="local", observe=observe)
    [record] = outcome.records.values()
    assert (record.status, record.step) == ("done", 4)
    assert started[-1] >= goes_on_from
    log = (tmp_path / "out/output__test/try/default/log.txt").read_text()
    assert "it got nowhere for 2 s (trial_timeout), so its worker was killed" in log


def test_one_that_hangs_each_time_fails(run) -> None:
    text = "max_failures: 0\ndevices: {cpu: 0.5}\ntrial_timeout: 1.5\n"
    text += "pipeline: {try: !my.Hanging {at: 2}, apart: !my.Walk {steps: 100, seconds: 0.03}}"
    outcome = run(text, backend="pool")
    hanging, walking = outcome.records.values()
    assert hanging.error == "it got nowhere for 1.5 s (trial_timeout), so its worker was killed"
    assert (hanging.status, walking.status) == ("failed", "done")


def test_a_trial_in_this_process_cannot_be_killed(run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a trial in this process cannot be killed; use --backend pool"):
        run("trial_timeout: 1\npipeline: {walk: !my.Walk {}}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [(90, 90.0), (1.5, 1.5), ("90", None), ("10 min", 600.0), ("1 h 30 min", 5400.0), ("2d", 172_800.0)],
)
def test_durations_are_read(given: float | str, expected: float | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="expected seconds, or a text such as '10 min'"):
            seconds(given)
    else:
        assert seconds(given) == expected


@pytest.mark.parametrize("wrong", ["soon", "0", "-1", ".inf", "[1]", "true", "10 weeks", "''"])
def test_a_timeout_that_is_none_is_found_by_the_check(run, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"test\.yaml:5:16  trial_timeout: expected"):
        run(f"trial_timeout: {wrong}\npipeline: {{walk: !my.Walk {{}}}}")
