"""A stage's scheduler, built from the config with what the stage already says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from flambe.build.builder import Builder, Surroundings
from flambe.errors import FlambeError, RunError
from flambe.language import nodes
from flambe.language.links import LinkPath
from flambe.language.nodes import Entry, Scalar
from flambe.registry.registry import Registry
from flambe.trials.protocol import Setting, StageBrief
from flambe_ray.scheduling import METRIC, SCORE, TIME, StageScheduler

_SIZED = {"HyperBandScheduler": "flambe_ray.hyperband:SizedHyperBand"}
_LATER = ("PB2", "PopulationBasedTraining", "PopulationBasedTrainingReplay", "ResourceChangingScheduler")
"""Schedulers that change a trial while it runs, which trials do not let them yet."""


def schedulers_of(setting: Setting, registry: Registry) -> dict[str, StageScheduler]:
    """The schedulers that the config asks for, by stage.

    Raises:
        RunError: a scheduler cannot be used on its stage.
    """
    made = {}
    for stage, brief in setting.stages.items():
        if brief.search is not None:
            raise RunError(f"search.{stage}: search algorithms do not run yet; use grids and distributions")
        if brief.scheduler is not None:
            made[stage] = StageScheduler(_scheduler(stage, brief, setting, registry))
    return made


def _scheduler(stage: str, brief: StageBrief, setting: Setting, registry: Registry) -> Any:
    node, path = brief.scheduler, ("schedulers", stage)
    assert isinstance(node, nodes.Build)
    target = registry.resolve(node.tag)
    name = getattr(target.value, "__name__", "")
    if name in _LATER:
        raise RunError(f"schedulers.{stage}: {name} changes running trials, which does not work yet")
    signature = target.signature()
    parameters = tuple(signature.parameters) if signature is not None else ()
    given = _given(node, parameters)
    added = _added(name, brief.max_steps, given)
    if "max_t" in parameters and "max_t" not in given and "max_t" not in added:
        raise RunError(
            f"schedulers.{stage}: give max_t, the most steps of a trial; stage {stage} has no max_steps"
        )
    wanted = {key: value for key, value in added.items() if key in parameters}
    builder = Builder(
        registry,
        stage=stage,
        outside=_nothing,
        surroundings=Surroundings(secrets=setting.secrets),
        path=path,
    )
    from_ray = getattr(target.value, "__module__", "").startswith("ray.")
    tag = _SIZED.get(name, node.tag) if from_ray else node.tag
    return builder.build(replace(node, tag=tag, arguments=_with(node, parameters, wanted)))


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


def _given(node: nodes.Build, parameters: tuple[str, ...]) -> set[str]:
    match node.arguments:
        case nodes.Mapping(entries=entries):
            return {str(entry.key) for entry in entries}
        case nodes.Sequence(items=items):
            return set(parameters[: len(items)])
        case None:
            return set()
    return set(parameters[:1])


def _with(node: nodes.Build, parameters: tuple[str, ...], added: Mapping[str, Any]) -> nodes.Mapping:
    """The node's arguments by name, and what is added."""
    match node.arguments:
        case nodes.Mapping(entries=entries):
            own = list(entries)
        case nodes.Sequence(items=items):
            own = [Entry(name, item) for name, item in zip(parameters, items, strict=False)]
        case None:
            own = []
        case other:
            own = [Entry(parameters[0], other)]
    return nodes.Mapping((*own, *(Entry(name, Scalar(value)) for name, value in added.items())))


def _nothing(path: LinkPath) -> Any:
    raise FlambeError(f"{path}: a scheduler cannot link to a stage")
