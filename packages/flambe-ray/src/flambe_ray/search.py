"""Tune's search algorithms on the dimensions of a stage."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from ray.tune.search import Searcher
from ray.tune.search.sample import Categorical, Domain, Integer, LogUniform

from flambe.check.nearest import did_you_mean
from flambe.errors import RunError
from flambe.language import nodes
from flambe.variants.dimensions import Dimension
from flambe.variants.search import Choices
from flambe_ray.coding import EVERYTHING, code
from flambe_ray.randomness import Randomness
from flambe_ray.scheduling import METRIC, SCORE, TIME, WORST

Points: TypeAlias = Sequence[Mapping[str, Any]]

_MOST_TRIES = 20
"""How often an algorithm is asked again that has no suggestion although it waits for nothing."""


class Space:
    """A stage's dimensions as an algorithm sees them. Places that share an option are one dimension.

    Args:
        knows: What the algorithm knows beside numbers between two others.

    Attributes:
        domains: Tune's domains, under the paths that a config would give the dimensions.
    """

    def __init__(
        self, stage: str, dimensions: Sequence[Dimension], knows: Collection[str] = EVERYTHING
    ) -> None:
        first = {dimension.key: dimension for dimension in reversed(dimensions)}
        self._stage = stage
        self._codings = {
            key: code(_short(stage, first[key].name), first[key], knows) for key in sorted(first)
        }
        self._dimensions = dimensions
        self.domains: dict[str, Domain] = {}
        for coding in self._codings.values():
            self.domains |= coding.domains

    @property
    def conditional(self) -> bool:
        """Whether some dimensions are only there for some choices of others."""
        return any(dimension.conditions for dimension in self._dimensions)

    def choices(self, suggested: Mapping[str, Any]) -> Choices:
        """What an algorithm suggested, by the dimensions' names."""
        return {
            dimension.name: self._codings[dimension.key].decode(suggested)
            for dimension in self._dimensions
            if self._codings[dimension.key].domains.keys() <= suggested.keys()
        }

    def suggested(self, choices: Choices) -> dict[str, Any]:
        """What an algorithm would have suggested for `choices`."""
        found: dict[str, Any] = {}
        for dimension in self._dimensions:
            if dimension.name in choices:
                found |= self._codings[dimension.key].encode(choices[dimension.name])
        return found

    def complete(self, suggested: Mapping[str, Any]) -> dict[str, Any]:
        """With any value for the dimensions that are not there: algorithms without conditions need one."""
        return {
            name: suggested[name] if name in suggested else domain.sample()
            for name, domain in self.domains.items()
        }

    def point(self, given: Mapping[str, Any], key: str) -> dict[str, Any]:
        """What an algorithm would have suggested for values as the config writes them.

        Raises:
            RunError: a name or a value is none of the stage's; `key` says where.
        """
        names = {_short(self._stage, dimension.name): dimension for dimension in self._dimensions}
        found: dict[str, Any] = {}
        for name, value in given.items():
            if name not in names:
                raise RunError(
                    f"{key}.points_to_evaluate: the stage has no option {name!r}{did_you_mean(name, names)}"
                )
            found |= self._codings[names[name].key].encode(_choice(names[name], value, key))
        return found

    def ask(self, trial: Any) -> None:
        """Asks a trial of Optuna for the dimensions that its earlier answers open up."""
        taken: dict[str, Any] = {}
        for dimension in self._dimensions:
            if all(taken.get(need.dimension) == need.option for need in dimension.conditions):
                coding = self._codings[dimension.key]
                answers = {name: _asked(trial, name, domain) for name, domain in coding.domains.items()}
                taken[dimension.name] = coding.decode(answers)


