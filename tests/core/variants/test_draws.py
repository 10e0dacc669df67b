import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.language.nodes import Distribution, Draws, Scalar
from flambe.variants.draws import as_drawn, below, draw, spread, unit

MANY = 4000


def distribution(name: str, *numbers: float) -> Distribution:
    return Distribution(name, tuple(map(Scalar, numbers)))


def drawn(name: str, *numbers: float) -> list[float]:
    return [draw(distribution(name, *numbers), "key", i) for i in range(MANY)]


def near(share: float, count: int) -> bool:
    """Within five standard deviations of what `share` of MANY draws gives."""
    return abs(count - share * MANY) < 5 * math.sqrt(MANY * share * (1 - share))


def test_a_draw_depends_on_its_key_only() -> None:
    assert unit("a", 1) == unit("a", 1) == 0.5058861624664539
    assert unit("a", 1) != unit("a1")
    assert draw(distribution("uniform", 0, 1), 7, "x") == draw(distribution("uniform", 0, 1), 7, "x")


def test_uniform_fills_its_range_evenly() -> None:
    values = drawn("uniform", 2, 6)
    assert all(2 <= value <= 6 for value in values)
    assert all(isinstance(value, float) for value in values)
    assert all(near(0.25, sum(low <= value < low + 1 for value in values)) for low in (2, 3, 4, 5))


def test_loguniform_is_even_over_magnitudes() -> None:
    values = drawn("loguniform", 1e-4, 1.0)
    assert all(1e-4 <= value <= 1 for value in values)
    assert all(near(0.25, sum(10.0**-k <= v < 10.0 ** (1 - k) for v in values)) for k in (1, 2, 3, 4))


def test_quniform_gives_multiples_with_both_ends() -> None:
    values = drawn("quniform", 0.1, 0.5, 0.1)
    assert set(values) == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert near(0.25, sum(value == 0.3 for value in values))


def test_quniform_of_integers_gives_integers_inside_the_range() -> None:
    values = drawn("quniform", 10, 70, 32)
    assert set(values) == {32, 64}
    assert all(isinstance(value, int) for value in values)


def test_randint_excludes_its_upper_bound() -> None:
    counts = Counter(drawn("randint", -2, 3))
    assert set(counts) == {-2, -1, 0, 1, 2}
    assert all(near(0.2, count) for count in counts.values())


def test_lograndint_excludes_its_upper_bound() -> None:
    values = drawn("lograndint", 1, 16)
    assert set(values) == set(range(1, 16))
    assert all(near(0.25, sum(2**k <= value < 2 ** (k + 1) for value in values)) for k in range(4))


def test_normal_has_its_mean_and_deviation() -> None:
    values = drawn("normal", 5.0, 2.0)
    assert abs(sum(values) / MANY - 5) < 5 * 2 / math.sqrt(MANY)
    assert near(0.6827, sum(abs(value - 5) < 2 for value in values))


def test_choice_is_even_over_its_options() -> None:
    counts = Counter(drawn("choice", 0.5, 0.6, 0.7))
    assert set(counts) == {0, 1, 2}
    assert all(near(1 / 3, count) for count in counts.values())


def test_drawn_floats_are_short_enough_to_be_the_same_on_every_machine() -> None:
    assert all(value == float(f"{value:.10g}") for value in drawn("loguniform", 1e-4, 1.0))


@given(st.integers(1, 10**30), st.text())
def test_below_stays_below(size: int, word: str) -> None:
    assert 0 <= below(size, word) < size


def test_integers_of_s_are_distinct_where_the_range_holds_them() -> None:
    assert sorted(spread(Draws(5, 15, 10), "key")) == list(range(5, 15))


def test_integers_of_s_repeat_where_the_range_is_too_small() -> None:
    values = spread(Draws(0, 2, 9), "key")
    assert len(values) == 9
    assert set(values) == {0, 1}


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 40), st.integers())
def test_integers_of_s_stay_in_range(low: int, size: int, count: int, seed: int) -> None:
    values = spread(Draws(low, low + size, count), seed)
    assert len(values) == count
    assert all(isinstance(value, int) and low <= value < low + size for value in values)
    assert len(set(values)) == count or size < count


def test_floats_of_s_are_rounded_to_decimals_and_distinct() -> None:
    assert sorted(spread(Draws(0.0, 1.0, 11, 1), "key")) == [i / 10 for i in range(11)]


def test_rounded_floats_of_s_include_both_bounds() -> None:
    assert sorted(spread(Draws(0.07, 0.29, 23, 2), "key")) == [i / 100 for i in range(7, 30)]


def test_floats_of_s_without_decimals_lie_in_the_range() -> None:
    values = spread(Draws(0, 0.5, 100), "key")
    assert all(isinstance(value, float) and 0 <= value <= 0.5 for value in values)
    assert len(set(values)) == 100


def test_bounds_that_hold_no_rounded_value_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\A!s has no value between its bounds\Z"):
        spread(Draws(0.01, 0.02, 2, 1), "key")


def test_more_draws_keep_the_first_ones() -> None:
    assert spread(Draws(0, 100, 8), "key")[:3] == spread(Draws(0, 100, 3), "key")


@pytest.mark.parametrize(
    ("name", "numbers", "given_value", "expected"),
    [
        ("uniform", (0, 1), 1, 1.0),
        ("randint", (0, 9), 3.0, 3),
        ("lograndint", (1, 9), 3, 3),
        ("quniform", (0, 64, 32), 32.0, 32),
        ("quniform", (0.0, 64.0, 32.0), 32, 32.0),
    ],
)
def test_numbers_from_elsewhere_get_the_type_of_a_draw(name, numbers, given_value, expected) -> None:
    made = as_drawn(distribution(name, *numbers), given_value)
    assert (type(made), made) == (type(expected), expected)


def test_a_number_with_item_is_a_number() -> None:
    numpy = pytest.importorskip("numpy")
    assert as_drawn(distribution("randint", 0, 9), numpy.int64(3)) == 3


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\A!uniform takes a number, not 'x'\Z"):
        as_drawn(distribution("uniform", 0, 1), "x")
