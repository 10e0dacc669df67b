"""What search algorithms are shown of a dimension stands for the same choices, whatever they know."""

from __future__ import annotations

import math

import pytest

from flambe.experiment.preparing import stage_spaces
from flambe.experiment.settings import settings_from
from flambe.language.read import read_text
from flambe.variants.dimensions import Dimension
from flambe_ray.coding import EVERYTHING, INTEGERS, LOG, OPTIONS, Coding, code

KNOWING = [EVERYTHING, frozenset(), frozenset({INTEGERS, OPTIONS}), frozenset({LOG})]


def dimension(option: str) -> Dimension:
    document = read_text(f"name: a\npipeline: {{train: {{x: {option}}}}}", "a.yaml")
    (found,) = stage_spaces(settings_from(document.root))["train"].dimensions
    return found


def draws(coding: Coding, count: int = 60) -> list[float]:
    return [
        coding.decode({name: domain.sample() for name, domain in coding.domains.items()})
        for _ in range(count)
    ]


@pytest.mark.parametrize("knows", KNOWING)
@pytest.mark.parametrize(
    ("option", "low", "high"),
    [
        ("!uniform [2, 3]", 2, 3),
        ("!loguniform [0.001, 1]", 0.001, 1),
        ("!randint [3, 6]", 3, 5),
        ("!lograndint [1, 100]", 1, 99),
        ("!normal [10, 1]", 4, 16),
        ("!g [left, right, mid]", 0, 2),
    ],
)
def test_what_is_suggested_lies_where_the_config_says(
    option: str, low: float, high: float, knows: frozenset[str]
) -> None:
    coding = code("x", dimension(option), knows)
    for value in draws(coding):
        assert low <= value <= high
        assert isinstance(value, int) == (option[:5] in ("!rand", "!logr", "!g [l"))
        again = coding.decode(coding.encode(value))
        assert math.isclose(again, value, rel_tol=1e-6)


@pytest.mark.parametrize("knows", KNOWING)
def test_multiples_are_multiples_of_q_and_not_steps_from_low(knows: frozenset[str]) -> None:
    coding = code("x", dimension("!quniform [0.05, 0.35, 0.1]"), knows)
    assert set(draws(coding)) == {0.1, 0.2, 0.3}
    assert [coding.decode(coding.encode(value)) for value in (0.1, 0.2, 0.3)] == [0.1, 0.2, 0.3]


def test_the_ends_of_whole_numbers_are_as_likely_as_the_rest_when_they_are_rounded() -> None:
    coding = code("x", dimension("!randint [0, 4]"), frozenset())
    places = [coding.decode({"x": place / 100}) for place in range(401)]
    assert [places.count(number) for number in range(4)] == [100, 100, 100, 101]


def test_an_algorithm_without_options_chooses_the_largest_of_their_numbers() -> None:
    coding = code("x", dimension("!g [left, right, mid]"), frozenset())
    assert list(coding.domains) == ["x<0>", "x<1>", "x<2>"]
    assert coding.decode({"x<0>": 0.1, "x<1>": 0.2, "x<2>": 0.9}) == 2
    assert coding.encode(1) == {"x<0>": 0.0, "x<1>": 1.0, "x<2>": 0.0}


def test_a_logarithm_that_is_taken_here_is_even_over_the_orders_of_magnitude() -> None:
    coding = code("x", dimension("!loguniform [0.0001, 1]"), frozenset())
    low, high = math.log(0.0001), 0.0
    assert coding.decode({"x": (low + high) / 2}) == pytest.approx(0.01)
