"""Dimensions as search algorithms see them: what an algorithm does not know is put into what it knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Any, TypeAlias

from ray import tune
from ray.tune.search.sample import Domain

from flambe.language import nodes
from flambe.language.distributions import exact, multiples
from flambe.variants.dimensions import Dimension

Number: TypeAlias = "int | float"

_ALMOST = 1e-6
"""How near to 0 and 1 the probabilities are whose normal quantiles are taken."""

LOG, INTEGERS, LOG_INTEGERS, OPTIONS = "log", "integers", "log integers", "options"
EVERYTHING = frozenset({LOG, INTEGERS, LOG_INTEGERS, OPTIONS})
"""What an algorithm may know beside numbers between two others."""


@dataclass(frozen=True)
class Coding:
    """One dimension for an algorithm.

    Attributes:
        domains: Tune's domains for it by name; more than one only for options that are coded as numbers.
        decode: The choice that stands for what was suggested under these names.
        encode: What would have been suggested for a choice, under these names.
    """

    domains: Mapping[str, Domain]
    decode: Callable[[Mapping[str, Any]], Number]
    encode: Callable[[Number], dict[str, Any]]


def code(name: str, dimension: Dimension, knows: Collection[str] = EVERYTHING) -> Coding:
    """The dimension, called `name`, for an algorithm that knows what is listed.

    Multiples are searched by their number and normal distributions by their quantiles. For algorithms
    that only know numbers, integers are rounded down, logarithms taken here, and options become a number
    each, the largest of which decides.
    """
    node = dimension.node
    if dimension.choices or not isinstance(node, nodes.Distribution):
        return _options(name, len(dimension.choices), knows)
    numbers = [argument.value for argument in node.arguments if isinstance(argument, nodes.Scalar)]
    return _DISTRIBUTIONS[node.name](name, knows, *numbers)


def _plain(
    name: str, domain: Domain, decode: Callable[[Any], Number], encode: Callable[[Number], Any]
) -> Coding:
    return Coding(
        {name: domain}, lambda suggested: decode(suggested[name]), lambda choice: {name: encode(choice)}
    )


def _options(name: str, count: int, knows: Collection[str]) -> Coding:
    if OPTIONS in knows:
        return _plain(name, tune.choice(list(range(count))), int, int)
    names = [f"{name}<{index}>" for index in range(count)]
    return Coding(
        {each: tune.uniform(0.0, 1.0) for each in names},
        lambda suggested: max(range(count), key=lambda index: suggested[names[index]]),
        lambda choice: {each: float(index == choice) for index, each in enumerate(names)},
    )


def _uniform(name: str, _: Collection[str], low: Number, high: Number) -> Coding:
    return _plain(name, tune.uniform(float(low), float(high)), _between(low, high), float)


def _loguniform(name: str, knows: Collection[str], low: Number, high: Number) -> Coding:
    within = _between(low, high)
    if LOG in knows:
        return _plain(name, tune.loguniform(float(low), float(high)), within, float)
    return _plain(
        name,
        tune.uniform(math.log(low), math.log(high)),
        lambda suggested: within(math.exp(suggested)),
        math.log,
    )


def _quniform(name: str, knows: Collection[str], low: Number, high: Number, q: Number) -> Coding:
    first, last = multiples(low, high, q)
    numbers = _randint(name, knows, first, last + 1)
    return Coding(
        numbers.domains,
        lambda suggested: float(numbers.decode(suggested) * exact(q)),
        lambda choice: numbers.encode(round(Fraction(choice) / exact(q))),
    )


def _randint(name: str, knows: Collection[str], low: int, high: int) -> Coding:
    if INTEGERS in knows and high - low > 1:
        return _plain(name, tune.randint(low, high), _whole(low, high), int)
    return _plain(name, tune.uniform(float(low), float(high)), _whole(low, high), lambda choice: choice + 0.5)


def _lograndint(name: str, knows: Collection[str], low: int, high: int) -> Coding:
    whole = _whole(low, high)
    if LOG_INTEGERS in knows and high - low > 1:
        return _plain(name, tune.lograndint(low, high), whole, int)
    return _plain(
        name,
        tune.uniform(math.log(low), math.log(high)),
        lambda suggested: whole(math.exp(suggested)),
        lambda choice: math.log(choice + 0.5),
    )


def _normal(name: str, _: Collection[str], mean: Number, sd: Number) -> Coding:
    spread = NormalDist(mean, sd)
    between = _between(_ALMOST, 1 - _ALMOST)
    return _plain(
        name,
        tune.uniform(_ALMOST, 1 - _ALMOST),
        lambda suggested: spread.inv_cdf(between(suggested)),
        lambda choice: between(spread.cdf(choice)),
    )


_DISTRIBUTIONS: Mapping[str, Callable[..., Coding]] = {
    "uniform": _uniform,
    "loguniform": _loguniform,
    "quniform": _quniform,
    "randint": _randint,
    "lograndint": _lograndint,
    "normal": _normal,
}


def _between(low: Number, high: Number) -> Callable[[Any], float]:
    """Algorithms that take logarithms miss the ends by a rounding error."""
    return lambda suggested: float(min(max(suggested, low), high))


def _whole(low: int, high: int) -> Callable[[Any], int]:
    return lambda suggested: min(max(math.floor(suggested), low), high - 1)
