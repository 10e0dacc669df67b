"""`Exporter`: objects saved together."""

from __future__ import annotations

from typing import Any

from flambe.component import Component


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
        taken = sorted(name for name in objects if name == "objects" or hasattr(type(self), name))
        if taken:
            own = ", ".join(taken)
            raise ValueError(f"an Exporter has attributes of its own called {own}; rename the objects")
        self.objects = objects
        for name, value in objects.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(self.__dict__.get("objects", ())) or "nothing"
        raise AttributeError(f"this Exporter has no {name!r}; it holds {known}")
