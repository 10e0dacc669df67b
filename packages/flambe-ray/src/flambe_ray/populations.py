"""Populations, built from the config with what their stages already say."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flambe.check.changes import faults_of_change
from flambe.errors import CannotChangeError, RunError
from flambe.language import nodes
from flambe.language.nodes import Node
from flambe.registry.registry import Registry
from flambe.trials.changing import changed, places
from flambe.trials.protocol import Setting, StageBrief
from flambe_ray.mutations import bounds_of, flat, mutations_of
from flambe_ray.population import Population
from flambe_ray.tune_objects import Planned

POPULATIONS: Mapping[str, str] = MappingProxyType(
    {
        "PopulationBasedTraining": "hyperparam_mutations",
        "PB2": "hyperparam_bounds",
        "PopulationBasedTrainingReplay": "policy_file",
    }
)
"""Schedulers that change trials while they run, and the argument that says what of them."""

EXCHANGES = 10
"""How often trials take over from better ones, unless the config says when."""

_PLAIN = (nodes.Scalar, nodes.Grid, nodes.Draws, nodes.Distribution)


def population_of(
    stage: str, brief: StageBrief, setting: Setting, registry: Registry, plan: Planned
) -> Population:
    """The stage's population.

    Raises:
        RunError: the config names no argument that may change, or one that the stage cannot change.
    """
    logging.getLogger("ray.tune.schedulers").setLevel(logging.WARNING)
    argument = POPULATIONS[plan.name]
    key = f"schedulers.{stage}.{argument}"
    node = next((entry.value for entry in plan.own if entry.key == argument), None)
    if node is None:
        raise RunError(f"schedulers.{stage}: {plan.name} needs {argument}")
    if argument == "policy_file":
        scheduler = _replay(plan, stage)
        paths = list(scheduler.config)
    else:
        added, paths = _changing(plan, node, key, brief, stage)
        scheduler = plan.build(added, without={argument})
    _check(brief.node, paths, registry, key)
    if argument == "hyperparam_mutations":
        _check_types(brief.node, node, registry, key)
    text = f"{setting.seed} {stage} population"
    return Population(
        scheduler,
        paths=paths,
        registry=registry,
        seed=int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big"),
        policies=_policies(setting, stage),
    )


def _changing(
    plan: Planned, node: Node, key: str, brief: StageBrief, stage: str
) -> tuple[dict[str, Any], list[str]]:
    """What is added to the config's arguments, and the paths that may change."""
    more: dict[str, Any] = {"log_config": False}
    if brief.max_steps is not None:
        more["perturbation_interval"] = max(1, brief.max_steps // EXCHANGES)
    elif "perturbation_interval" not in plan.given:
        raise RunError(
            f"schedulers.{stage}: give perturbation_interval, the steps after which a trial may take over "
            f"from a better one; stage {stage} has no max_steps"
        )
    added = plan.from_the_stage(more)
    if plan.name == "PB2":
        bounds = bounds_of(node, key)
        return {**added, "hyperparam_bounds": bounds}, list(bounds)
    mutations = mutations_of(node, key)
    if "custom_explore_fn" not in plan.given:
        added["custom_explore_fn"] = lambda config: {
            path: mutations[path].fit(value) if path in mutations else value for path, value in config.items()
        }
    domains = {path: mutation.domain for path, mutation in mutations.items()}
    return {**added, "hyperparam_mutations": domains}, list(mutations)


def _replay(plan: Planned, stage: str) -> Any:
    try:
        scheduler = plan.build({})
    except ValueError as error:
        raise RunError(f"schedulers.{stage}.policy_file: {error}") from error
    if not scheduler.config:
        raise RunError(f"schedulers.{stage}.policy_file: {scheduler.policy_file} records no change")
    return scheduler


def _policies(setting: Setting, stage: str) -> Path | None:
    """Where Tune's own record of changes goes, if it is asked for: it writes to local files only."""
    return None if "://" in setting.folder else Path(os.path.abspath(setting.folder), "population", stage)


def _check(node: Node | None, paths: Collection[str], registry: Registry, key: str) -> None:
    """Refuse paths that lead nowhere, and stages of which nothing can change."""
    if node is None:
        return
    for built in _built(node):
        made = registry.resolve(built.tag).value
        if isinstance(made, type) and not callable(getattr(made, "change", None)):
            raise RunError(
                f"{key}: {made.__name__} has no method change(path, value), "
                "so nothing of it can change once it runs"
            )
    for path in paths:
        try:
            found = places(node, path, registry)
        except CannotChangeError as error:
            raise RunError(f"{key}: {error}") from error
        if any(place.node is not None and not isinstance(place.node, _PLAIN) for place in found):
            raise RunError(f"{key}: {path} is no plain value in the stage")


def _check_types(node: Node | None, mutations: Node, registry: Registry, key: str) -> None:
    """Refuse values of a wrong type."""
    if node is None:
        return
    for path, value in flat(mutations, key):
        options = nodes.Grid(value.items) if isinstance(value, nodes.Sequence) else value
        faults = faults_of_change(node, changed(node, {path: options}, registry), registry)
        if faults:
            raise RunError(f"{key}.{path}: {'; '.join(faults)}")


def _built(node: Node) -> Iterator[nodes.Build]:
    match node:
        case nodes.Build():
            yield node
        case nodes.Grid(options=options) | nodes.Distribution(name="choice", arguments=options):
            for option in options:
                yield from _built(option)
