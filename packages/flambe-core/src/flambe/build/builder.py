"""Nodes to live objects: in document order, depth first, sharing what the config shares."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flambe.build.hidden import Hidden
from flambe.build.links import follow
from flambe.component import ORIGIN, Origin, origin_of
from flambe.errors import FlambeError, LinkError
from flambe.language import nodes
from flambe.language.links import Attribute, Item, LinkPath
from flambe.language.nodes import Build, Link, Node
from flambe.language.walk import Path, format_path

if TYPE_CHECKING:
    from flambe.registry.registry import Registry


@dataclass(slots=True)
class _Open:
    """Something under construction: what it already holds, and which part is being built."""

    values: dict[str | int, Any] = field(default_factory=dict)
    part: str | int | None = None
    inside: _Open | None = None


@dataclass(frozen=True)
class Surroundings:
    """Values that come from outside the config and are never written to disk."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


class Builder:
    """Builds one stage.

    One node gives one object: a node that appears twice (a YAML alias) is built once, and links hand on
    the object itself. A constructor's exception keeps its type and gains the config path as a note.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        stage: str,
        outside: Callable[[LinkPath], Any],
        surroundings: Surroundings | None = None,
        path: Path | None = None,
    ) -> None:
        """A builder for `stage`.

        `outside` gives the value of a link to another stage or a resource. `path` is the config path of
        the stage's node, `pipeline.<stage>` unless given.
        """
        self._registry = registry
        self._stage = stage
        self._outside = outside
        self._surroundings = surroundings or Surroundings()
        self._path: Path = ("pipeline", stage) if path is None else path
        self._built: dict[int, Any] = {}
        self._root = _Open()
        self._open = self._root

    def build(self, node: Node) -> Any:
        """The live value of `node`, which is the stage's whole node."""
        return self._value(node, self._path)

    def _value(self, node: Node, path: Path) -> Any:
        if id(node) in self._built:
            return self._built[id(node)]
        made = self._make(node, path)
        if not isinstance(node, nodes.Scalar):
            self._built[id(node)] = made
        return made

    def _make(self, node: Node, path: Path) -> Any:
        match node:
            case nodes.Scalar(value=value):
                return value
            case nodes.Mapping(entries=entries):
                made: dict[Any, Any] = {}
                for entry in entries:
                    made[entry.key] = self._part(entry.value, _step(entry.key), path)
                return made
            case nodes.Sequence(items=items):
                return [self._part(item, index, path) for index, item in enumerate(items)]
            case nodes.Build():
                return self._object(node, path)
            case nodes.Link():
                return self._linked(node, path)
            case nodes.ClusterPath(path=location):
                return location
            case nodes.Environment(name=name):
                return self._environment(name, path)
            case nodes.Secret(section=section, key=key):
                return self._secret(section, key, path)
        raise FlambeError(f"{format_path(path)}: an option must be chosen before it can be built")

    def _part(self, node: Node, step: str | int, path: Path) -> Any:
        """Builds a part of what is open, remembering it for links within the stage."""
        within = self._open
        within.part, within.inside = step, _Open()
        self._open = within.inside
        try:
            value = self._value(node, (*path, step))
        finally:
            self._open = within
            within.part = within.inside = None
        within.values[step] = value
        return value

    def _object(self, node: Build, path: Path) -> Any:
        target = self._registry.resolve(node.tag).callable
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        match node.arguments:
            case nodes.Mapping(entries=entries):
                kwargs = {str(e.key): self._part(e.value, str(e.key), path) for e in entries}
            case nodes.Sequence(items=items):
                args = self._positional(target, items, path)
            case Node() as argument:
                args = self._positional(target, (argument,), path)
        with located(path, node):
            made = target(*args, **kwargs)
        _remember(made, Origin(_by_name(target, args, kwargs), node, self._link_to(path)))
        return made

    def _positional(self, target: Callable[..., Any], items: tuple[Node, ...], path: Path) -> list[Any]:
        """Builds positional arguments; a link within the stage may name them by place or by parameter."""
        names = _parameters(target)
        args: list[Any] = []
        for index, item in enumerate(items):
            args.append(self._part(item, index, path))
            if index < len(names):
                self._open.values[names[index]] = args[-1]
        return args

    def _link_to(self, path: Path) -> LinkPath:
        """The link that leads to what is built at the config path `path`."""
        steps = [step for step in path[len(self._path) :] if isinstance(step, (str, int))]
        return LinkPath(self._stage, tuple(Attribute(s) if isinstance(s, str) else Item(s) for s in steps))

    def _linked(self, node: Link, path: Path) -> Any:
        with located(path, node):
            value = self._inside(node.path) if node.path.root == self._stage else self._outside(node.path)
            if not node.call:
                return value
        args = [self._part(arg, index, path) for index, arg in enumerate(node.args)]
        kwargs = {str(e.key): self._part(e.value, str(e.key), path) for e in node.kwargs}
        with located(path, node):
            return self._called(value, args, kwargs)

    def _called(self, method: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What `!call` gives; a builder of configs that come from anywhere may refuse."""
        return method(*args, **kwargs)

    def _inside(self, path: LinkPath) -> Any:
        """A link within the stage: through what is still under construction, then through live values."""
        within: _Open | None = self._root
        for index, step in enumerate(path.steps):
            assert within is not None
            key = step.key if isinstance(step, Item) else step.name
            key = int(key) if isinstance(key, str) and key.isdigit() and int(key) in within.values else key
            if key in within.values:
                return follow(within.values[key], path, start=index + 1)
            if key != within.part:
                raise LinkError(f"{path}: {key!r} is not built yet; link only to what stands above")
            within = within.inside
        raise LinkError(f"{path}: it is still under construction here; link to one of its parts above")

    def _environment(self, name: str, path: Path) -> str:
        value = self._surroundings.environment.get(name)
        if value is None:
            raise FlambeError(f"{format_path(path)}: the environment variable {name} is not set")
        return Hidden(value)

    def _secret(self, section: str, key: str, path: Path) -> str:
        value = self._surroundings.secrets.get(section, {}).get(key)
        if value is None:
            raise FlambeError(
                f"{format_path(path)}: the secrets have no entry {section}.{key}; give a file with --secrets"
            )
        return Hidden(value)


@contextmanager
def located(path: Path, node: Node) -> Iterator[None]:
    """Adds the config path, and the place in the file if known, to whatever is raised inside."""
    try:
        yield
    except Exception as error:
        where = f" ({node.position})" if node.position else ""
        add_note(error, f"while building {format_path(path)}{where}")
        raise


def add_note(error: BaseException, note: str) -> None:
    """`BaseException.add_note`, for Python 3.10 too."""
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10 shows no notes; those who print errors here read the same attribute
        vars(error)["__notes__"] = [*getattr(error, "__notes__", []), note]


def linked_value(value: Any, path: LinkPath) -> Any:
    """What `path` means when its root is `value`, a finished stage."""
    return follow(value, path)


def _step(key: nodes.Key) -> str | int:
    return key if isinstance(key, (str, int)) and not isinstance(key, bool) else str(key)


def _parameters(target: Callable[..., Any]) -> list[str]:
    """The names of the parameters that positional arguments fill, in order."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # no signature to name them by
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _by_name(target: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return kwargs
    try:
        return dict(inspect.signature(target).bind_partial(*args, **kwargs).arguments)
    except (TypeError, ValueError):  # no signature to name them by
        return {**{str(index): arg for index, arg in enumerate(args)}, **kwargs}


def _remember(made: Any, origin: Origin) -> None:
    """Notes on the object how it was made; linked objects and secrets stay in the node alone."""
    if isinstance(made, type) or not hasattr(made, "__dict__") or origin.node is None:
        return
    known = origin_of(made)
    if known is not None and known.node is not None:
        return
    node = origin.node
    origin.arguments = {n: value for n, value in origin.arguments.items() if _kept(node, n, value)}
    try:
        object.__setattr__(made, ORIGIN, origin)
    except (AttributeError, TypeError):  # a class without room for it: it cannot be saved by itself
        return


def _kept(node: Build, name: str, value: Any) -> bool:
    given = node.arguments.get(name) if isinstance(node.arguments, nodes.Mapping) else node.arguments
    if isinstance(given, (nodes.Environment, nodes.Secret)):
        return False
    return not isinstance(given, Link) or isinstance(value, (str, int, float, bool, type(None)))


__all__ = ["Builder", "Surroundings", "add_note", "linked_value", "located"]
