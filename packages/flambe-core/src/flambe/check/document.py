"""`check`: everything that is wrong with a document, all at once, without building anything."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from flambe.check.advice import stages_under_check
from flambe.check.experiment import KEYS, Complaint, Key, Stages, judge, stage_name_fault
from flambe.check.knowledge import Knowledge
from flambe.check.links import Scope
from flambe.check.nearest import did_you_mean, nearest
from flambe.check.objects import ObjectCheck, Outside, Rules
from flambe.check.ranking import without_metric
from flambe.check.tags import Tags, extension_fault
from flambe.errors import Problem
from flambe.language import nodes
from flambe.language.nodes import Build, Entry, Node
from flambe.language.walk import Path, format_path

if TYPE_CHECKING:
    from flambe.language.read import Document
    from flambe.registry.registry import Registry

EXPERIMENT = "Experiment"
_FROM_THE_STAGE = frozenset({"metric", "mode", "max_t", "space"})
_TO_CHOOSE_FROM = frozenset({"hyperparam_mutations", "hyperparam_bounds"})
"""Arguments of schedulers that change running trials: values by their path in the stage."""

_KEY_RULES = {
    "resources": Rules(options=False, cluster_paths=True),
    "search": Rules(options=False, supplied=_FROM_THE_STAGE, ignored=frozenset({"num_samples"})),
    "schedulers": Rules(options=False, supplied=_FROM_THE_STAGE, open_to=_TO_CHOOSE_FROM),
}


def check(
    document: Document,
    registry: Registry,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Every problem of `document`, in document order; empty for a config that can be run.

    Nothing is built, but the modules that its tags name are imported. Secrets are only looked up if they
    are given; `environment` is the process's own unless given.
    """
    outside = Outside(os.environ if environment is None else environment, secrets)
    return _DocumentCheck(document, registry, outside).run()


class _DocumentCheck:
    def __init__(self, document: Document, registry: Registry, outside: Outside) -> None:
        self._document = document
        self._outside = outside
        self._problems: list[Problem] = list(document.problems)
        self._seen: set[int] = set()
        broken = dict(self._broken_extensions())
        self._knowledge = Knowledge(Tags(registry.with_header(document.header), frozenset(broken)))
        self._problems += broken.values()
        self._stages: dict[str, Entry] = {}
        self._resources: tuple[str, ...] = ()

    def run(self) -> list[Problem]:
        root = self._document.root
        keys = root.arguments if isinstance(root, Build) and root.tag == EXPERIMENT else root
        if isinstance(keys, nodes.Mapping):
            self._experiment(keys)
        elif isinstance(root, Build) and root.tag != EXPERIMENT:
            self._tree(root, (), Rules(options=False))
        elif not isinstance(root, nodes.Unreadable):
            self._say("an experiment needs the keys 'name' and 'pipeline'", root)
        return self._in_order()

    def _broken_extensions(self) -> Iterator[tuple[str, Problem]]:
        """The aliases of the header that cannot be imported, each with what to say."""
        for entry in self._document.header.entries:
            fault = extension_fault(entry)
            if fault is not None:
                yield entry.alias, Problem(fault, entry.position, entry.alias)

    def _experiment(self, keys: nodes.Mapping) -> None:
        self._read_names(keys)
        table = {key.name: key for key in KEYS}
        unknown = [entry for entry in keys.entries if entry.key not in table]
        for entry in unknown:
            message = f"an experiment has no key {entry.key!r}{did_you_mean(entry.key, table)}"
            self._add(message, entry, (str(entry.key),))
        slips = [nearest(entry.key, table) for entry in unknown]
        for key in KEYS:
            if key.required and keys.get(key.name) is None and key.name not in slips:
                self._say(f"an experiment needs the key {key.name!r}", keys)
        self._pipeline()
        self._tops(keys, table)
        if all(problem.severity != "error" for problem in self._problems):
            self._advise(keys)

    def _read_names(self, keys: nodes.Mapping) -> None:
        resources, pipeline = keys.get("resources"), keys.get("pipeline")
        if isinstance(resources, nodes.Mapping):
            self._resources = tuple(str(entry.key) for entry in resources.entries)
            for entry in resources.entries:
                self._name(entry, ("resources", str(entry.key)))
        if isinstance(pipeline, nodes.Mapping):
            for entry in pipeline.entries:
                self._stages.setdefault(str(entry.key), entry)
                self._name(entry, ("pipeline", str(entry.key)), self._resources)

    def _name(self, entry: Entry, path: Path, taken: tuple[str, ...] = ()) -> None:
        fault = stage_name_fault(entry.key, taken)
        if fault is not None:
            self._add(fault, entry, path)

    def _pipeline(self) -> None:
        for name, entry in self._stages.items():
            self._tree(entry.value, ("pipeline", name), Rules(), stage=name)

    def _tops(self, keys: nodes.Mapping, table: Mapping[str, Key]) -> None:
        without = without_metric(self._stages, self._knowledge)
        stages = Stages(tuple(self._stages), without, self._resources)
        for entry in keys.entries:
            key = table.get(str(entry.key))
            if key is None:
                continue
            self._complain(key.name, judge(key, entry.value, stages))
            if key.name != "pipeline":
                self._tree(entry.value, (key.name,), _KEY_RULES.get(key.name, Rules(options=False)))

    def _advise(self, keys: nodes.Mapping) -> None:
        """What plugins warn of in a config that is right."""
        for stage, found in stages_under_check(keys, self._stages, self._knowledge):
            for check in self._knowledge.tags.registry.checks():
                for advice in check(stage, found):
                    node = _entry(keys, advice.key, stage)
                    path = format_path((advice.key, stage))
                    self._problems.append(Problem(advice.message, node.position, path, "warning"))

    def _complain(self, name: str, complaints: Iterable[Complaint]) -> None:
        for complaint in complaints:
            self._say(complaint.message, complaint.node, (name, *complaint.steps))

    def _tree(self, node: Node, path: Path, rules: Rules, stage: str | None = None) -> None:
        scope = Scope(self._knowledge, self._stages, self._resources, stage)
        ObjectCheck(scope, self._outside, self._problems.append, self._seen, rules).visit(node, path)

    def _add(self, message: str, entry: Entry, path: Path) -> None:
        position = entry.position or entry.value.position
        self._problems.append(Problem(message, position, format_path(path)))

    def _say(self, message: str, node: Node, path: Path = ()) -> None:
        self._problems.append(Problem(message, node.position, format_path(path)))

    def _in_order(self) -> list[Problem]:
        ordered = sorted(dict.fromkeys(self._problems), key=self._place)
        return [self._with_source(problem) for problem in ordered]

    def _place(self, problem: Problem) -> tuple[bool, str, int, int]:
        at = problem.position
        if at is None:
            return False, "", 0, 0
        return at.file != self._document.file, at.file, at.line, at.column

    def _with_source(self, problem: Problem) -> Problem:
        if problem.source is not None or problem.position is None:
            return problem
        return replace(problem, source=self._document.line_at(problem.position))


def _entry(keys: nodes.Mapping, key: str, stage: str) -> Node:
    """What the experiment's key has for a stage."""
    named = keys.get(key)
    found = named.get(stage) if isinstance(named, nodes.Mapping) else None
    return found or keys
