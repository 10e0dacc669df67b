"""Search algorithms of Tune on the stages of a run, on a real Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe import Experiment, Outcome
from flambe.errors import ConfigError
from flambe.language.read import read_text
from flambe.registry.sources import is_installed
from flambe_ray import tune
from flambe_ray.session import Session

MODULES = Path(__file__).parent / "modules"

Run = Callable[..., Outcome]


def named(name: str, *, slow: bool = False) -> object:
    """The algorithm, skipped where its package is missing; `slow` where another does for most days."""
    modules, install = tune.PACKAGES[name]
    missing = not all(map(is_installed, modules.split()))
    needs = pytest.mark.skipif(missing, reason=f"needs `pip install {install}`")
    return pytest.param(name, marks=(needs, pytest.mark.slow) if slow else (needs,))


@pytest.fixture
def run(ray_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a config's pipeline and other keys; the results lie under `tmp_path`."""
    monkeypatch.syspath_prepend(str(MODULES))

    def run(text: str, **options: Any) -> Outcome:
        whole = f"my: climbing\n---\nname: test\nsave_path: {tmp_path}/out\n{text}"
        return Experiment.from_document(read_text(whole, "test.yaml")).run(**options)

    yield run
    sys.modules.pop("climbing", None)


def chosen(outcome: Outcome, stage: str) -> list[dict[str, Any]]:
    """The choices of a stage's variants."""
    prefix = f"pipeline.{stage}."
    return [
        {path.removeprefix(prefix): value for path, value in record.choices.items()}
        for key, record in outcome.records.items()
        if key.stage == stage
    ]


def test_each_distribution_reaches_optuna_as_its_own(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Many
    a: !uniform [2, 3]
    b: !loguniform [0.001, 1]
    c: !quniform [0, 1, 0.25]
    d: !randint [3, 6]
    e: !lograndint [1, 100]
    f: !normal [10, 1]
    g: !choice [x, y]
    h: !g [left, right]
search: {train: !tune.OptunaSearch {num_samples: 12}}
""")
    assert outcome.exit_code == 0
    found = chosen(outcome, "train")
    assert len(found) == 12
    for choice in found:
        assert 2 <= choice["a"] <= 3
        assert 0.001 <= choice["b"] <= 1
        assert choice["c"] in (0, 0.25, 0.5, 0.75, 1)
        assert choice["d"] in (3, 4, 5)
        assert 1 <= choice["e"] < 100
        assert 4 < choice["f"] < 16
        assert choice["g"] in ("x", "y")
        assert choice["h"] in ("left", "right")
    assert {choice["h"] for choice in found} == {"left", "right"}


def test_a_conditional_dimension_is_only_searched_where_it_is(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb
    max_steps: 1
    slope: !g [!uniform [0, 1], !uniform [5, 6], 3]
search: {train: !tune.OptunaSearch {num_samples: 10}}
""")
    assert outcome.exit_code == 0
    slopes = [choice["slope"] for choice in chosen(outcome, "train")]
    assert all(0 <= slope <= 1 or 5 <= slope <= 6 or slope == 3 for slope in slopes)


def test_one_search_for_each_upstream_variant_and_the_best_goes_on(run: Run) -> None:
    outcome = run("""
pipeline:
  data: !my.Climb {slope: !g [1, 2], max_steps: 1}
  train: !my.Times {by: !@ data.slope, value: !uniform [0, 1]}
  test: !my.Times {by: !@ train.by, value: 1}
search: {train: !tune.OptunaSearch {num_samples: 4}}
reduce: {train: 1}
""")
    assert outcome.exit_code == 0
    upstream = [record.upstream["data"] for key, record in outcome.records.items() if key.stage == "train"]
    assert len(upstream) == 8
    assert {upstream.count(name) for name in upstream} == {4}
    best = max(record.metric or 0 for key, record in outcome.records.items() if key.stage == "train")
    (kept,) = outcome.chosen["train"]
    assert next(r.metric for key, r in outcome.records.items() if key.variant == kept) == best


