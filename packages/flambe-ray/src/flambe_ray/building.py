"""A stage's scheduler and its searches, built from the config with what the stage already says."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from flambe.build.builder import Builder, Surroundings
from flambe.errors import FlambeError, RunError
from flambe.language import nodes
from flambe.language.links import LinkPath
from flambe.language.nodes import Entry, Scalar
from flambe.registry.registry import Registry
from flambe.trials.protocol import Setting, StageBrief
from flambe.variants.search import Search
from flambe.variants.space import StageSpace
from flambe_ray.scheduling import METRIC, SCORE, TIME, StageScheduler
from flambe_ray.search import RandomSearch, Space, TuneSearch

_SIZED = {"HyperBandScheduler": "flambe_ray.hyperband:SizedHyperBand"}
_TALKATIVE = ("optuna", "hyperopt", "ax", "nevergrad", "ray.tune.search")
_SEEDS = ("seed", "random_state", "random_state_seed")
_LATER = ("PB2", "PopulationBasedTraining", "PopulationBasedTrainingReplay", "ResourceChangingScheduler")
"""Schedulers that change a trial while it runs, which trials do not let them yet."""


def schedulers_of(setting: Setting, registry: Registry) -> dict[str, StageScheduler]:
    """The schedulers that the config asks for, by stage.

    Raises:
        RunError: a scheduler cannot be used on its stage.
    """
    made = {}
    for stage, brief in setting.stages.items():
        if brief.scheduler is not None:
            made[stage] = StageScheduler(_scheduler(stage, brief, setting, registry))
    return made


def search_of(setting: Setting, registry: Registry, space: StageSpace, number: int) -> Search:
    """The search of a stage, as the config asks for it; `number` tells those of one stage apart.

    Raises:
        RunError: the algorithm cannot search this space.
    """
    stage = space.stage
    brief = setting.stages[stage]
    plan = _Plan(registry, setting, path=("search", stage), node=brief.search)
    dimensions = Space(stage, space.dimensions)
    seed = int.from_bytes(blake2b(f"{setting.seed} {stage} {number}".encode(), digest_size=4).digest(), "big")
    if plan.name == "BasicVariantGenerator":
        return RandomSearch(dimensions, seed)
    if not dimensions.domains:
        raise RunError(f"search.{stage}: the stage has nothing to search: no option and no distribution")
    added = _added(plan.name, brief.max_steps, plan.given)
    added |= {name: seed for name in _SEEDS if name not in plan.given}
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)
    if plan.name == "OptunaSearch":
        import optuna  # sets up its own logger, which would talk to the terminal

        optuna.logging.set_verbosity(optuna.logging.WARNING)
    asked = plan.name == "OptunaSearch" and dimensions.conditional and "space" not in plan.given
    searcher = plan.build({**added, "space": dimensions.ask} if asked else added, without={"num_samples"})
    if not asked and not searcher.set_search_properties(None, None, dimensions.domains):
        raise RunError(f"search.{stage}: leave out 'space', it comes from the options of the stage")
    return TuneSearch(searcher, dimensions)


def _scheduler(stage: str, brief: StageBrief, setting: Setting, registry: Registry) -> Any:
    plan = _Plan(registry, setting, path=("schedulers", stage), node=brief.scheduler)
    if plan.name in _LATER:
        raise RunError(f"schedulers.{stage}: {plan.name} changes running trials, which does not work yet")
    added = _added(plan.name, brief.max_steps, plan.given)
    if "max_t" in plan.parameters and "max_t" not in plan.given and "max_t" not in added:
        raise RunError(
            f"schedulers.{stage}: give max_t, the most steps of a trial; stage {stage} has no max_steps"
        )
    return plan.build(added)


class _Plan:
    """How an object of Tune is to be built.

    Attributes:
        name: The name of its class.
        given: The arguments that the config gives.
    """

    def __init__(self, registry: Registry, setting: Setting, *, path: tuple[str, str], node: Any) -> None:
        assert isinstance(node, nodes.Build)
        self._registry, self._setting, self._path, self._node = registry, setting, path, node
        target = registry.resolve(node.tag)
        self.name = str(getattr(target.value, "__name__", ""))
        from_ray = getattr(target.value, "__module__", "").startswith("ray.")
        self._tag = _SIZED.get(self.name, node.tag) if from_ray else node.tag
        signature = target.signature()
        self.parameters = tuple(signature.parameters) if signature is not None else ()
        self._own = _by_name(node, self.parameters)
        self.given = {str(entry.key) for entry in self._own}

    def build(self, added: Mapping[str, Any], *, without: Collection[str] = ()) -> Any:
        """The object, with those of `added` that its class takes."""
        links = {name: value for name, value in added.items() if name in self.parameters}
        own = [entry for entry in self._own if entry.key not in without]
        new = [Entry(name, Scalar(value)) for name, value in links.items()]
        builder = Builder(
            self._registry,
            stage=self._path[1],
            outside=_nothing,
            surroundings=Surroundings(secrets=self._setting.secrets),
            path=self._path,
        )
        return builder.build(replace(self._node, tag=self._tag, arguments=nodes.Mapping((*own, *new))))


def _added(name: str, max_steps: int | None, given: Collection[str]) -> dict[str, Any]:
    """What the stage says that the config does not."""
    added: dict[str, Any] = {"time_attr": TIME}
    if max_steps is not None:
        added["max_t"] = max_steps
        if name == "MedianStoppingRule":  # Ray's default are 60 seconds
            added["grace_period"] = max(1, max_steps // 10)
    if "metric" not in given and "mode" not in given:
        added |= {"metric": SCORE, "mode": "max"}
    elif "metric" not in given:
        added["metric"] = METRIC
    elif "mode" not in given:
        added["mode"] = "max"
    return {key: value for key, value in added.items() if key not in given}


def _by_name(node: nodes.Build, parameters: tuple[str, ...]) -> list[Entry]:
    """The node's arguments, those by position under the names of their parameters."""
    match node.arguments:
        case nodes.Mapping(entries=entries):
            return list(entries)
        case nodes.Sequence(items=items):
            return [Entry(name, item) for name, item in zip(parameters, items, strict=False)]
        case None:
            return []
        case other:
            return [Entry(parameters[0], other)]


def _nothing(path: LinkPath) -> Any:
    raise FlambeError(f"{path}: a scheduler cannot link to a stage")
