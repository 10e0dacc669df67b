"""Every search algorithm of Tune, by itself: no cluster is started. Those that are missing are skipped."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from flambe.errors import RunError
from flambe.experiment.briefs import briefs
from flambe.experiment.preparing import stage_spaces
from flambe.experiment.settings import settings_from
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe.registry.sources import is_installed
from flambe.trials.protocol import Setting
from flambe.variants.search import Choices, Search
from flambe_ray import tune
from flambe_ray.randomness import Randomness
from flambe_ray.search import TuneSearch
from flambe_ray.searching import check_searches, search_of

OPTIONS = """
    a: !uniform [2, 3]
    b: !loguniform [0.001, 1]
    c: !quniform [0, 1, 0.25]
    d: !randint [3, 6]
    e: !lograndint [1, 100]
    f: !normal [10, 1]
    g: !choice [x, y]
    h: !g [left, right, mid]
"""
CONDITIONAL = "{x: !g [!uniform [0, 1], !uniform [5, 6], 3]}"
SAMPLES = 12


def named(name: str) -> object:
    """The algorithm, skipped where its package is missing."""
    module, install = tune.PACKAGES.get(name, ("ray", "ray"))
    reason = f"{name} needs `pip install {install}`"
    return pytest.param(
        name, marks=pytest.mark.skipif(not all(map(is_installed, module.split())), reason=reason)
    )


LEARNING = [named(name) for name in sorted(tune.SEARCH) if name != "BasicVariantGenerator"]
EVERY = [*LEARNING, named("BasicVariantGenerator")]
OPTUNA = [named("OptunaSearch")]


def search(name: str, more: str = "", *, seed: int = 0, options: str = OPTIONS) -> Search:
    text = (
        f"name: a\nseed: {seed}\npipeline:\n  train: {options}\n"
        f"search: {{train: !tune.{name} {{num_samples: {SAMPLES}{more}}}}}"
    )
    settings = settings_from(read_text(text, "a.yaml").root)
    registry = Registry.load()
    setting = Setting(name="a", folder="/nowhere", seed=seed, stages=briefs(settings, registry))
    return search_of(setting, registry, stage_spaces(settings)["train"], 0)


def values(choices: Choices) -> dict[str, float]:
    return {path.rpartition(".")[2]: value for path, value in choices.items()}


def score(choices: Choices) -> float:
    found = values(choices)
    return -((found["a"] - 2.5) ** 2) - (found["c"] - 0.5) ** 2 - (found["d"] - 4) ** 2 - (found["h"] != 1)


def drive(
    searching: Search, count: int = SAMPLES, *, failing: Sequence[int] = (), lower: bool = False
) -> list[Choices]:
    tried: list[Choices] = []
    while len(tried) < count and (suggested := searching.suggest()) is not None:
        number, choices = suggested
        tried.append(choices)
        found = None if number in failing else score(choices)
        if found is not None:
            searching.note(number, step=1, score=found - 1, lower_is_better=lower)
            searching.note(number, step=2, score=found, lower_is_better=lower)
        searching.tell(number, step=2, score=found, lower_is_better=lower)
    return tried


@pytest.mark.parametrize("name", EVERY)
def test_every_kind_of_option_is_searched_where_the_config_says(name: str) -> None:
    tried = [values(choices) for choices in drive(search(name))]
    assert len(tried) == SAMPLES
    for found in tried:
        assert 2 <= found["a"] <= 3
        assert 0.001 <= found["b"] <= 1
        assert found["c"] in (0, 0.25, 0.5, 0.75, 1)
        assert found["d"] in (3, 4, 5)
        assert found["e"] in range(1, 100)
        assert 4 < found["f"] < 16
        assert found["g"] in (0, 1)
        assert found["h"] in (0, 1, 2)
    assert {type(found["d"]) for found in tried} == {int}
    assert len({found["a"] for found in tried}) > 3


@pytest.mark.parametrize("name", EVERY)
def test_a_seed_gives_the_same_suggestions_and_leaves_the_processs_own_alone(name: str) -> None:
    random.seed(5)
    np.random.seed(5)
    first = drive(search(name), 8)
    if name != "HEBOSearch":  # it draws from where nobody can seed it
        assert drive(search(name), 8) == first
    assert drive(search(name, seed=1), 8) != first
    drawn = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    assert (random.random(), np.random.random()) == drawn


@pytest.mark.parametrize("name", EVERY)
def test_failed_trials_do_not_hold_up_the_search(name: str) -> None:
    assert len(drive(search(name), failing=(0, 1, 5))) == SAMPLES


@pytest.mark.parametrize("name", LEARNING)
def test_what_an_earlier_run_has_tried_is_known_to_the_algorithm(name: str) -> None:
    earlier = drive(search(name), 8)
    again = search(name)
    assert isinstance(again, TuneSearch)
    numbers = [again.add(choices) for choices in earlier]
    for number, choices in zip(numbers[:-1], earlier, strict=False):
        again.tell(number, step=2, score=score(choices))
    more = again.suggest()
    assert again._told.keys() == set(numbers[:-1])
    assert again._live - ({more[0]} if more is not None else set()) == {numbers[-1]}
    again.tell(numbers[-1], step=2, score=score(earlier[-1]))
    if more is None:  # it wants to know everything before it goes on
        more = again.suggest()
    assert more is not None
    assert more[0] == len(earlier)
    assert more[1] not in earlier


@pytest.mark.parametrize("name", EVERY)
def test_of_conditional_options_only_those_that_are_there_count(name: str) -> None:
    searching = search(name, options=CONDITIONAL)
    tried = []
    for _ in range(8):
        suggested = searching.suggest()
        assert suggested is not None
        tried.append(suggested[1])
        searching.tell(suggested[0], step=1, score=float(suggested[0]))
    again = search(name, options=CONDITIONAL)
    for number, choices in enumerate(tried):
        assert again.add(choices) == number
        again.tell(number, step=1, score=float(number))
    more = again.suggest()
    assert more is not None
    assert more[0] == 8


@pytest.mark.parametrize("name", OPTUNA)
def test_a_conditional_search_goes_on_with_what_it_has_learnt(name: str) -> None:
    """Twenty samples say that the second branch is best; a search that has forgotten them does not know."""

    def found(choices: Choices) -> float:
        (branch,) = (value for path, value in choices.items() if not path.endswith(">"))
        return float(branch == 1)

    first = search(name, options=CONDITIONAL)
    tried = []
    for _ in range(20):
        number, choices = first.suggest() or (0, {})
        tried.append(choices)
        first.tell(number, step=1, score=found(choices))
    again = search(name, options=CONDITIONAL)
    for choices in tried:
        again.tell(again.add(choices), step=1, score=found(choices))
    more = []
    for _ in range(10):
        number, choices = again.suggest() or (0, {})
        more.append(found(choices))
        again.tell(number, step=1, score=found(choices))
    assert sum(more) >= 7


@pytest.mark.parametrize("name", LEARNING)
def test_points_to_evaluate_are_written_as_the_config_writes_values(name: str) -> None:
    point = "{a: 2.25, b: 0.01, c: 0.75, d: 5, e: 42, f: 10.5, g: y, h: mid}"
    searching = search(name, f", points_to_evaluate: [{point}]")
    (first,) = drive(searching, 1)
    expected = {"a": 2.25, "b": 0.01, "c": 0.75, "d": 5, "e": 42, "f": 10.5, "g": 1, "h": 2}
    assert values(first) == pytest.approx(expected)


@pytest.mark.parametrize("name", OPTUNA)
@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("{aa: 2}", "the stage has no option 'aa'"),
        ("{h: up}", "pipeline.train.h cannot be 'up'; there are left, right, mid"),
    ],
)
def test_a_point_that_the_stage_does_not_have_is_refused(name: str, point: str, message: str) -> None:
    with pytest.raises(RunError) as caught:
        search(name, f", points_to_evaluate: [{point}]")
    assert str(caught.value) == f"search.train.points_to_evaluate: {message}"


@pytest.mark.parametrize("name", OPTUNA)
def test_a_space_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(RunError) as caught:
        search(name, ", space: {x: 1}")
    message = "search.train: leave out the search space, it comes from the stage's options"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", [named("NevergradSearch")])
def test_nevergrads_optimizer_is_chosen_by_name(name: str) -> None:
    assert len(drive(search(name, ", optimizer: OnePlusOne"))) == SAMPLES
    with pytest.raises(RunError) as caught:
        search(name, ", optimizer: OnePlusTwo")
    start = "search.train.optimizer: Nevergrad has no optimizer 'OnePlusTwo'; did you mean '"
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize("name", [named("NevergradSearch")])
def test_nevergrad_suggests_several_before_any_has_ended(name: str) -> None:
    one = "{x: !uniform [0, 1]}"
    searching = search(name, options=one)
    assert [suggested and suggested[0] for suggested in (searching.suggest() for _ in range(6))] == [
        *range(6)
    ]
    with pytest.raises(RunError) as caught:
        search(name, ", optimizer: Cobyla", options=one)
    message = "search.train.optimizer: it must know what came of each trial before it suggests the next"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", OPTUNA)
def test_arguments_of_the_user_are_passed_on(name: str) -> None:
    first = drive(search(name, ", seed: 4"), 4)
    assert drive(search(name, ", seed: 4", seed=9), 4) == first


@pytest.mark.parametrize("name", OPTUNA)
@pytest.mark.parametrize(("mode", "lower"), [("min", True), ("max", False)])
def test_the_mode_of_the_user_is_about_the_stages_own_metric(name: str, mode: str, lower: bool) -> None:
    as_the_stage_says = drive(search(name), 20)
    assert drive(search(name, f", mode: {mode}"), 20, lower=lower) == as_the_stage_says
    assert drive(search(name, f", mode: {mode}"), 20, lower=not lower) != as_the_stage_says


@pytest.mark.parametrize("name", OPTUNA)
def test_a_metric_that_a_search_is_never_told_is_refused_before_anything_runs(name: str) -> None:
    assert check("OptunaSearch {metric: metric, mode: min}") is None
    assert check("OptunaSearch {metric: dev_loss}") == (
        "search.train.metric: a search is told what the stage's metric() returns, not 'dev_loss'; "
        "leave it out"
    )


def check(written: str) -> str | None:
    text = f"name: a\npipeline: {{train: {{x: !uniform [0, 1]}}}}\nsearch: {{train: !tune.{written}}}"
    registry = Registry.load()
    setting = Setting(
        name="a", folder="/nowhere", seed=0, stages=briefs(settings_from(read_text(text, "a").root), registry)
    )
    try:
        check_searches(setting, registry)
    except RunError as error:
        return str(error)
    return None


def test_a_stream_of_random_numbers_goes_on_where_it_was() -> None:
    mine = Randomness(3)
    with mine.instead():
        first = random.random(), np.random.random()
    random.random()
    with mine.instead():
        second = random.random(), np.random.random()
    with Randomness(3).instead():
        assert (random.random(), np.random.random()) == first
        assert (random.random(), np.random.random()) == second
