"""What `flambe check` and `flambe run` warn of."""

from __future__ import annotations

import logging

import pytest

from flambe.check import check
from flambe.experiment.preparing import prepare
from flambe.language.read import Document, read_text
from flambe.registry.registry import Registry
from flambe.registry.sources import is_installed

NINE = "!my.Climb {slope: 1, max_steps: 9}"
ONE = "!my.Climb {slope: 1, max_steps: 1}"
RANDOM = "!tune.BasicVariantGenerator"


def document(scheduler: str | None, search: str | None, stage: str = NINE) -> Document:
    keys = {"schedulers": scheduler, "search": search}
    given = "".join(f"{key}: {{train: {tag}}}\n" for key, tag in keys.items() if tag is not None)
    return read_text(f"my: climbing\n---\nname: a\npipeline: {{train: {stage}}}\n{given}", "a.yaml")


def warnings(config: Document) -> list[str]:
    found = check(config, Registry.load().with_header(config.header))
    assert {problem.severity for problem in found} <= {"warning"}, found
    return [problem.message for problem in found]


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.syspath_prepend(str(request.path.parent / "modules"))


@pytest.mark.skipif(not is_installed("optuna"), reason="Optuna is not installed")
@pytest.mark.parametrize("scheduler", ["HyperBandScheduler", "HyperBandForBOHB"])
def test_a_search_that_cannot_learn_under_its_scheduler_is_warned_of(scheduler: str) -> None:
    assert warnings(document(f"!tune.{scheduler}", "!tune.OptunaSearch")) == [
        f"under {scheduler} no variant ends before all have begun, so OptunaSearch chooses them all without "
        "knowing what came of any; take !tune.ASHAScheduler, or !tune.TuneBOHB for the search"
    ]


@pytest.mark.skipif(not is_installed("optuna"), reason="Optuna is not installed")
def test_a_search_whose_variants_are_changed_behind_its_back_is_warned_of() -> None:
    assert warnings(document("!tune.PopulationBasedTraining", "!tune.OptunaSearch")) == [
        "PopulationBasedTraining changes what OptunaSearch has chosen, and OptunaSearch never hears of it; "
        "leave out one of the two"
    ]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            "!my.Climb {slope: 1, max_steps: 1}",
            "stage 'train' takes one step, so HyperBandScheduler has nothing to",
        ),
        ("!my.Times {by: 1, value: 2}", "stage 'train' has no step(), so HyperBandScheduler has nothing to"),
    ],
)
def test_a_scheduler_with_nothing_to_stop_is_warned_of(stage: str, message: str) -> None:
    assert warnings(document("!tune.HyperBandScheduler", None, stage)) == [f"{message} stop early"]


@pytest.mark.parametrize(
    ("scheduler", "search"),
    [
        ("!tune.ASHAScheduler", RANDOM),
        ("!tune.HyperBandScheduler", RANDOM),
        ("!tune.HyperBandScheduler", None),
        (None, RANDOM),
    ],
)
def test_pairings_that_work_are_not_warned_of(scheduler: str | None, search: str | None) -> None:
    assert warnings(document(scheduler, search)) == []


def test_a_run_logs_the_warning_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "flambe"):
        prepare(document("!tune.HyperBandScheduler", None, ONE))
    assert "warning: stage 'train' takes one step" in caplog.text
