"""Objects of Tune, built from the config with what the stage already says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from flambe.build.builder import Builder, Surroundings
from flambe.errors import FlambeError, RunError
from flambe.language import nodes
from flambe.language.links import LinkPath
from flambe.language.nodes import Entry, Scalar
from flambe.language.walk import Path
from flambe.registry.registry import Registry
from flambe.trials.protocol import Setting
from flambe_ray.scheduling import METRIC, SCORE, TIME

_BETTER = {
    "HyperBandForBOHB": "flambe_ray.hyperband:BOHBHyperBand",
    "HyperBandScheduler": "flambe_ray.hyperband:SizedHyperBand",
    "AxSearch": "flambe_ray.mended_ax:MendedAxSearch",
    "ZOOptSearch": "flambe_ray.mended_zoopt:MendedZOOptSearch",
}
"""Classes of Ray that we have to put right, and what is built instead."""


class Planned:
    """How an object of Tune is to be built.

    Attributes:
        name: The name of its class.
        own: The arguments that the config gives, each under the name of its parameter.
        given: The names of these.
        parameters: The names of all parameters.
        key: The config path of the object, such as `search.train`.
    """

    def __init__(self, registry: Registry, setting: Setting, *, path: tuple[str, str], node: Any) -> None:
        assert isinstance(node, nodes.Build)
        self._registry, self._setting, self._path, self._node = registry, setting, path, node
        target = registry.resolve(node.tag)
        self.key = ".".join(path)
        self.name = str(getattr(target.value, "__name__", ""))
        from_ray = getattr(target.value, "__module__", "").startswith("ray.")
        self._tag = _BETTER.get(self.name, node.tag) if from_ray else node.tag
        signature = target.signature()
        self.parameters = tuple(signature.parameters) if signature is not None else ()
        self.own = _by_name(node, self.parameters, key=self.key, name=self.name)
        self.given = {str(entry.key) for entry in self.own}

    def build(self, added: Mapping[str, Any], *, without: Collection[str] = ()) -> Any:
        """The object, with its own arguments but those in `without`, and with those of `added`."""
        own = [entry for entry in self.own if entry.key not in without]
        new = [Entry(name, Scalar(value)) for name, value in added.items()]
        arguments = nodes.Mapping((*own, *new))
        return self._builder(self._path).build(replace(self._node, tag=self._tag, arguments=arguments))

    def value(self, name: str) -> Any:
        """What the config gives for an argument."""
        (node,) = (entry.value for entry in self.own if entry.key == name)
        return self._builder((*self._path, name)).build(node)

    def _builder(self, path: Path) -> Builder:
        return Builder(
            self._registry,
            stage=self._path[1],
            outside=_nothing,
            surroundings=Surroundings(secrets=self._setting.secrets),
            path=path,
        )

    def from_the_stage(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """What the stage says that the config does not, as far as the class takes it."""
        added: dict[str, Any] = {"time_attr": TIME, **more}
        if "metric" not in self.given and "mode" not in self.given:
            added |= {"metric": SCORE, "mode": "max"}
        elif "metric" not in self.given:
            added["metric"] = METRIC
        elif "mode" not in self.given:
            added["mode"] = "max"
        return {
            name: value for name, value in added.items() if name in self.parameters and name not in self.given
        }


def _by_name(node: nodes.Build, parameters: tuple[str, ...], *, key: str, name: str) -> list[Entry]:
    """The node's arguments, those by position under the names of their parameters."""
    match node.arguments:
        case nodes.Mapping(entries=entries):
            return list(entries)
        case nodes.Sequence(items=items):
            if len(items) > len(parameters):
                raise RunError(
                    f"{key}: {name} takes {len(parameters)} arguments by place, but {len(items)} are given; "
                    f"they are {', '.join(parameters)}"
                )
            return [Entry(parameter, item) for parameter, item in zip(parameters, items, strict=False)]
        case None:
            return []
        case other:
            return [Entry(parameters[0], other)]


def _nothing(path: LinkPath) -> Any:
    raise FlambeError(f"{path}: a scheduler or a search cannot link to a stage")
