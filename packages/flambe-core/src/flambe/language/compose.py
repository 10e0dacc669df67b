"""YAML events to nodes, with everything that is wrong in place noted as a problem."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from yaml import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from flambe.errors import Problem
from flambe.language.nodes import Entry, Key, Mapping, Node, Position, Scalar, Sequence, Unreadable
from flambe.language.scalars import resolve, resolve_as
from flambe.language.tags import Tagged, interpret, is_option_list
from flambe.language.text import MAX_DEPTH, Text
from flambe.language.walk import OptionStep, Path, format_path, key_step

MAX_REPEATED_NODES = 100_000
MAX_PROBLEMS = 100
_HOPELESS_DEPTH = 1000
_STANDARD = "tag:yaml.org,2002:"
_MERGE = "<<"
_PROPERTIES = re.compile(r"(?:[!&]\S*[ \t]+){1,2}")


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A node that aliases can repeat; `node` is None while it is still open.

    `size` counts the nodes in it and `height` its levels, both with its own aliases written out.
    """

    node: Node | None
    size: int = 0
    height: int = 0


class Composer:
    """Reads documents from one stream of events; `problems` holds what was wrong in the last one."""

    def __init__(self, text: Text, stream: Iterator[Any]) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._next = stream.__next__
        self._path: Path = ()
        self._anchors: dict[str, _Anchored] = {}
        self._depth = self._deepest = 0
        self._size = self._repeated = 0

    def document(self) -> Node:
        """The root of the document whose start was just seen; takes its end too.

        Raises:
            yaml.YAMLError: on a syntax error.
            ConfigError: if the nesting is hopeless.
        """
        self.problems = []
        self._anchors = {}
        self._size = self._repeated = 0
        root = self._node(self._next())
        self._next()
        return root

    def _node(self, event: Any) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if event.anchor is None:
            return self._unanchored(event)
        size, deepest = self._size, self._deepest
        self._deepest = self._depth
        self._anchors[event.anchor] = _Anchored(None)
        node = self._unanchored(event)
        height = self._deepest - self._depth
        self._anchors[event.anchor] = _Anchored(node, self._size - size, height)
        self._deepest = max(deepest, self._deepest)
        return node

    def _unanchored(self, event: Any) -> Node:
        self._size += 1
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if self._depth == MAX_DEPTH:
            return self._skip(event)
        self._depth += 1
        self._deepest = max(self._deepest, self._depth)
        node = self._sequence(event) if isinstance(event, SequenceStartEvent) else self._mapping(event)
        self._depth -= 1
        return node

    def _alias(self, event: Any) -> Node:
        position = self._text.position(event.start_mark)
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            return self._reject(f"nothing above is marked '&{event.anchor}'", position)
        if anchored.node is None:
            return self._reject(f"'*{event.anchor}' stands inside what it repeats", position)
        self._size += anchored.size
        self._repeated += anchored.size
        if self._repeated > MAX_REPEATED_NODES:
            return self._reject(f"aliases repeat more than {MAX_REPEATED_NODES:,} values in all", position)
        if self._depth + anchored.height > MAX_DEPTH:
            return self._reject(f"nested more than {MAX_DEPTH} levels deep", position)
        self._deepest = max(self._deepest, self._depth + anchored.height)
        return anchored.node

    def _scalar(self, event: Any) -> Node:
        position = self._text.position(event.start_mark)
        tag, raw = event.tag, event.value
        plain = not event.style
        if tag is None:
            return Scalar(resolve(raw) if plain else raw, position=position)
        if tag == "!":
            return Scalar(raw, position=position)
        if not tag.startswith("!"):
            return self._standard_scalar(tag, raw, plain, position)
        content_position = self._content_position(event)
        content = None
        if raw or not plain:
            content = Scalar(resolve(raw) if plain else raw, position=content_position)
        return self._interpret(tag, content, raw, position, content_position)

    def _standard_scalar(self, tag: str, raw: str, plain: bool, position: Position) -> Node:
        kind = tag.removeprefix(_STANDARD)
        if kind not in ("str", "int", "float", "bool", "null"):
            self._report(_unknown_standard(tag), position)
            return Scalar(resolve(raw) if plain else raw, position=position)
        try:
            return Scalar(resolve_as(kind, raw), position=position)
        except ValueError:
            return self._reject(f"{raw!r} is no {_KINDS[kind]}, but its tag is '!!{kind}'", position)

    def _sequence(self, event: Any) -> Node:
        outside, options = self._path, is_option_list(event.tag)
        items: list[Node] = []
        while not isinstance(inside := self._next(), SequenceEndEvent):
            step = OptionStep(len(items)) if options else len(items)
            self._path = (*outside, step)
            items.append(self._node(inside))
        self._path = outside
        return self._collection(event, Sequence(tuple(items)), "seq")

    def _mapping(self, event: Any) -> Node:
        outside = self._path
        own: dict[tuple[type, str], Entry] = {}
        merged: list[Entry] = []
        merge_position: Position | None = None
        while not isinstance(key_event := self._next(), MappingEndEvent):
            key_position = self._text.position(key_event.start_mark)
            if _is_merge(key_event):
                self._path = (*outside, _MERGE)
                self._refuse_second(_MERGE, merge_position, key_position)
                merge_position = key_position
                merged += self._merged(self._node(self._next()))
                self._path = outside
                continue
            key_node = self._node(key_event)
            key = key_node.value if isinstance(key_node, Scalar) else None
            self._path = (*outside, key_step(key))
            value = self._node(self._next())
            self._path = outside
            if not isinstance(key_node, Scalar):
                self._refuse_key(key_node, key_position)
                continue
            identity = _identity(key)
            earlier = own.get(identity)
            self._refuse_second(key, earlier.position if earlier else None, key_position)
            own.setdefault(identity, Entry(key, value, position=key_position))
        inherited = {_identity(e.key): e for e in reversed(merged) if _identity(e.key) not in own}
        entries = (*reversed(inherited.values()), *own.values())
        return self._collection(event, Mapping(entries), "map")

    def _merged(self, value: Node) -> list[Entry]:
        sources = value.items if isinstance(value, Sequence) else (value,)
        entries: list[Entry] = []
        for source in sources:
            if isinstance(source, Mapping):
                entries += source.entries
            elif not isinstance(source, Unreadable):
                self._report("'<<' merges a mapping or a list of mappings", source.position)
        return entries

    def _refuse_second(self, key: Key, first: Position | None, second: Position) -> None:
        if first:
            places = f"{_place(second)}, and before at {_place(first)}"
            self._report(f"{key!r} is given twice: at {places}", second)

    def _refuse_key(self, key: Node, position: Position) -> None:
        if not isinstance(key, Unreadable):
            self._report("a key is a plain value, not a list, a mapping or something with a tag", position)

    def _collection(self, event: Any, content: Mapping | Sequence, standard: str) -> Node:
        position = self._text.position(event.start_mark)
        content = replace(content, position=position)
        tag = event.tag
        if tag is None or tag in ("!", _STANDARD + standard):
            return content
        if not tag.startswith("!"):
            self._report(_unknown_standard(tag), position)
            return content
        return self._interpret(tag, content, None, position, position)

    def _interpret(
        self, tag: str, content: Node | None, raw: str | None, position: Position, content_position: Position
    ) -> Node:
        return interpret(Tagged(tag[1:], content, raw, position, content_position, self._report))

    def _content_position(self, event: Any) -> Position:
        """Where a tagged scalar itself starts: the event starts at its tag or anchor."""
        start, end = event.start_mark, event.end_mark
        properties = _PROPERTIES.match(self._text.content, start.index, end.index)
        width = properties.end() - start.index if properties else 0
        return Position(self._text.file, start.line + 1, start.column + 1 + width)

    def _skip(self, event: Any) -> Node:
        """Pass over a collection that is nested too deeply."""
        position = self._text.position(event.start_mark)
        depth = 1
        while depth:
            inside = self._next()
            depth += isinstance(inside, (MappingStartEvent, SequenceStartEvent))
            depth -= isinstance(inside, (MappingEndEvent, SequenceEndEvent))
            if depth > _HOPELESS_DEPTH:
                raise self._text.refuse(f"nested more than {MAX_DEPTH} levels deep", position)
        return self._reject(f"nested more than {MAX_DEPTH} levels deep", position)

    def _reject(self, message: str, position: Position) -> Unreadable:
        self._report(message, position)
        return Unreadable(position=position)

    def _report(self, message: str, position: Position | None) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(self._text.problem(message, position, format_path(self._path)))


_KINDS = {"int": "integer", "float": "number", "bool": "true or false", "null": "null", "str": "string"}


def _is_merge(event: Any) -> bool:
    return isinstance(event, ScalarEvent) and event.value == _MERGE and not event.style and event.tag is None


def _identity(key: Key) -> tuple[type, str]:
    return type(key), repr(key)


def _place(position: Position) -> str:
    return f"line {position.line}, column {position.column}"


def _unknown_standard(tag: str) -> str:
    name = f"!!{tag.removeprefix(_STANDARD)}" if tag.startswith(_STANDARD) else f"!<{tag}>"
    return f"{name!r} is not a tag of this language; a class is !Name, with one exclamation mark"
