"""Following a link's steps through live values."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flambe.component import origin_of
from flambe.errors import LinkError
from flambe.language import nodes
from flambe.language.links import Attribute, Item, LinkPath, Step

_MISSING = object()


def follow(value: Any, path: LinkPath, *, start: int = 0) -> Any:
    """What lies at `path` when `value` is what its first `start` steps (and its root) lead to.

    Raises:
        LinkError: naming the step that leads nowhere and the nearest name that would.
    """
    for index, step in enumerate(path.steps[start:], start):
        value = take(value, step, path=path, index=index)
    return value


def take(value: Any, step: Step, *, path: LinkPath, index: int) -> Any:
    """One step of a link: see `flambe.language.links` for what each kind looks at."""
    if isinstance(step, Attribute) and step.name.startswith("__"):
        raise LinkError(f"{path}: names that start with two underscores cannot be linked")
    found = _item(value, step.key if isinstance(step, Item) else step.name)
    if found is _MISSING and isinstance(step, Attribute):
        found = _attribute(value, step.name)
    if found is _MISSING:
        found = _argument(value, step)
    if found is _MISSING:
        raise LinkError(_message(value, path, index))
    return found


def _item(value: Any, key: str | int) -> Any:
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        if isinstance(key, str) and key.lstrip("-").isdigit():
            return value.get(int(key), _MISSING)
        return value.get(str(key), _MISSING)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        if isinstance(key, str) and not key.lstrip("-").isdigit():
            return _MISSING
        try:
            return value[int(key)]
        except IndexError:
            return _MISSING
    return _MISSING


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except AttributeError:
        if _declares(value, name):
            raise
        return _MISSING


def _declares(value: Any, name: str) -> bool:
    """Whether the class has the name, so that the AttributeError came from inside a property."""
    return isinstance(getattr(type(value), name, None), property)


def _argument(value: Any, step: Step) -> Any:
    origin = origin_of(value)
    name = step.name if isinstance(step, Attribute) else step.key
    if origin is None or not isinstance(name, str):
        if isinstance(step, Item) and isinstance(name, int) and hasattr(value, "__getitem__"):
            return _indexed(value, name)
        return _MISSING
    if name in origin.arguments:
        return origin.arguments[name]
    return _default(type(value), name)


def _default(cls: type, name: str) -> Any:
    """What the constructor argument `name` is when it is not given."""
    try:
        parameter = inspect.signature(cls).parameters.get(name)
    except (TypeError, ValueError):  # written in C, without a signature
        return _MISSING
    return _MISSING if parameter is None or parameter.default is parameter.empty else parameter.default


def _indexed(value: Any, index: int) -> Any:
    try:
        return value[index]
    except (LookupError, TypeError):
        return _MISSING


def _message(value: Any, path: LinkPath, index: int) -> str:
    step = path.steps[index]
    wanted = str(step.key if isinstance(step, Item) else step.name)
    kinds = "item or argument" if isinstance(step, Item) else "item, attribute or argument"
    before = LinkPath(path.root, path.steps[:index])
    near = difflib.get_close_matches(wanted, _names(value, step), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    given = _given_elsewhere(value, wanted)
    if given is not None:
        hint = f"; its argument {wanted!r} is {given}"
    return f"{path}: {before} is a {type(value).__name__} without {kinds} {wanted!r}{hint}"


def _given_elsewhere(value: Any, name: str) -> str | None:
    """How an argument was given that is not kept with the object: by a link, or from outside the config."""
    origin = origin_of(value)
    given = origin.node.arguments if origin is not None and origin.node is not None else None
    node = given.get(name) if isinstance(given, nodes.Mapping) else None
    if isinstance(node, nodes.Link) and not node.call:
        return f"itself a link, so link to {node.path}"
    return "a secret" if isinstance(node, nodes.Environment | nodes.Secret) else None


def _names(value: Any, step: Step) -> Iterable[str]:
    """What a step of this kind could have named."""
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    origin = origin_of(value)
    arguments = list(origin.arguments) if origin else []
    if isinstance(step, Item):
        return arguments
    return arguments + [name for name in dir(value) if not name.startswith("_")]
