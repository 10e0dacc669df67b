"""Random numbers without a generator: each draw is a function of what it is for.

A draw is keyed by words (seed, stage, path, sample number, …) and nothing else, so that it is the same
in every process and on every Python version, and so that an edit elsewhere in a config leaves it alone.
"""

from __future__ import annotations

import math
from hashlib import blake2b

from flambe.language import nodes
from flambe.language.distributions import Number, decimal_step, exact, multiples

SIGNIFICANT_DIGITS = 10
"""Digits kept of a drawn float: enough for any search, few enough that libm's last bit never shows."""


def unit(*words: object) -> float:
    """A number in (0, 1), uniform over keys."""
    return ((_integer(words) >> 11) + 0.5) * 2.0**-53


def below(size: int, *words: object) -> int:
    """An integer in [0, size), uniform over keys."""
    return _integer(words, digest_size=16 + size.bit_length() // 8) % size


def draw(distribution: nodes.Distribution, *words: object) -> Number:
    """The value of a numeric distribution for a key; for `choice` the index of the chosen option.

    `randint` and `lograndint` exclude their upper bound; `quniform` includes it and gives integers where
    all its arguments are integers.
    """
    if distribution.name == "choice":
        return below(len(distribution.arguments), *words)
    arguments = [_number(argument) for argument in distribution.arguments]
    match distribution.name, arguments:
        case "uniform", [low, high]:
            return _within(low + (high - low) * unit(*words), low, high)
        case "loguniform", [low, high]:
            return _within(_log_uniform(low, high, *words), low, high)
        case "quniform", [low, high, step]:
            return _quantised(low + (high - low) * unit(*words), low, high, step)
        case "randint", [int(low), int(high)]:
            return low + below(high - low, *words)
        case "lograndint", [low, int(high)]:
            return min(int(_log_uniform(low, high, *words)), high - 1)
        case "normal", [mean, deviation]:
            return _rounded(mean + deviation * _standard_normal(*words))
    raise ValueError(f"!{distribution.name} with {len(arguments)} arguments is no distribution")


def as_drawn(distribution: nodes.Distribution, value: object) -> Number:
    """A number that a search algorithm chose for `distribution`, with the type that a draw would have."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        # the numbers of numpy and others come with `item`
        item = getattr(value, "item", None)
        if item is None:
            raise ValueError(f"!{distribution.name} takes a number, not {value!r}")
        value = item()
    assert isinstance(value, (int, float))
    whole = distribution.name in {"randint", "lograndint"} or (
        distribution.name == "quniform" and _all_integers(distribution)
    )
    return round(value) if whole else float(value)


def may_draw(distribution: nodes.Distribution, value: object) -> bool:
    """Whether `value` is one of those that the numeric distribution can come to."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if distribution.name == "normal":
        return True
    low, high, *step = [_number(argument) for argument in distribution.arguments]
    if not low <= value <= high:
        return False
    if distribution.name in {"randint", "lograndint"}:
        return value < high
    return not step or value == _quantised(value, low, high, step[0])


def spread(draws: nodes.Draws, *words: object) -> list[Number]:
    """The values of `!s [low, high, count, decimals]`, distinct where the range holds that many.

    Integers, upper bound excluded, where both bounds are integers; else floats, rounded to `decimals`.
    """
    low, high, count = draws.low, draws.high, draws.count
    if isinstance(low, int) and isinstance(high, int):
        return [low + step for step in _distinct(high - low, count, *words)]
    if draws.decimals is None:
        return [_within(low + (high - low) * unit(*words, i), low, high) for i in range(count)]
    step = decimal_step(draws.decimals)
    first, last = multiples(low, high, step)
    drawn = _distinct(last - first + 1, count, *words)
    return [float((first + number) * step) for number in drawn]


def _distinct(size: int, count: int, *words: object) -> list[int]:
    """`count` integers in [0, size): a sparse Fisher-Yates shuffle's first ones; repeats if size < count."""
    if size < 1:
        raise ValueError("!s has no value between its bounds")
    if size < count:
        return [below(size, *words, i) for i in range(count)]
    moved: dict[int, int] = {}
    drawn = []
    for i in range(count):
        j = i + below(size - i, *words, i)
        drawn.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return drawn


def _integer(words: tuple[object, ...], digest_size: int = 8) -> int:
    key = "\x1f".join(map(str, words)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=min(digest_size, 64)).digest(), "big")


def _number(node: nodes.Node) -> Number:
    assert isinstance(node, nodes.Scalar)
    assert isinstance(node.value, (int, float))
    return node.value


def _all_integers(distribution: nodes.Distribution) -> bool:
    return all(isinstance(_number(argument), int) for argument in distribution.arguments)


def _log_uniform(low: Number, high: Number, *words: object) -> float:
    return math.exp(math.log(low) + (math.log(high) - math.log(low)) * unit(*words))


def _quantised(value: float, low: Number, high: Number, step: Number) -> Number:
    """The multiple of `step` nearest to `value` that lies in [low, high]."""
    first, last = multiples(low, high, step)
    multiple = min(max(round(exact(value) / exact(step)), first), last) * exact(step)
    whole = all(isinstance(number, int) for number in (low, high, step))
    return int(multiple) if whole else float(multiple)


def _standard_normal(*words: object) -> float:
    """Box and Muller's transform of two uniform numbers."""
    radius = math.sqrt(-2.0 * math.log(unit(*words, "radius")))
    return radius * math.cos(2.0 * math.pi * unit(*words, "angle"))


def _within(value: float, low: Number, high: Number) -> float:
    return float(min(max(_rounded(value), low), high))


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
