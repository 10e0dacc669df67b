"""`key.path=value` arguments: a document with some of its values replaced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from flambe.errors import ConfigError, Problem
from flambe.language.links import Attribute, LinkSyntaxError, Step, parse_link
from flambe.language.nodes import (
    Build,
    Distribution,
    Draws,
    Entry,
    Grid,
    Mapping,
    Node,
    Position,
    Scalar,
    Sequence,
    Unreadable,
)
from flambe.language.read import Document, argument_file, read_value
from flambe.language.walk import substitute

_PIPELINE = "pipeline"


def apply_overrides(document: Document, arguments: Iterable[str]) -> Document:
    """`document` with each `key.path=value` applied in turn.

    The path starts at the root; `pipeline.` may be left out. It goes into mappings, arguments and, as
    `[0]`, lists; its last step may be new. Where a node stands in several places through a YAML alias,
    it changes in all of them: it stays one object. What cannot be applied is a problem of the new
    document, at `<argument 'key.path=value'>`.
    """
    root = document.root
    problems = list(document.problems)
    for argument in arguments:
        root, more = _override(root, argument)
        problems += more
    return replace(document, root=root, problems=tuple(problems))


def _override(root: Node, argument: str) -> tuple[Node, tuple[Problem, ...]]:
    try:
        override = _parse(argument)
        return _apply(root, override), override.problems
    except ConfigError as error:
        return root, error.problems


@dataclass(frozen=True, slots=True)
class _Override:
    argument: str
    path: str
    steps: tuple[Step, ...]
    value: Node
    problems: tuple[Problem, ...]

    def wrong(self, message: str) -> ConfigError:
        return _wrong(self.argument, message)


def _wrong(argument: str, message: str, column: int = 1) -> ConfigError:
    position = Position(argument_file(argument), 1, column)
    return ConfigError([Problem(message, position, source=argument)])


def _parse(argument: str) -> _Override:
    path, equals, value = argument.partition("=")
    if not equals:
        raise _wrong(argument, "expected key.path=value")
    try:
        parsed = parse_link(path)
    except LinkSyntaxError as error:
        raise _wrong(argument, f"cannot read the path {path!r}: {error}", error.offset + 1) from None
    # As many spaces as the path is wide let the columns count in the argument.
    padding = "" if "\n" in value else " " * (len(path) + 1)
    try:
        node, problems = read_value(padding + value, argument_file(argument))
    except ConfigError as error:
        raise ConfigError([replace(p, path=path, source=argument) for p in error.problems]) from None
    problems = tuple(replace(p, path=_joined(path, p.path), source=argument) for p in problems)
    return _Override(argument, path, (Attribute(parsed.root), *parsed.steps), node, problems)


def _joined(path: str, inside: str) -> str:
    return path + ("." if inside and not inside.startswith("[") else "") + inside


def _apply(root: Node, override: _Override) -> Node:
    """`root` with the node that holds the last step replaced, wherever it stands."""
    steps = override.steps
    stages = _stages(root)
    if _find(_entries(root) or (), steps[0]) is None:
        if _find(stages, steps[0]):
            steps = (Attribute(_PIPELINE), *steps)
        elif len(steps) > 1:
            raise override.wrong(_unknown(steps[0], (*(_entries(root) or ()), *stages)))
    holder = root
    for step in steps[:-1]:
        holder = _inside(holder, step, override)
    return substitute(root, holder, _with(holder, steps[-1], override))


def _stages(root: Node) -> tuple[Entry, ...]:
    pipeline = _find(_entries(root) or (), Attribute(_PIPELINE))
    return (_entries(pipeline.value) or ()) if pipeline else ()


def _inside(holder: Node, step: Step, override: _Override) -> Node:
    """The node one step into `holder`."""
    entries = _entries(holder)
    if entries is not None:
        entry = _find(entries, step)
        if entry is None:
            raise override.wrong(_unknown(step, entries))
        return entry.value
    items = _items(holder)
    if items is None:
        raise override.wrong(f"{_name(step)} cannot be set: {_what(holder)} has no parts")
    return items[_index(items, step, override)]


def _with(holder: Node, step: Step, override: _Override) -> Node:
    """`holder` with the value of the last step."""
    entries = _entries(holder)
    if entries is not None:
        return _holding(holder, Mapping(_set(entries, step, override)))
    items = _items(holder)
    if items is None:
        raise override.wrong(f"{_name(step)} cannot be set: {_what(holder)} has no parts")
    index = _index(items, step, override)
    return _holding(holder, Sequence((*items[:index], override.value, *items[index + 1 :])))


def _set(entries: tuple[Entry, ...], step: Step, override: _Override) -> tuple[Entry, ...]:
    old = _find(entries, step)
    if old is not None:
        return tuple(replace(e, value=override.value) if e is old else e for e in entries)
    position = Position(argument_file(override.argument), 1, 1)
    return (*entries, Entry(_bare(step), override.value, position=position))


def _holding(holder: Node, content: Mapping | Sequence) -> Node:
    """`content` in the place of what `holder` holds: its arguments, or itself."""
    if isinstance(holder, Build):
        position = holder.arguments.position if holder.arguments else holder.position
        return replace(holder, arguments=replace(content, position=position))
    return replace(content, position=holder.position)


def _entries(node: Node) -> tuple[Entry, ...] | None:
    """The entries that a name can step into; none yet for what is written without a value."""
    match node:
        case Mapping(entries=entries) | Build(arguments=Mapping(entries=entries)):
            return entries
        case Build(arguments=None) | Scalar(value=None):
            return ()
    return None


def _items(node: Node) -> tuple[Node, ...] | None:
    match node:
        case Sequence(items=items) | Build(arguments=Sequence(items=items)):
            return items
        case Build(arguments=Scalar() as only):
            return (only,)
    return None


def _find(entries: tuple[Entry, ...], step: Step) -> Entry | None:
    """The entry of that key; a number in a path also finds a key that is a number."""
    wanted = _bare(step)
    exact = next((e for e in entries if e.key == wanted and type(e.key) is type(wanted)), None)
    return exact or next((e for e in entries if str(e.key) == str(wanted)), None)


def _index(items: tuple[Node, ...], step: Step, override: _Override) -> int:
    key = _bare(step)
    if isinstance(key, str) and key.isascii() and key.isdigit():
        key = int(key)
    if not isinstance(key, int):
        raise override.wrong(f"{_name(step)} cannot be set: this is a list; use an index such as [0]")
    if not -len(items) <= key < len(items):
        raise override.wrong(f"there is no item {key}: the list has {len(items)}")
    return key % len(items)


def _bare(step: Step) -> str | int:
    return step.name if isinstance(step, Attribute) else step.key


def _name(step: Step) -> str:
    return repr(_bare(step))


def _unknown(step: Step, entries: tuple[Entry, ...]) -> str:
    near = get_close_matches(str(_bare(step)), [str(entry.key) for entry in entries], 1)
    return f"there is no {_name(step)} here{f'; did you mean {near[0]!r}?' if near else ''}"


def _what(node: Node) -> str:
    match node:
        case Scalar(value=value):
            return repr(value)
        case Grid() | Draws() | Distribution():
            return "a choice between options"
        case Unreadable():
            return "what could not be read"
    return f"a {type(node).__name__.lower()}"
