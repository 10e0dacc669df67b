"""Which stages cannot be ranked: those whose values certainly have no `metric` method."""

from __future__ import annotations

from collections.abc import Mapping

from flambe.check.annotations import alternatives, class_of
from flambe.check.knowledge import Knowledge
from flambe.check.types import show
from flambe.check.values import Possible, Typed
from flambe.language.nodes import Entry


def without_metric(stages: Mapping[str, Entry], knowledge: Knowledge) -> dict[str, str]:
    """For each such stage, what to say about it."""
    found: dict[str, str] = {}
    for name, entry in stages.items():
        for possible in knowledge.possible(entry.value):
            if not _may_have_metric(possible) and possible.certain():
                found[name] = f"stage {name!r} is {show(possible.value)}, which has no metric() to rank by"
    return found


def _may_have_metric(possible: Possible) -> bool:
    value = possible.value
    if not isinstance(value, Typed):
        return False
    known = alternatives(value.annotation)
    cls = class_of(known[0]) if known is not None and len(known) == 1 else None
    if cls is None or not value.exact:
        return True
    return hasattr(cls, "metric") or hasattr(cls, "__getattr__")
