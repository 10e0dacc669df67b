"""The nodes of a config: inert, frozen data that know where they were written.

Reading a file gives nodes and builds nothing. Checking, expanding variants, building and writing
are functions of nodes. Equality compares what was written, never where: two nodes read from
different files are equal when they say the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from flambe.language.links import LinkPath

Key: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a config; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Node:
    """What every node has: the place where it was written, if it was read from a text."""

    position: Position | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True, eq=False)
class Scalar(Node):
    """A plain value. `1`, `1.0` and `true` are three different scalars."""

    value: Plain

    def __eq__(self, other: object) -> bool:
        return _same(self.value, other.value) if isinstance(other, Scalar) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self.value), repr(self.value)))


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """A YAML list."""

    items: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One `key: value` of a mapping, with the place of the key. The keys `1` and `true` are different."""

    key: Key
    value: Node
    position: Position | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        return _same(self.key, other.key) and self.value == other.value

    def __hash__(self) -> int:
        return hash((self.key, self.value))


@dataclass(frozen=True, slots=True)
class Mapping(Node):
    """A YAML mapping, in document order. Keys are distinct once a document was read without problems."""

    entries: tuple[Entry, ...] = ()

    def get(self, key: Key) -> Node | None:
        for entry in self.entries:
            if entry.key == key and type(entry.key) is type(key):
                return entry.value
        return None

    def entry(self, key: Key) -> Entry | None:
        return next((e for e in self.entries if e.key == key and type(e.key) is type(key)), None)

    def keys(self) -> Iterator[Key]:
        return (entry.key for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Build(Node):
    """`!Tag …`: build an object.

    `tag` is the text after the exclamation mark (`torch.Adam`, `TextField.from_embeddings`).
    `arguments` is a Mapping (keyword arguments), a Sequence (positional arguments), any other node
    (one positional argument), or None when nothing follows the tag.
    """

    tag: str
    arguments: Node | None = None


@dataclass(frozen=True, slots=True)
class Link(Node):
    """`!@ stage.attr[key]`, or with `call` set `!call stage.obj.method`, called with `args` and `kwargs`."""

    path: LinkPath
    call: bool = False
    args: tuple[Node, ...] = ()
    kwargs: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid(Node):
    """`!g [a, b]`: each option becomes a variant. Options are any nodes, other options included."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draws(Node):
    """`!s [low, high, k, decimals]`: `count` values drawn between two numbers, then tried like a grid.

    Integers are drawn if both numbers are, so `1` and `1.0` are different here.
    """

    low: int | float
    high: int | float
    count: int
    decimals: int | None = None

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other) if isinstance(other, Draws) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, slots=True)
class Distribution(Node):
    """`!uniform [low, high]` and its kin (see `flambe.language.distributions`).

    `arguments` are the numbers in their declared order; for `choice` the options, which are any nodes.
    """

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ClusterPath(Node):
    """`!cluster path`: a resource that already lies on the cluster."""

    path: str


@dataclass(frozen=True, slots=True)
class Environment(Node):
    """`!env NAME`: the value of an environment variable, read when a trial is built and never written."""

    name: str


@dataclass(frozen=True, slots=True)
class Secret(Node):
    """`!secret section.key`: an entry of the secrets file, read when a trial is built and never written."""

    section: str
    key: str


@dataclass(frozen=True, slots=True)
class Unreadable(Node):
    """What stands where a config could not be understood; a problem of the document says why."""


def _same(one: Plain, other: Plain) -> bool:
    """Whether two plain values are written alike: equal, of one type, and `.nan` is itself."""
    return type(one) is type(other) and repr(one) == repr(other)


Option: TypeAlias = Grid | Draws | Distribution
