"""`Component`: the base class that makes a user's class known by tag, linkable and savable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from flambe.language.links import LinkPath
from flambe.language.nodes import Build

T = TypeVar("T", bound=type)

ORIGIN = "__flambe_origin__"
ALIASES = "__flambe_aliases__"


@dataclass(slots=True)
class Origin:
    """How an object was made: what saving writes beside its state.

    `arguments` holds the live constructor arguments by name. `node` is the config it was built from,
    links kept as links; None for an object that Python code made. `path` is the link that leads to it:
    its stage, then the steps to it.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    node: Build | None = None
    path: LinkPath | None = None


class Component:
    """Inherit to use a class by tag, save it part by part and give it state of its own.

    A subclass in a module that the config's header names is `!alias.ClassName`, and `!ClassName` too.
    Set `flambe_version` to compare versions when a save is loaded.

    Example:
        >>> class Doubler(Component):
        ...     def __init__(self, size: int) -> None:
        ...         self.size = 2 * size
        >>> origin_of(Doubler(3)).arguments
        {'size': 3}
    """

    flambe_version: ClassVar[str | None] = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        object.__setattr__(made, ORIGIN, Origin(_named(cls, args, kwargs)))
        return made

    def custom_state(self) -> Mapping[str, Any] | None:
        """State to save beside what the object's framework saves: JSON values and arrays, by name."""
        return None

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `custom_state` returned."""

    def saved_arguments(self) -> Mapping[str, Any]:
        """Arguments that a save writes beside those given, or in their place, by name.

        For what a constructor or factory looked up elsewhere and a loaded copy must not look up again.
        """
        return {}


def origin_of(made: object) -> Origin | None:
    """How `made` was built, or None if neither a config nor `Component` built it."""
    origin = getattr(made, "__dict__", {}).get(ORIGIN)
    return origin if isinstance(origin, Origin) else None


def alias(name: str) -> Callable[[T], T]:
    """Give the decorated `Component` one more tag."""

    def add(cls: T) -> T:
        own = cls.__dict__.get(ALIASES, ())
        setattr(cls, ALIASES, (*own, name))
        return cls

    return add


def _named(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return dict(kwargs)
    try:
        bound = inspect.signature(cls).bind_partial(*args, **kwargs)
    except (TypeError, ValueError):  # the constructor itself will say what is wrong
        return dict(kwargs)
    named = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(parameter.name, {})
    return named