class TuneSearch:
    """One search of a stage, as core wants it, by an algorithm of Tune.

    What an earlier run has tried, the algorithm is made to suggest again, and is told what came of it.

    Args:
        begin: Makes the algorithm, which suggests the given points first.
        randomness: What it draws from, unless it has generators of its own.
        fails: Whether it can be told of failures; otherwise they count like the worst so far.
    """

    def __init__(
        self,
        begin: Callable[[Points], Searcher],
        space: Space,
        randomness: Randomness,
        *,
        fails: bool = True,
    ) -> None:
        self._begin = begin
        self._space = space
        self._randomness = randomness
        self._fails = fails
        self._worst: float | None = None
        self._lower_is_better = False
        self._earlier: list[dict[str, Any]] = []
        self._told: dict[int, tuple[int, float | None]] = {}
        self._noted: dict[int, int] = {}
        self._failed: list[int] = []
        self._live: set[int] = set()
        self._count = 0
        self.finished = False
        with self._its_own_way():
            self._searcher = begin(())  # says at once what is wrong with its arguments

    def suggest(self) -> tuple[int, Choices] | None:
        self._catch_up()
        with self._its_own_way():
            for _ in range(_MOST_TRIES):
                suggested = self._searcher.suggest(_id(self._count))
                if suggested is not None or self._live:
                    break
        if suggested == Searcher.FINISHED:
            self.finished = True
            return None
        if suggested is None:
            return None
        number = self._count
        self._count += 1
        self._live.add(number)
        return number, self._space.choices(suggested)

    def note(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None:
        self._lower_is_better = lower_is_better
        if score is not None and number in self._live:
            with self._its_own_way():
                self._note(number, step, score)

    def tell(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None:
        if score is not None:
            self._lower_is_better = lower_is_better
        if self._earlier:
            self._told[number] = step, score
            return
        with self._its_own_way():
            self._tell(number, step, score)

    def add(self, choices: Choices) -> int:
        self._earlier.append(self._space.suggested(choices))
        return len(self._earlier) - 1

    @contextmanager
    def _its_own_way(self) -> Iterator[None]:
        """Lets the algorithm draw from and seed what it likes, and warn of what users cannot change."""
        with self._randomness.instead(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    def _catch_up(self) -> None:
        """Goes through what an earlier run has tried, before the first suggestion of this one."""
        if not self._earlier:
            return
        earlier, self._earlier = self._earlier, []
        self._randomness = self._randomness.after(len(earlier))
        self._count = len(earlier)
        with self._its_own_way():
            self._searcher = self._begin(earlier)
            for number, point in enumerate(earlier):
                if _agree(self._searcher.suggest(_id(number)), point):
                    self._live.add(number)
                if number in self._told:
                    self._tell(number, *self._told[number])

    def _tell(self, number: int, step: int, score: float | None) -> None:
        if number not in self._live:
            return
        self._live.remove(number)
        if score is not None:
            self._worst = score if self._worst is None else min(score, self._worst)
            if step > self._noted.get(number, -1):
                self._note(number, step, score)
            self._searcher.on_trial_complete(_id(number), self._result(step, score))
        elif self._fails:
            self._searcher.on_trial_complete(_id(number), error=True)
        else:
            self._failed.append(number)
        if self._worst is not None:
            while self._failed:
                self._searcher.on_trial_complete(_id(self._failed.pop()), self._result(step, self._worst))

    def _note(self, number: int, step: int, score: float) -> None:
        self._noted[number] = step
        self._searcher.on_trial_result(_id(number), self._result(step, score))

    def _result(self, step: int, score: float) -> dict[str, Any]:
        """What Tune calls a result. BOHB learns from it how far a trial is, as from its own scheduler."""
        metric = -score if self._lower_is_better else score
        budget = {"budget": max(1, step)}
        return {SCORE: max(score, WORST), METRIC: metric, TIME: step, "hyperband_info": budget}


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

    def note(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None:
        """Nothing: what came of a draw changes no other."""

    def tell(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None:
        """Nothing, as above."""

    def add(self, choices: Choices) -> int:
        """An earlier run's draw is not drawn again."""
        self._count += 1
        return self._count - 1


def _id(number: int) -> str:
    return f"{number:05d}"


def _agree(suggested: Any, point: Mapping[str, Any]) -> bool:
    """Whether the algorithm has suggested `point`, as it was to."""
    if not isinstance(suggested, Mapping):
        return False
    return all(math.isclose(suggested.get(name, math.nan), value) for name, value in point.items())


def _short(stage: str, name: str) -> str:
    return name.removeprefix(f"pipeline.{stage}.").replace("/", "|")  # Tune splits names at slashes


def _choice(dimension: Dimension, value: Any, key: str) -> Any:
    """The choice that a value of the config stands for."""
    if not dimension.choices:
        return value
    for index, choice in enumerate(dimension.choices):
        if isinstance(choice.node, nodes.Scalar) and choice.node.value == value:
            return index
    labels = ", ".join(choice.label for choice in dimension.choices)
    raise RunError(f"{key}.points_to_evaluate: {dimension.path} cannot be {value!r}; there are {labels}")


def _asked(trial: Any, name: str, domain: Domain) -> Any:
    if isinstance(domain, Categorical):
        return trial.suggest_categorical(name, domain.categories)
    log = isinstance(domain.get_sampler(), LogUniform)
    if isinstance(domain, Integer):
        return trial.suggest_int(name, domain.lower, domain.upper - 1, log=log)
    return trial.suggest_float(name, domain.lower, domain.upper, log=log)
