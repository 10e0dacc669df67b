"""`reduce: {stage: k}`: only the k best variants of a stage flow on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from flambe.errors import ReduceError
from flambe.variants.variant import Variant


class Result(NamedTuple):
    """How a variant ended. `metric` is None if the stage has none; `ok` says whether it came to its end."""

    variant: Variant
    metric: float | None
    ok: bool
    lower_is_better: bool


def best(results: Iterable[tuple[Variant, float | None, bool, bool]], k: int, *, stage: str) -> list[Variant]:
    """The `k` best variants, best first; equal metrics are ordered by variant id.

    Raises:
        ReduceError: Fewer than `k` finished with a metric, or they disagree on what is better.
    """
    everything = [Result(*result) for result in results]
    ranked = [result for result in everything if result.ok and _is_number(result.metric)]
    if len(ranked) < k:
        raise ReduceError(_too_few(everything, len(ranked), k, stage))
    if len({result.lower_is_better for result in ranked}) > 1:
        raise ReduceError(f"reduce: the variants of {stage} disagree on whether a lower metric is better")
    ranked.sort(key=rank)
    return [result.variant for result in ranked[:k]]


def _is_number(metric: float | None) -> bool:
    return metric is not None and not math.isnan(metric)


def rank(result: Result) -> tuple[float, str]:
    """Sorts results with a metric, best first; equal metrics by variant id."""
    assert result.metric is not None
    return (result.metric if result.lower_is_better else -result.metric), result.variant.id


def _too_few(results: list[Result], ranked: int, k: int, stage: str) -> str:
    unfinished = sum(not result.ok for result in results)
    without = sum(result.ok and result.metric is None for result in results)
    reasons = [(unfinished, "did not finish"), (without, "without a metric")]
    reasons.append((len(results) - ranked - unfinished - without, "with a metric that is not a number"))
    why = ", ".join(f"{count} {reason}" for count, reason in reasons if count)
    return (
        f"reduce: {stage} keeps {k} variant{'s' * (k != 1)}, but only {ranked} of {len(results)} "
        f"finished with a metric{f' ({why})' if why else ''}"
    )
