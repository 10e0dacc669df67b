"""The parts of an object: what gets a folder of its own in a save, named by constructor arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

from flambe.component import Component, Origin, origin_of
from flambe.language import nodes
from flambe.language.nodes import Node

Steps: TypeAlias = tuple["str | int", ...]


@dataclass(slots=True)
class Part:
    """An object inside a saved object, or the saved object itself.

    Attributes:
        steps: Argument names, list indices and mapping keys that lead here from the saved object.
        borrowed: The object belongs to another stage: it is a link in the config, and its state is not
            stored here.
    """

    steps: Steps
    value: Any
    children: list[Part] = field(default_factory=list)
    borrowed: bool = False

    @property
    def folder(self) -> str:
        return folder_of(self.steps)

    def walk(self) -> Iterator[Part]:
        """This part and all inside it, parents first, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def inside(self) -> dict[str, object]:
        """The objects of all parts below this one, by their folders relative to this one's."""
        below = {part.folder: part.value for child in self.children for part in child.walk()}
        start = len(self.folder) + 1 if self.steps else 0
        return {folder[start:]: value for folder, value in below.items()}

    @property
    def title(self) -> str:
        """Names the part in messages."""
        name = type(self.value).__name__
        return f"{self.folder} ({name})" if self.steps else name


def parts_of(value: object, node: Node | None = None) -> Part:
    """The tree of parts whose root is `value`, which `node` built (its own origin says it if not given).

    An object that two arguments share is a part once, where it comes first; what an argument took from a
    link is a part of the stage that it comes from.
    """
    root = Part((), value, borrowed=isinstance(node, nodes.Link))
    if not root.borrowed:
        _add_children(root, value, node, (), {id(value)})
    return root


def arguments_of(value: object) -> list[tuple[str | int, Any, Node | None]]:
    """The constructor arguments of an object with an origin: name, live value, node if a config gave it.

    An argument given by position is named by its position in a config, as its node is. The live value of
    a linked object is MISSING: only its node is kept. What the object itself wants saved comes last.
    """
    origin = origin_of(value)
    if origin is None:
        return []
    more = value.saved_arguments() if isinstance(value, Component) else {}
    if more:
        return _with_more(origin, more)
    if origin.node is None:
        return [(name, live, None) for name, live in _given_in_python(value, origin.arguments)]
    match origin.node.arguments:
        case nodes.Mapping(entries=entries):
            return [(str(e.key), origin.arguments.get(str(e.key), MISSING), e.value) for e in entries]
        case nodes.Sequence(items=items):
            live = _positional(origin.arguments, len(items))
            return [(index, live[index], item) for index, item in enumerate(items)]
        case None:
            return []
        case argument:
            return [(0, _positional(origin.arguments, 1)[0], argument)]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


def _given_in_python(value: object, arguments: Mapping[str, Any]) -> list[tuple[str | int, Any]]:
    """The arguments by name; where some are those of `*args`, these and all before them by position."""
    rest = _rest_of(type(value))
    if rest not in arguments:
        return list(arguments.items())
    names = list(arguments)
    place = names.index(rest)
    by_place = [*(arguments[name] for name in names[:place]), *arguments[rest]]
    return [*enumerate(by_place), *((name, arguments[name]) for name in names[place + 1 :])]


def _rest_of(cls: type) -> str:
    """What the constructor calls its `*args`, if it has them."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return ""
    return next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")


def _with_more(origin: Origin, more: Mapping[str, Any]) -> list[tuple[str | int, Any, Node | None]]:
    """All arguments by name, with those that the object itself wants saved."""
    given = origin.node.arguments if origin.node is not None else None
    written = {str(e.key): e.value for e in given.entries} if isinstance(given, nodes.Mapping) else {}
    names = dict.fromkeys([*(written or origin.arguments), *more])
    return [
        (name, more[name], None)
        if name in more
        else (name, origin.arguments.get(name, MISSING), written.get(name))
        for name in names
    ]


def folder_of(steps: Steps) -> str:
    """`layers/0`: the folder of the part that `steps` lead to."""
    return "/".join(_folder_name(step) for step in steps)


def _folder_name(step: str | int) -> str:
    """A name that is safe in every file system and never that of a file of a save, which has a dot."""
    return quote(str(step), safe="").replace(".", "%2E").replace("~", "%7E") or "%"


def _positional(arguments: Mapping[str, Any], count: int) -> list[Any]:
    """The first `count` arguments; those of `*args` are one entry that holds a tuple."""
    live: list[Any] = []
    for value in arguments.values():
        if len(live) + 1 == len(arguments) and isinstance(value, tuple) and len(live) + len(value) == count:
            live.extend(value)
        else:
            live.append(value)
    return (live + [MISSING] * count)[:count]


def _add_children(parent: Part, value: object, node: Node | None, steps: Steps, seen: set[int]) -> None:
    for step, live, given in _items(value, node):
        if isinstance(given, nodes.Link) or live is MISSING:
            continue
        below = (*steps, step)
        if origin_of(live) is not None:
            if id(live) not in seen:
                seen.add(id(live))
                part = Part(below, live)
                parent.children.append(part)
                _add_children(part, live, given, below, seen)
        elif isinstance(live, (dict, list, tuple)):
            _add_children(parent, live, given, below, seen)


def _items(value: object, node: Node | None) -> Iterator[tuple[str | int, Any, Node | None]]:
    if origin_of(value) is not None:
        yield from arguments_of(value)
    elif isinstance(value, dict):
        for key, live in value.items():
            yield _step(key), live, node.get(key) if isinstance(node, nodes.Mapping) else None
    elif isinstance(value, (list, tuple)):
        items = node.items if isinstance(node, nodes.Sequence) else ()
        for index, live in enumerate(value):
            yield index, live, items[index] if index < len(items) else None


def _step(key: Any) -> str | int:
    return key if isinstance(key, (str, int)) and not isinstance(key, bool) else str(key)
