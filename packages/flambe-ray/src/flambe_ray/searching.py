"""The search of a stage, built from the config with what the stage already says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from typing import Any, TypeAlias

from ray.tune.search import Searcher

from flambe.check.nearest import did_you_mean
from flambe.errors import RunError
from flambe.registry.registry import Registry
from flambe.trials.protocol import Setting
from flambe.variants.search import Search
from flambe.variants.space import StageSpace
from flambe_ray.coding import EVERYTHING, INTEGERS, OPTIONS
from flambe_ray.randomness import Randomness
from flambe_ray.scheduling import METRIC, SCORE
from flambe_ray.search import Points, RandomSearch, Space, TuneSearch
from flambe_ray.tune_objects import Planned

_TALKATIVE = ("ax.", "hpbandster", "hyperopt", "nevergrad", "optuna", "ray.tune.search")
_POINTS, _REWARDS = "points_to_evaluate", "evaluated_rewards"
_WORKERS = 2
"""With one, Nevergrad may choose an optimizer that blocks when two trials run at once."""
_LEAST_FOR_ZOOPT = 4
"""With a smaller budget it ends the process."""


Needs: TypeAlias = Callable[[Planned, "int | None"], Mapping[str, Any]]


def _nothing(_plan: Planned, _samples: int | None) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class _Algorithm:
    """What is particular to an algorithm.

    Attributes:
        knows: What it can search beside numbers between two others.
        seed: The argument that takes its seed; those without draw from the process's generators.
        fails: Whether it can be told of failed trials.
        needs: More arguments, made of what the config gives and the number of samples.
    """

    knows: frozenset[str] = EVERYTHING
    seed: str | None = None
    fails: bool = True
    needs: Needs = _nothing


def _for_nevergrad(plan: Planned, samples: int | None) -> Mapping[str, Any]:
    """Nevergrad's own choice for the budget, unless an optimizer is named."""
    optimizers: Any = import_module("nevergrad").optimizers
    named = plan.value("optimizer") if "optimizer" in plan.given else "NGOpt"
    if isinstance(named, str):
        if named not in optimizers.registry:
            hint = did_you_mean(named, list(optimizers.registry))
            raise RunError(f"{plan.key}.optimizer: Nevergrad has no optimizer {named!r}{hint}")
        named = optimizers.registry[named]
    if getattr(named, "no_parallelization", False):
        raise RunError(
            f"{plan.key}.optimizer: it must know what came of each trial before it suggests the next"
        )
    return {"optimizer": named, "optimizer_kwargs": {"budget": samples, "num_workers": _WORKERS}}


def _for_zoopt(_plan: Planned, samples: int | None) -> Mapping[str, Any]:
    return {"budget": max(_LEAST_FOR_ZOOPT, samples or 0)}


_ALGORITHMS: Mapping[str, _Algorithm] = {
    "AxSearch": _Algorithm(seed="random_seed", fails=False),
    "BayesOptSearch": _Algorithm(knows=frozenset(), seed="random_state", fails=False),
    "HEBOSearch": _Algorithm(seed="random_state_seed"),
    "HyperOptSearch": _Algorithm(seed="random_state_seed"),
    "NevergradSearch": _Algorithm(needs=_for_nevergrad),
    "OptunaSearch": _Algorithm(seed="seed"),
    "TuneBOHB": _Algorithm(seed="seed"),
    "ZOOptSearch": _Algorithm(knows=frozenset({INTEGERS, OPTIONS}), fails=False, needs=_for_zoopt),
}


def check_searches(setting: Setting, registry: Registry) -> None:
    """Refuses, before anything runs, searches that look at what they are never told.

    Raises:
        RunError: the config names such a metric.
    """
    for stage, brief in setting.stages.items():
        if brief.search is None:
            continue
        plan = Planned(registry, setting, path=("search", stage), node=brief.search)
        if "metric" in plan.given and (named := plan.value("metric")) not in (METRIC, SCORE):
            raise RunError(
                f"{plan.key}.metric: a search is told what the stage's metric() returns, not {named!r}; "
                "leave it out"
            )


def search_of(setting: Setting, registry: Registry, space: StageSpace, number: int) -> Search:
    """The search of a stage, as the config asks for it; `number` tells those of one stage apart.

    Raises:
        RunError: the algorithm cannot search this space, or lacks an argument.
    """
    brief = setting.stages[space.stage]
    plan = Planned(registry, setting, path=("search", space.stage), node=brief.search)
    algorithm = _ALGORITHMS.get(plan.name, _Algorithm())
    dimensions = Space(space.stage, space.dimensions, algorithm.knows)
    text = f"{setting.seed} {space.stage} {number}"
    seed = int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") >> 1
    if plan.name == "BasicVariantGenerator":
        return RandomSearch(dimensions, seed)
    if not dimensions.domains:
        raise RunError(f"{plan.key}: the stage has nothing to search: no option and no distribution")
    added = plan.from_the_stage({})
    if algorithm.seed is not None:
        added[algorithm.seed] = plan.value(algorithm.seed) if algorithm.seed in plan.given else seed
    _be_quiet(plan.name)
    made = _Maker(plan, dimensions, {**algorithm.needs(plan, brief.samples), **added}, algorithm.seed)
    return TuneSearch(made.begin, dimensions, Randomness(seed), fails=algorithm.fails)


class _Maker:
    """Makes a search algorithm, as often as it has to begin."""

    def __init__(self, plan: Planned, space: Space, added: Mapping[str, Any], seed: str | None) -> None:
        self._plan = plan
        self._space = space
        self._added = added
        self._seed = seed
        self._asked = plan.name == "OptunaSearch" and space.conditional and "space" not in plan.given
        given = plan.value(_POINTS) if _POINTS in plan.given else None
        self._points = [self._filled(space.point(point, plan.key)) for point in given or ()]

    def begin(self, earlier: Points) -> Searcher:
        """The algorithm; what it suggests first is `earlier`, then what the config wants to be tried."""
        points = [*map(self._filled, earlier), *self._points[len(earlier) :]]
        added = {**self._added, **({_POINTS: points} if points else {})}
        if self._asked:
            added["space"] = self._space.ask
        if self._seed is not None and earlier and isinstance(added[self._seed], int):
            added[self._seed] += len(earlier)  # or it would draw what it has drawn once more
        without = {"num_samples", *added, *({_REWARDS} if earlier else ())}
        searcher: Searcher = self._plan.build(added, without=without)
        if not self._asked and not searcher.set_search_properties(None, None, self._space.domains):
            raise RunError(f"{self._plan.key}: leave out the search space, it comes from the stage's options")
        return searcher

    def _filled(self, point: Mapping[str, Any]) -> Mapping[str, Any]:
        return point if self._asked else self._space.complete(point)


def _be_quiet(algorithm: str) -> None:
    """Has the algorithms' packages keep to themselves what they tell of their work."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(_TALKATIVE):
            logging.getLogger(name).setLevel(logging.ERROR)
    if algorithm == "OptunaSearch":
        import optuna  # sets up its own logger, which would talk to the terminal

        optuna.logging.set_verbosity(optuna.logging.WARNING)
