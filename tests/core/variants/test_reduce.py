import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.errors import ReduceError
from flambe.variants.reduce import best
from flambe.variants.variant import Variant


def v(name: str) -> Variant:
    return Variant("stage1", name)


def test_the_highest_metrics_are_kept_best_first() -> None:
    results = [(v("a"), 1.0, True, False), (v("b"), 3.0, True, False), (v("c"), 2.0, True, False)]
    assert best(results, 2, stage="stage1") == [v("b"), v("c")]


def test_the_lowest_metrics_are_kept_where_lower_is_better() -> None:
    results = [(v("a"), 1.0, True, True), (v("b"), 3.0, True, True), (v("c"), 2.0, True, True)]
    assert best(results, 2, stage="stage1") == [v("a"), v("c")]


def test_ties_are_ordered_by_id() -> None:
    for lower in (True, False):
        results = [(v(name), 1.0, True, lower) for name in "cab"]
        assert best(results, 2, stage="stage1") == [v("a"), v("b")]


def test_failed_metricless_and_nan_are_never_kept() -> None:
    results = [
        (v("a"), 9.0, False, False),
        (v("b"), None, True, False),
        (v("c"), math.nan, True, False),
        (v("d"), -math.inf, True, False),
    ]
    assert best(results, 1, stage="stage1") == [v("d")]


@pytest.mark.parametrize(
    ("results", "k", "message"),
    [
        (
            [(v("a"), 1.0, True, False), (v("b"), 1.0, False, False), (v("c"), None, True, False)],
            2,
            "reduce: stage1 keeps 2 variants, but only 1 of 3 finished with a metric "
            "(1 did not finish, 1 without a metric)",
        ),
        (
            [(v("a"), math.nan, True, False)],
            1,
            "reduce: stage1 keeps 1 variant, but only 0 of 1 finished with a metric "
            "(1 with a metric that is not a number)",
        ),
        (
            [(v("a"), 1.0, True, False)],
            5,
            "reduce: stage1 keeps 5 variants, but only 1 of 1 finished with a metric",
        ),
        (
            [(v("a"), 1.0, True, False), (v("b"), 1.0, True, True)],
            1,
            "reduce: the variants of stage1 disagree on whether a lower metric is better",
        ),
    ],
)
def test_too_few_or_unrankable_variants_are_an_error_that_says_so(results, k, message) -> None:
    with pytest.raises(ReduceError) as caught:
        best(results, k, stage="stage1")
    assert str(caught.value) == message


@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False), min_size=1), st.booleans(), st.data())
def test_no_kept_variant_is_worse_than_a_dropped_one(metrics, lower, data) -> None:
    k = data.draw(st.integers(1, len(metrics)))
    kept = best([(v(name), metric, True, lower) for name, metric in metrics.items()], k, stage="s")
    assert len(kept) == k
    sign = 1 if lower else -1
    dropped = [(sign * metric, name) for name, metric in metrics.items() if v(name) not in kept]
    worst = max((sign * metrics[variant.id], variant.id) for variant in kept)
    assert all(worst < other for other in dropped)
