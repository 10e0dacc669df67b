"""What an experiment's config says, as values: read from nodes that `flambe check` found right."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flambe.language import nodes
from flambe.language.durations import seconds
from flambe.language.nodes import Node

DEFAULT_SAVE_PATH = "flambe-output"


@dataclass(frozen=True)
class Settings:
    """An experiment's keys. See `flambe.check.experiment` for what each means."""

    name: str
    pipeline: Mapping[str, Node]
    resources: Mapping[str, Node] = field(default_factory=dict)
    search: Mapping[str, Node] = field(default_factory=dict)
    schedulers: Mapping[str, Node] = field(default_factory=dict)
    reduce: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, Any] = field(default_factory=dict)
    save_path: str = DEFAULT_SAVE_PATH
    resume: bool | tuple[str, ...] = False
    seed: int = 0
    num_samples: int | Mapping[str, int] = 1
    max_failures: int = 1
    stop_on_failure: bool = False
    trial_timeout: float | str | None = None
    merge_plot: bool = True
    manager: Node | None = None

    def devices_of(self, stage: str) -> dict[str, float] | None:
        """What each trial of `stage` asks for, or None where the config leaves it open."""
        given = self.devices.get(stage) if _per_stage(self.devices) else self.devices
        return {name: float(share) for name, share in given.items()} if given else None

    @property
    def trial_timeout_s(self) -> float | None:
        """The most seconds that a trial may go without getting anywhere, if there is such a limit."""
        return None if self.trial_timeout is None else seconds(self.trial_timeout)

    def samples_of(self, stage: str) -> int:
        """How many joint draws `stage` makes from its distributions."""
        return self.num_samples if isinstance(self.num_samples, int) else self.num_samples.get(stage, 1)

    def extended(self, extensions: Mapping[str, int]) -> Settings:
        """The settings with so many draws, or samples of a search, more for these stages."""
        samples = {stage: self.samples_of(stage) + extensions.get(stage, 0) for stage in self.pipeline}
        search = {stage: _with_more(node, extensions.get(stage, 0)) for stage, node in self.search.items()}
        return replace(self, num_samples=samples, search=search)

    def searched(self) -> dict[str, int]:
        """For each stage with a search, how many variants it tries."""
        return {
            stage: search_samples(node, otherwise=self.samples_of(stage))
            for stage, node in self.search.items()
        }


def search_samples(search: Node, *, otherwise: int) -> int:
    """The `num_samples` of a search algorithm's arguments."""
    arguments = search.arguments if isinstance(search, nodes.Build) else None
    given = arguments.get("num_samples") if isinstance(arguments, nodes.Mapping) else None
    return given.value if isinstance(given, nodes.Scalar) and isinstance(given.value, int) else otherwise


def _with_more(search: Node, samples: int) -> Node:
    """The search with so many samples more, where it says how many."""
    if not (isinstance(search, nodes.Build) and isinstance(search.arguments, nodes.Mapping)):
        return search
    entries = tuple(
        replace(entry, value=replace(entry.value, value=entry.value.value + samples))
        if entry.key == "num_samples"
        and isinstance(entry.value, nodes.Scalar)
        and isinstance(entry.value.value, int)
        else entry
        for entry in search.arguments.entries
    )
    return replace(search, arguments=replace(search.arguments, entries=entries))


def settings_from(root: Node) -> Settings:
    """The settings that an experiment's root node (`!Experiment`, or a mapping without a tag) writes."""
    arguments = root.arguments if isinstance(root, nodes.Build) else root
    assert isinstance(arguments, nodes.Mapping)
    given: dict[str, Any] = {}
    for entry in arguments.entries:
        name = str(entry.key)
        if isinstance(entry.value, nodes.Scalar) and entry.value.value is None:
            continue
        if name == "manager":
            given[name] = entry.value
        elif name in {"pipeline", "resources", "search", "schedulers"}:
            given[name] = _named(entry.value)
        else:
            given[name] = plain(entry.value)
    if isinstance(given.get("resume"), str):
        given["resume"] = (given["resume"],)
    elif isinstance(given.get("resume"), list):
        given["resume"] = tuple(given["resume"])
    if "save_path" in given:  # no shell has done it, unlike on a command line
        given["save_path"] = os.path.expanduser(given["save_path"])
    return Settings(**given)


def plain(node: Node) -> Any:
    """The Python value of a node without tags."""
    match node:
        case nodes.Scalar(value=value):
            return value
        case nodes.Sequence(items=items):
            return [plain(item) for item in items]
        case nodes.Mapping(entries=entries):
            return {entry.key: plain(entry.value) for entry in entries}
    raise TypeError(f"a plain value was expected, not {type(node).__name__}")


def _named(node: Node) -> dict[str, Node]:
    assert isinstance(node, nodes.Mapping)
    return {str(entry.key): entry.value for entry in node.entries}


def _per_stage(devices: Mapping[str, Any]) -> bool:
    return any(isinstance(share, Mapping) for share in devices.values())
