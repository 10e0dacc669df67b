"""What comes before a run: checking, the stages' spaces, what an earlier run left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from flambe.check import check
from flambe.check.render import text
from flambe.errors import ConfigError, RunError
from flambe.experiment.fingerprint import versions_of
from flambe.experiment.journal import TrialRecord
from flambe.experiment.plan import LIMIT, Plan
from flambe.experiment.reuse import Reuse
from flambe.experiment.settings import Settings
from flambe.language import nodes
from flambe.language.read import Document
from flambe.language.walk import walk
from flambe.registry.extensions import ensure
from flambe.registry.registry import Registry
from flambe.trials.protocol import TrialKey
from flambe.variants.space import StageSpace

_log = logging.getLogger("flambe")


def prepare(
    document: Document,
    *,
    install: bool = False,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Registry:
    """The registry for a config, once the config was checked.

    Raises:
        ConfigError: with everything that is wrong, if anything is.
    """
    if install:
        ensure(document.header, install=True, progress=progress)
    registry = Registry.load().with_header(document.header)
    problems = check(document, registry, secrets=secrets)
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    for problem in problems:
        _log.warning("%s", text([problem]))
    return registry


def stage_spaces(settings: Settings) -> dict[str, StageSpace]:
    """Each stage's variants as a space, in the order of the pipeline."""
    made: dict[str, StageSpace] = {}
    for name, node in settings.pipeline.items():
        made[name] = StageSpace(
            name, node, stages=tuple(made), seed=settings.seed, num_samples=settings.samples_of(name)
        )
    return made


def plan_of(settings: Settings, winners: Mapping[str, Sequence[str]]) -> Plan:
    """The plan of the pipeline; `winners` flow on where an earlier run settled a `reduce`."""
    return Plan.of(
        settings.pipeline,
        seed=settings.seed,
        num_samples=settings.num_samples,
        reduce=settings.reduce,
        search=settings.search,
        winners=winners,
    )


def refuse_too_many(settings: Settings) -> None:
    """A run keeps a record of each trial: more than can be listed cannot be run either."""
    for stage in plan_of(settings, {}).stages.values():
        if stage.many:
            raise RunError(
                f"stage {stage.name} has {stage.count} variants, and a run holds at most {LIMIT:,}: "
                "try fewer options, or draw from distributions with num_samples"
            )


def reuse_of(
    settings: Settings,
    earlier: Mapping[TrialKey, TrialRecord],
    registry: Registry,
    resources: Mapping[str, str],
) -> Reuse:
    """What decides which of an earlier run's trials still fit."""
    return Reuse(
        settings=settings,
        earlier=earlier,
        versions={name: versions_of(node, registry) for name, node in settings.pipeline.items()},
        resources={name: _linked_resources(node, resources) for name, node in settings.pipeline.items()},
        keep=frozenset(settings.resume) if isinstance(settings.resume, tuple) else frozenset(),
    )


def _linked_resources(node: nodes.Node, resources: Mapping[str, str]) -> dict[str, str]:
    roots = {found.path.root for _, found in walk(node) if isinstance(found, nodes.Link)}
    return {name: location for name, location in resources.items() if name in roots}