def test_a_search_with_hyperband_prunes(run: Run) -> None:
    outcome = run("""
pipeline:
  train: !my.Climb {slope: !uniform [0, 10], max_steps: 9}
search: {train: !tune.OptunaSearch {num_samples: 9}}
schedulers: {train: !tune.HyperBandScheduler}
""")
    steps = sorted(record.step for record in outcome.records.values())
    assert steps == [1, 1, 1, 1, 1, 1, 3, 3, 9]


@pytest.mark.slow
def test_the_same_seed_draws_the_same_variants_at_random(run: Run) -> None:
    text = """
pipeline:
  train: !my.Climb {slope: !uniform [0, 10], max_steps: 1}
search: {train: !tune.BasicVariantGenerator {num_samples: 5}}
"""
    first, second = run(text), run(text, force=True)
    assert first.records.keys() == second.records.keys()
    assert len(first.records) == 5


def test_a_resumed_search_goes_on_where_it_was(run: Run) -> None:
    text = """
pipeline:
  train: !my.Climb {slope: !uniform [0, 10], max_steps: 1}
search: {train: !tune.OptunaSearch {num_samples: NUMBER}}
"""
    first = run(text.replace("NUMBER", "4"))
    more = run(text.replace("NUMBER", "7"), resume=True)
    assert more.reused == frozenset(first.records)
    assert len(more.records) == 7


@pytest.mark.parametrize("name", [named("OptunaSearch", slow=True), named("HyperOptSearch")])
def test_a_conditional_search_is_resumed_with_what_it_has_learnt(run: Run, name: str) -> None:
    text = """
pipeline:
  train: !my.Climb
    max_steps: 1
    slope: !g [!uniform [0, 1], !uniform [5, 6], 3]
search: {train: !tune.NAME {num_samples: NUMBER}}
""".replace("NAME", name)
    first = run(text.replace("NUMBER", "6"))
    more = run(text.replace("NUMBER", "9"), resume=True)
    assert more.reused == frozenset(first.records)
    assert len(more.records) == 9
    assert all(0 <= c["slope"] <= 1 or 5 <= c["slope"] <= 6 or c["slope"] == 3 for c in chosen(more, "train"))


@pytest.mark.parametrize("name", [named("TuneBOHB")])
@pytest.mark.parametrize(
    "scheduler", ["HyperBandForBOHB", pytest.param("HyperBandScheduler", marks=pytest.mark.slow)]
)
def test_bohb_has_its_trials_halved_twice(run: Run, name: str, scheduler: str) -> None:
    outcome = run(f"""
pipeline:
  train: !my.Climb {{slope: !uniform [0, 10], max_steps: 9}}
search: {{train: !tune.{name} {{num_samples: 9}}}}
schedulers: {{train: !tune.{scheduler} }}
""")
    assert outcome.exit_code == 0
    assert sorted(record.step for record in outcome.records.values()) == [1, 1, 1, 1, 1, 1, 3, 3, 9]


@pytest.mark.parametrize("name", [named("HyperOptSearch", slow=True), named("NevergradSearch")])
def test_asha_stops_variants_of_a_search_early(run: Run, name: str) -> None:
    outcome = run(f"""
pipeline:
  train: !my.Climb {{slope: !uniform [0, 10], max_steps: 9}}
search: {{train: !tune.{name} {{num_samples: 12}}}}
schedulers: {{train: !tune.ASHAScheduler {{grace_period: 1, reduction_factor: 3}}}}
""")
    steps = sorted(record.step for record in outcome.records.values())
    assert len(steps) == 12
    assert steps[0] == 1
    assert steps[-1] == 9
    assert sum(steps) < 12 * 9 * 0.8


def test_other_executors_refuse_to_search(run: Run) -> None:
    with pytest.raises(ConfigError, match="the executor 'in-process' does no search"):
        run(
            "pipeline: {train: !my.Climb {slope: !uniform [0, 1]}}\nsearch: {train: !tune.OptunaSearch}",
            backend="in-process",
        )
