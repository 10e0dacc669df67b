"""What can be known about a value before it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from flambe.language.nodes import Build, Node

Assumption: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Typed:
    """An object of which the type is known.

    `exact` says that its class is the annotation itself, not a subclass. `build` is the node that builds
    it, if one does. `function` is what calling it runs, as a method of `owner`. `name` is what to call it
    in a message, if not by its type.
    """

    annotation: Any = Any
    exact: bool = False
    build: Build | None = None
    function: Callable[..., Any] | None = None
    owner: type | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Possible:
    """One of the values that a node may have: written out (a node) or known by its type.

    `assumes` are tests that are only worth their time when something seems wrong.
    """

    value: Node | Typed
    assumes: tuple[Assumption, ...] = ()

    def certain(self) -> bool:
        return all(test() for test in self.assumes)


ANYTHING = Possible(Typed())
