"""Schedulers of Tune on the stages of a run, on a real Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flambe
from flambe import Experiment, Outcome
from flambe.errors import RunError
from flambe.language.read import read_text
from flambe_ray.session import Session

MODULES = Path(__file__).parent / "modules"

Run = Callable[[str], Outcome]


@pytest.fixture
def run(ray_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a config's pipeline and other keys; the results lie under `tmp_path`."""
    monkeypatch.syspath_prepend(str(MODULES))

    def run(text: str) -> Outcome:
        whole = f"my: climbing\n---\nname: test\nsave_path: {tmp_path}/out\n{text}"
        return Experiment.from_document(read_text(whole, "test.yaml")).run()

    yield run
    sys.modules.pop("climbing", None)


def ends(outcome: Outcome, stage: str) -> dict[str, tuple[str, int]]:
    """The status and the steps of each of a stage's variants."""
    return {
        key.variant.partition("~")[0]: (record.status, record.step)
        for key, record in outcome.records.items()
        if key.stage == stage
    }


def test_hyperband_as_printed_halves_nine_variants_twice_and_the_best_goes_on(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb
    slope: !g [3, 1, 2, 9, 4, 8, 5, 7, 6]
    max_steps: 100
  test: !my.Climb {slope: !@ train.slope}
schedulers:
  train: !tune.HyperBandScheduler
reduce:
  train: 1
""")
    assert outcome.exit_code == 0
    assert ends(outcome, "train") == {
        **{f"slope={slope}": ("pruned", 11) for slope in range(1, 7)},
        "slope=7": ("pruned", 33),
        "slope=8": ("pruned", 33),
        "slope=9": ("done", 100),
    }
    assert ends(outcome, "test") == {"slope=9": ("done", 9)}


def test_a_pruned_variant_is_saved_as_it_was(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [1, 2, 3], max_steps: 9}
schedulers: {train: !tune.HyperBandScheduler}
""")
    (key,) = [key for key in outcome.records if key.variant.startswith("slope=1")]
    assert flambe.load(f"{outcome.folder}/train/{key.variant}").taken == 3


def test_lower_is_better_is_respected(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [1, 2, 3], max_steps: 9, down: true}
schedulers: {train: !tune.HyperBandScheduler}
""")
    assert ends(outcome, "train") == {
        "slope=1": ("pruned", 3),
        "slope=2": ("pruned", 3),
        "slope=3": ("done", 9),
    }


def test_arguments_of_the_user_are_passed_on(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [1, 2, 3, 4], max_steps: 9}
schedulers: {train: !tune.HyperBandScheduler {max_t: 8, reduction_factor: 2, metric: metric, mode: min}}
""")
    assert ends(outcome, "train") == {
        "slope=1": ("pruned", 8),
        "slope=2": ("pruned", 4),
        "slope=3": ("pruned", 2),
        "slope=4": ("pruned", 2),
    }


def test_a_variant_that_fails_holds_up_no_other(run: Run) -> None:
    outcome = run("""
max_failures: 0
pipeline:
  train: !my.Climb
    slope: !g [1, 2, 3]
    max_steps: 9
    fail_at: !g [0, 5]
schedulers: {train: !tune.HyperBandScheduler}
""")
    found = list(ends(outcome, "train").values())
    assert len(found) == 6
    assert {status for status, _ in found} <= {"done", "pruned", "failed"}
    assert ("done", 9) in found or ("failed", 4) in found


def test_variants_that_come_late_are_waited_for(run: Run) -> None:
    outcome = run("""
pipeline:
  first: !flambe.testing.stages:Counter {steps: 2, seconds: !g [0.0, 0.2, 0.5]}
  train: !my.Climb
    slope: !@ first.seconds
    max_steps: 9
schedulers: {train: !tune.HyperBandScheduler}
""")
    assert ends(outcome, "train") == {
        "seconds=0.0": ("pruned", 3),
        "seconds=0.2": ("pruned", 3),
        "seconds=0.5": ("done", 9),
    }


def test_asha_stops_variants_early(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [9, 8, 7, 6, 5, 4, 3, 2, 1], max_steps: 9}
schedulers: {train: !tune.ASHAScheduler {grace_period: 3, reduction_factor: 3}}
""")
    found = ends(outcome, "train")
    assert found["slope=9"] == ("done", 9)
    assert found["slope=1"] == ("pruned", 3)


def test_fifo_stops_nothing(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [1, 2, 3], max_steps: 4}
schedulers: {train: !tune.FIFOScheduler }
""")
    assert set(ends(outcome, "train").values()) == {("done", 4)}


def test_hyperband_for_bohb_halves_its_largest_bracket_and_ends_at_max_steps(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [3, 1, 2, 9, 4, 8, 5, 7, 6], max_steps: 10}
schedulers: {train: !tune.HyperBandForBOHB }
""")
    found = ends(outcome, "train")
    assert sorted(steps for _, steps in found.values()) == [1, 1, 1, 1, 1, 1, 3, 3, 10]
    assert found["slope=9"] == ("done", 10)


def test_median_stopping_counts_steps_and_not_seconds(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !g [9, 8, 7, 6, 5, 4, 3, 2, 1], max_steps: 20}
schedulers: {train: !tune.MedianStoppingRule {min_samples_required: 2}}
""")
    found = ends(outcome, "train")
    assert found["slope=9"] == ("done", 20)
    assert found["slope=1"][0] == "pruned"
    assert found["slope=1"][1] < 20


def test_two_stages_have_schedulers_of_their_own(run: Run) -> None:
    outcome = run("""
pipeline:
  first: !my.Climb {slope: !g [1, 2, 3], max_steps: 9}
  second: !my.Climb {slope: !g [4, 5], max_steps: 4}
schedulers:
  first: !tune.HyperBandScheduler
  second: !ray.HyperBandScheduler {reduction_factor: 2}
""")
    assert [status for status, _ in ends(outcome, "first").values()].count("done") == 1
    assert ends(outcome, "second") == {"slope=4": ("pruned", 2), "slope=5": ("done", 4)}


def test_a_variant_without_a_metric_so_far_is_not_judged(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Blind {steps: !g [3, 4]}
schedulers: {train: !tune.HyperBandScheduler {max_t: 4}}
""")
    assert {status for status, _ in ends(outcome, "train").values()} <= {"done", "pruned"}


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            "!tune.HyperBandScheduler",
            "schedulers.train: give max_t, the most steps of a trial; stage train has no max_steps",
        ),
        (
            "!tune.PopulationBasedTraining {hyperparam_mutations: {steps: [1, 2]}}",
            "schedulers.train: give perturbation_interval, the steps after which a trial may take over "
            "from a better one; stage train has no max_steps",
        ),
    ],
)
def test_a_scheduler_that_cannot_work_is_refused_before_anything_runs(
    run: Run, scheduler: str, message: str
) -> None:
    with pytest.raises(RunError) as caught:
        run(f"""
pipeline:
  train: !flambe.testing.stages:Counter {{steps: !g [1, 2]}}
schedulers: {{train: {scheduler}}}
""")
    assert str(caught.value) == message
