"""The distributions that a config can draw from, and what makes their numbers valid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

Number: TypeAlias = "int | float"

_FLOAT_DECIMALS = 330  # no float needs more: the smallest is 5e-324


@dataclass(frozen=True, slots=True)
class DistributionKind:
    """A named distribution.

    Attributes:
        parameters: Their names, in the order in which a config lists them.
        integers: Whether all parameters, and so the values drawn, are integers.
        flaw: What is wrong with the numbers, in words that follow "'!name': ", or None.
    """

    name: str
    parameters: tuple[str, ...]
    integers: bool
    flaw: Callable[..., str | None]


class InvalidNumbersError(ValueError):
    """Numbers that a distribution cannot take; `index` tells which, None where it is not just one."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


def exact(number: Number | Fraction) -> Fraction:
    """`number` as it is written: `0.1` is a tenth, and not the nearest binary fraction."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def multiples(low: Number, high: Number, step: Number | Fraction) -> tuple[int, int]:
    """The first and the last n with n · step in [low, high]; last < first if there is none."""
    return math.ceil(exact(low) / exact(step)), math.floor(exact(high) / exact(step))


def decimal_step(decimals: int) -> Fraction:
    """The distance between two numbers with `decimals` decimals, or between floats if that is more."""
    return Fraction(1, 10 ** min(decimals, _FLOAT_DECIMALS))


def _ordered(low: Number, high: Number) -> str | None:
    return None if low < high else f"high must be above low, but low is {low} and high is {high}"


def _positive(low: Number, high: Number) -> str | None:
    return _ordered(low, high) if low > 0 else f"low must be above 0, but it is {low}"


def _quantized(low: Number, high: Number, q: Number) -> str | None:
    if q <= 0:
        return f"q must be above 0, but it is {q}"
    first, last = multiples(low, high, q)
    none = f"no multiple of q lies between low and high: low is {low}, high is {high}, q is {q}"
    return _ordered(low, high) or (none if last < first else None)


def _spread(mean: Number, sd: Number) -> str | None:
    return None if sd > 0 else f"sd must be above 0, but it is {sd}"


DISTRIBUTIONS = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            DistributionKind("uniform", ("low", "high"), False, _ordered),
            DistributionKind("loguniform", ("low", "high"), False, _positive),
            DistributionKind("quniform", ("low", "high", "q"), False, _quantized),
            DistributionKind("randint", ("low", "high"), True, _ordered),
            DistributionKind("lograndint", ("low", "high"), True, _positive),
            DistributionKind("normal", ("mean", "sd"), False, _spread),
        )
    }
)
"""Every distribution over numbers by name. `choice` draws from a list of any values and is not here.

`high` is included by `uniform`, `loguniform` and `quniform`, excluded by `randint` and `lograndint`.
"""


def check_distribution(name: str, numbers: Sequence[object]) -> None:
    """Accept the numbers of `DISTRIBUTIONS[name]`.

    Raises:
        InvalidNumbersError: saying what is wrong with them.
    """
    kind = DISTRIBUTIONS[name]
    form = f"'!{name}' takes [{', '.join(kind.parameters)}]"
    if len(numbers) != len(kind.parameters):
        raise InvalidNumbersError(f"{form}, but {_values(len(numbers))} given")
    for index, (parameter, number) in enumerate(zip(kind.parameters, numbers, strict=True)):
        _check_number(f"{form}, and {parameter}", number, kind.integers, index)
    flaw = kind.flaw(*numbers)
    if flaw:
        raise InvalidNumbersError(f"'!{name}': {flaw}")


def check_draws(numbers: Sequence[object]) -> None:
    """Accept the numbers of `!s`: low, high, k and, if wanted, decimals.

    Raises:
        InvalidNumbersError: saying what is wrong with them.
    """
    form = "'!s' takes [low, high, k] or [low, high, k, decimals]"
    if len(numbers) not in (3, 4):
        raise InvalidNumbersError(f"{form}, but {_values(len(numbers))} given")
    for index, name in enumerate(("low", "high", "k", "decimals")[: len(numbers)]):
        _check_number(f"{form}, and {name}", numbers[index], index > 1, index)
    low, high, count, *decimals = (n for n in numbers if isinstance(n, (int, float)))
    if not low < high:
        raise InvalidNumbersError(f"'!s': {_ordered(low, high)}")
    if count < 1:
        raise InvalidNumbersError(f"'!s': k must be at least 1, but it is {count}", 2)
    if decimals and decimals[0] < 0:
        raise InvalidNumbersError(f"'!s': decimals must be at least 0, but it is {decimals[0]}", 3)
    first, last = multiples(low, high, decimal_step(int(decimals[0]))) if decimals else (0, 0)
    if last < first:
        raise InvalidNumbersError(
            f"'!s': no number with {decimals[0]} decimals lies between {low} and {high}", 3
        )


def _check_number(what: str, number: object, integer: bool, index: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int if integer else (int, float)):
        kind = "an integer" if integer else "a number"
        raise InvalidNumbersError(f"{what} must be {kind}, not {number!r}", index)
    if isinstance(number, float) and not math.isfinite(number):
        raise InvalidNumbersError(f"{what} must be finite, not {number!r}", index)


def _values(count: int) -> str:
    return "1 value is" if count == 1 else f"{count} values are"
