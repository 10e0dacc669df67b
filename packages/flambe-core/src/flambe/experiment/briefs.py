"""What executors are told of stages that have a scheduler or a search."""

from __future__ import annotations

from collections.abc import Iterator

from flambe.experiment.settings import Settings
from flambe.language import nodes
from flambe.language.nodes import Node
from flambe.registry.registry import Registry
from flambe.trials.protocol import StageBrief

_MAX_STEPS = "max_steps"


def briefs(settings: Settings, registry: Registry) -> dict[str, StageBrief]:
    """For each stage with a scheduler or a search, what its executor needs to know."""
    return {
        stage: StageBrief(
            scheduler=settings.schedulers.get(stage),
            search=settings.search.get(stage),
            max_steps=_max_steps(node, registry),
            samples=settings.searched().get(stage),
            node=node,
        )
        for stage, node in settings.pipeline.items()
        if stage in settings.schedulers or stage in settings.search
    }


def _max_steps(node: Node, registry: Registry) -> int | None:
    """The argument `max_steps` of what the stage builds, the largest if it is searched; else its default."""
    if not isinstance(node, nodes.Build):
        return None
    if isinstance(node.arguments, nodes.Mapping):
        for entry in node.arguments.entries:
            if entry.key == _MAX_STEPS:
                return max(_numbers(entry.value), default=None)
    signature = registry.resolve(node.tag).signature()
    parameter = None if signature is None else signature.parameters.get(_MAX_STEPS)
    default = None if parameter is None else parameter.default
    return default if isinstance(default, int) else None


def _numbers(node: Node) -> Iterator[int]:
    match node:
        case nodes.Scalar(value=int(number)):
            yield number
        case nodes.Grid(options=options) | nodes.Distribution(name="choice", arguments=options):
            for option in options:
                yield from _numbers(option)
