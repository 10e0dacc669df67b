"""Tune's search algorithms on the dimensions of a stage."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.sample import Domain

from flambe.language import nodes
from flambe.variants.dimensions import Dimension
from flambe.variants.search import Choices
from flambe_ray.scheduling import METRIC, SCORE, TIME, WORST

_ALMOST = 1e-6
"""How near to 0 and 1 the probabilities are whose normal quantiles are taken."""


class Space:
    """A stage's dimensions as an algorithm sees them.

    Options become choices of their number, distributions those of Tune; a normal one is searched by its
    quantiles, which every algorithm knows. Places that share an option are one dimension.

    Attributes:
        domains: Tune's domain of each dimension, under the path that a config would give it.
    """

    def __init__(self, stage: str, dimensions: Sequence[Dimension]) -> None:
        first = {dimension.key: dimension for dimension in reversed(dimensions)}
        self._names = {key: _short(stage, dimension.name) for key, dimension in first.items()}
        self._dimensions = dimensions
        self.domains = {self._names[key]: _domain(first[key]) for key in sorted(first)}

    @property
    def conditional(self) -> bool:
        """Whether some dimensions are only there for some choices of others."""
        return any(dimension.conditions for dimension in self._dimensions)

    def choices(self, suggested: Mapping[str, Any]) -> Choices:
        """What an algorithm suggested, by the dimensions' names."""
        return {
            dimension.name: _value(dimension, suggested[self._names[dimension.key]])
            for dimension in self._dimensions
            if self._names[dimension.key] in suggested
        }

    def suggested(self, choices: Choices) -> dict[str, Any]:
        """What an algorithm would have suggested for `choices`."""
        return {
            self._names[dimension.key]: _place(dimension, choices[dimension.name])
            for dimension in self._dimensions
            if dimension.name in choices
        }

    def ask(self, trial: Any) -> None:
        """Asks a trial of Optuna for the dimensions that its earlier answers open up."""
        taken: dict[str, Any] = {}
        for dimension in self._dimensions:
            if all(taken.get(need.dimension) == need.option for need in dimension.conditions):
                taken[dimension.name] = _asked(trial, self._names[dimension.key], dimension)


class TuneSearch:
    """One search of a stage, as core wants it, by an algorithm of Tune."""

    def __init__(self, searcher: Searcher, space: Space) -> None:
        self._searcher = searcher
        self._space = space
        self._count = 0
        self.finished = False

    def suggest(self) -> tuple[int, Choices] | None:
        suggested = self._searcher.suggest(f"{self._count:05d}")
        if suggested == Searcher.FINISHED:
            self.finished = True
            return None
        if suggested is None:
            return None
        self._count += 1
        return self._count - 1, self._space.choices(suggested)

    def note(self, number: int, *, step: int, score: float | None) -> None:
        if score is not None:
            self._searcher.on_trial_result(f"{number:05d}", _result(step, score))

    def tell(self, number: int, *, step: int, score: float | None) -> None:
        result = None if score is None else _result(step, score)
        self._searcher.on_trial_complete(f"{number:05d}", result, error=score is None)

    def add(self, choices: Choices, *, score: float | None) -> None:
        if score is None:
            return
        try:
            self._searcher.add_evaluated_point(self._space.suggested(choices), score)
        except (NotImplementedError, TypeError):  # the algorithm, or a conditional space, cannot be told
            return


class RandomSearch:
    """Draws every sample independently of the others, as `BasicVariantGenerator` does."""

    finished = False

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._count = 0

    def suggest(self) -> tuple[int, Choices]:
        import numpy as np

        generator = np.random.RandomState(random.Random(f"{self._seed} {self._count}").getrandbits(32))
        drawn = {name: domain.sample(random_state=generator) for name, domain in self._space.domains.items()}
        self._count += 1
        return self._count - 1, self._space.choices(drawn)

    def note(self, number: int, *, step: int, score: float | None) -> None:
        """Nothing: what came of a draw changes no other."""

    def tell(self, number: int, *, step: int, score: float | None) -> None:
        """Nothing, as above."""

    def add(self, choices: Choices, *, score: float | None) -> None:
        """An earlier run's draw is not drawn again."""
        self._count += 1


def _result(step: int, score: float) -> dict[str, Any]:
    return {SCORE: max(score, WORST), METRIC: score, TIME: step}


def _short(stage: str, name: str) -> str:
    return name.removeprefix(f"pipeline.{stage}.").replace("/", "|")  # Tune splits names at slashes


def _numbers(dimension: Dimension) -> tuple[str, list[Any]] | None:
    """The distribution's name and numbers, or None for a choice among options."""
    node = dimension.node
    if dimension.choices or not isinstance(node, nodes.Distribution):
        return None
    return node.name, [argument.value for argument in node.arguments if isinstance(argument, nodes.Scalar)]


def _domain(dimension: Dimension) -> Domain:
    found = _numbers(dimension)
    if found is None:
        return tune.choice(list(range(len(dimension.choices))))
    name, numbers = found
    if name == "normal":
        return tune.uniform(_ALMOST, 1 - _ALMOST)
    return getattr(tune, name)(*numbers)


def _asked(trial: Any, name: str, dimension: Dimension) -> Any:
    found = _numbers(dimension)
    if found is None:
        return trial.suggest_categorical(name, list(range(len(dimension.choices))))
    kind, numbers = found
    if kind == "normal":
        return trial.suggest_float(name, _ALMOST, 1 - _ALMOST)
    low, high = numbers[0], numbers[1]
    if kind in ("randint", "lograndint"):
        return trial.suggest_int(name, low, high - 1, log=kind == "lograndint")
    step = numbers[2] if kind == "quniform" else None
    return trial.suggest_float(name, low, high, log=kind == "loguniform", step=step)


def _value(dimension: Dimension, suggested: Any) -> int | float:
    """The choice that stands for what was suggested."""
    found = _numbers(dimension)
    if found is None:
        return int(suggested)
    name, numbers = found
    if name == "normal":
        return NormalDist(*numbers).inv_cdf(float(suggested))
    return int(suggested) if name in ("randint", "lograndint") else float(suggested)


def _place(dimension: Dimension, choice: int | float) -> int | float:
    found = _numbers(dimension)
    if found is not None and found[0] == "normal":
        return NormalDist(*found[1]).cdf(choice)
    return choice
