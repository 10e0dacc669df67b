"""What plugins warn of: stages whose scheduler or search is of little use to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from flambe.check.annotations import alternatives, class_of
from flambe.check.knowledge import Knowledge
from flambe.check.values import Possible, Typed
from flambe.language import nodes
from flambe.language.links import Attribute
from flambe.language.nodes import Build, Entry, Node

_MAX_STEPS = Attribute("max_steps")


@dataclass(frozen=True, slots=True)
class StageUnderCheck:
    """A stage that has a scheduler or a search.

    Attributes:
        scheduler: The class of its scheduler; None if it has none.
        search: The class of its search algorithm; None if it has none.
        steps: Whether its values may have a method `step`; if not, a trial is one step.
        max_steps: The most steps that a trial takes, where the arguments tell.
    """

    scheduler: type | None = None
    search: type | None = None
    steps: bool = True
    max_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning about the stage's entry under `key`: `search` or `schedulers`."""

    key: str
    message: str


StageCheck: TypeAlias = Callable[[str, StageUnderCheck], Iterable[Advice]]
"""Given a stage's name and what is known of it, what to warn of."""


def stages_under_check(
    keys: nodes.Mapping, stages: Mapping[str, Entry], knowledge: Knowledge
) -> Iterator[tuple[str, StageUnderCheck]]:
    """The stages that have a scheduler or a search, with what can be known without building them."""
    schedulers, searches = _by_stage(keys, "schedulers"), _by_stage(keys, "search")
    for name, entry in stages.items():
        if name in schedulers or name in searches:
            possible = knowledge.possible(entry.value)
            yield (
                name,
                StageUnderCheck(
                    scheduler=_class(schedulers.get(name), knowledge),
                    search=_class(searches.get(name), knowledge),
                    steps=any(map(_may_step, possible)),
                    max_steps=_max_steps(possible, knowledge),
                ),
            )


def _by_stage(keys: nodes.Mapping, key: str) -> Mapping[str, Node]:
    found = keys.get(key)
    entries = found.entries if isinstance(found, nodes.Mapping) else ()
    return {str(entry.key): entry.value for entry in entries}


def _class(node: Node | None, knowledge: Knowledge) -> type | None:
    target = knowledge.tags.resolve(node.tag).target if isinstance(node, Build) else None
    return target if isinstance(target, type) else None


def _may_step(possible: Possible) -> bool:
    value = possible.value
    if not isinstance(value, Typed):
        return not possible.certain()
    known = alternatives(value.annotation)
    cls = class_of(known[0]) if known is not None and len(known) == 1 else None
    if cls is None or not value.exact or not possible.certain():
        return True
    return hasattr(cls, "step") or hasattr(cls, "__getattr__")


def _max_steps(possible: Iterable[Possible], knowledge: Knowledge) -> int | None:
    """The largest `max_steps` of what is built, or None where one is not known."""
    most: list[int] = []
    for each in possible:
        build = each.value.build if isinstance(each.value, Typed) else None
        signature = knowledge.signature(build) if build is not None else None
        if build is None or signature is None or signature.get(_MAX_STEPS.name) is None:
            return None
        for given in knowledge.take(each, _MAX_STEPS):
            value = given.value
            if not isinstance(value, nodes.Scalar) or not isinstance(value.value, int):
                return None
            most.append(value.value)
    return max(most, default=None)
