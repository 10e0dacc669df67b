"""`Exporter`: objects saved together."""

from __future__ import annotations

from typing import Any

from flambe.component import Component

_OF_STAGES = frozenset({"step", "metric", "lower_is_better", "finish", "close", "change", "run"})
"""What a stage is asked for: objects of these names would be taken for its own."""


class Exporter(Component):
    """Groups objects, so that a stage saves them together under names: a model and what it needs, say.

    Each is an attribute. What is linked from another stage is saved there; `flambe export` copies it with the
    stage.

    Example:
        >>> from flambe.stages.exporter import Exporter
        >>> Exporter(model="a model", labels=["no", "yes"]).labels
        ['no', 'yes']
    """

    def __init__(self, **objects: Any) -> None:
        own = {"objects", *dir(type(self)), *_OF_STAGES}
        taken = ", ".join(sorted(own.intersection(objects)))
        if taken:
            raise ValueError(f"{taken} would be taken for the Exporter's own; call these objects otherwise")
        self.objects = objects
        for name, value in objects.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(self.__dict__.get("objects", ())) or "nothing"
        raise AttributeError(f"this Exporter has no {name!r}; it holds {known}")
