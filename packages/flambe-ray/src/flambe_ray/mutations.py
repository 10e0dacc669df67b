"""What a population's scheduler may change in its trials, as the config says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune

from flambe.errors import RunError
from flambe.language import nodes
from flambe.language.distributions import multiples
from flambe.language.nodes import Node

_EXPECTED = "give a list of values, or a distribution such as !loguniform [1e-4, 1e-1]"

_DIGITS = 6


@dataclass(frozen=True)
class Mutation:
    """The values that an argument may take.

    Attributes:
        domain: As Tune has it: a list, whose neighbours are tried, or one of its domains.
        low: The least value, None if there is none.
        high: The greatest one.
        step: Values are multiples of it.
    """

    domain: Any
    low: float | None = None
    high: float | None = None
    step: float | None = None

    def fit(self, value: Any) -> Any:
        """The nearest value that is allowed, with six digits.

        Tune multiplies, and so leaves a distribution's range.
        """
        value = plain(value)
        if isinstance(self.domain, list) or isinstance(value, bool):
            return value
        if self.step is not None and self.low is not None and self.high is not None:
            first, last = multiples(self.low, self.high, self.step)
            value = min(max(round(value / self.step), first), last) * self.step
        if isinstance(value, float):
            value = float(f"{value:.{_DIGITS}g}")
        if self.low is None or self.high is None:
            return value
        return type(value)(min(max(value, self.low), self.high))


def mutations_of(node: Node, key: str) -> dict[str, Mutation]:
    """The mutations that a config gives: a mapping of paths in the stage, nested or not.

    Raises:
        RunError: one of them is neither a list of values nor a distribution.
    """
    found = {path: _mutation(value, f"{key}.{path}") for path, value in flat(node, key)}
    if not found:
        raise RunError(f"{key}: give the arguments that may change, by their path in the stage")
    return found


def bounds_of(node: Node, key: str) -> dict[str, list[float]]:
    """The ranges that a config gives: two numbers or `!uniform` for each path in the stage.

    Raises:
        RunError: one of them is no range.
    """
    found = {path: _bounds(value, f"{key}.{path}") for path, value in flat(node, key)}
    if not found:
        raise RunError(f"{key}: give the arguments that may change, by their path in the stage")
    return found


def flat(node: Node, key: str) -> Iterator[tuple[str, Node]]:
    """The values of a mapping by their paths, those inside other mappings too."""
    if not isinstance(node, nodes.Mapping):
        raise RunError(f"{key}: give a mapping of paths in the stage, such as {{optimizer.lr: [0.1, 0.01]}}")
    for entry in node.entries:
        if isinstance(entry.value, nodes.Mapping):
            for path, value in flat(entry.value, key):
                yield f"{entry.key}.{path}", value
        else:
            yield str(entry.key), entry.value


def plain(value: Any) -> Any:
    """A number of NumPy as Python's own; anything else as it is."""
    return value.item() if type(value).__module__ == "numpy" else value


def _mutation(node: Node, key: str) -> Mutation:
    match node:
        case nodes.Sequence(items=items) | nodes.Grid(options=items):
            return Mutation(_values(items, key))
        case nodes.Distribution(name="choice", arguments=items):
            return Mutation(_values(items, key))
        case nodes.Distribution(name=name):
            numbers = _numbers(node)
            if name == "normal":
                return Mutation(tune.randn(*numbers))
            domain = getattr(tune, name)(*numbers)
            low, high = numbers[:2]
            if name in ("randint", "lograndint"):
                high -= 1
            return Mutation(domain, low, high, numbers[2] if name == "quniform" else None)
    raise RunError(f"{key}: {_EXPECTED}")


def _values(items: tuple[Node, ...], key: str) -> list[Any]:
    if not items or not all(isinstance(item, nodes.Scalar) for item in items):
        raise RunError(f"{key}: {_EXPECTED}")
    return [item.value for item in items if isinstance(item, nodes.Scalar)]


def _bounds(node: Node, key: str) -> list[float]:
    match node:
        case nodes.Distribution(name="uniform"):
            return [float(number) for number in _numbers(node)]
        case nodes.Sequence(items=(nodes.Scalar(value=low), nodes.Scalar(value=high))):
            if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
                return [float(low), float(high)]
    raise RunError(f"{key}: give a range, the least and the greatest value, such as [0.0, 0.5]")


def _numbers(node: nodes.Distribution) -> list[Any]:
    return [argument.value for argument in node.arguments if isinstance(argument, nodes.Scalar)]


Mutations = Mapping[str, Mutation]
