"""The arguments of a tag against the parameters of what it builds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambe.check.nearest import did_you_mean, listed, nearest
from flambe.check.signature import Parameter, Signature
from flambe.language import nodes
from flambe.language.nodes import Entry, Node, Position
from flambe.language.walk import Path


@dataclass(frozen=True, slots=True)
class Level:
    """A builder above or below the one in question: its name, what it takes, and where it stands."""

    name: str
    where: str
    signature: Signature


@dataclass(frozen=True, slots=True)
class Fault:
    """A wrong argument, or one that is missing: the message, and the steps to it from the builder."""

    message: str
    position: Position | None
    steps: Path = ()


@dataclass(frozen=True, slots=True)
class Given:
    """An argument and the parameter it is given for."""

    parameter: Parameter
    node: Node
    steps: Path


@dataclass
class Bound:
    """Which argument goes to which parameter, and what is wrong with the rest."""

    given: list[Given] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """One use of a callable in a config: `args` and `kwargs` are what is written, at `position`.

    `supplied` names what is given later by the program, so that it is never missing; `ignored` names what
    is allowed although the callable does not take it.
    """

    name: str
    signature: Signature
    position: Position | None
    args: Sequence[Node] = ()
    kwargs: Sequence[Entry] = ()
    levels: Iterable[Level] = ()
    supplied: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()

    def bind(self) -> Bound:
        bound = Bound()
        self._bind_positions(bound)
        self._bind_names(bound)
        self._find_missing(bound)
        return bound

    def _bind_positions(self, bound: Bound) -> None:
        places = self.signature.positional
        for index, node in enumerate(self.args):
            if index < len(places):
                bound.given.append(Given(places[index], node, (index,)))
            elif self.signature.extra is not None:
                bound.given.append(Given(self.signature.extra, node, (index,)))
            else:
                message = f"{self.name} takes {_count(len(places))}, but {_given(len(self.args))}"
                bound.faults.append(Fault(message, node.position, (index,)))
                return

    def _bind_names(self, bound: Bound) -> None:
        by_position = {given.parameter.name for given in bound.given}
        for entry in self.kwargs:
            message = self._bind_name(entry, by_position, bound)
            if message:
                bound.faults.append(Fault(message, entry.position or entry.value.position, (str(entry.key),)))

    def _bind_name(self, entry: Entry, by_position: set[str], bound: Bound) -> str | None:
        name = entry.key
        if not isinstance(name, str):
            return f"{self.name}: the name of an argument must be text, not {name!r}"
        parameter = self.signature.get(name)
        if parameter is None:
            return None if self.signature.named_extra or name in self.ignored else self._unknown(name)
        if name in by_position:
            return f"{self.name}: {name!r} is given twice"
        bound.given.append(Given(parameter, entry.value, (name,)))
        return None

    def _unknown(self, name: str) -> str:
        if any(p.name == name for p in self.signature.parameters):
            return f"{self.name} takes {name!r} by its place only: write its arguments as a list"
        says = f"{self.name} has no argument {name!r}"
        for level in self.levels:
            if level.signature.get(name) is not None:
                return f"{says}, but {level.name} ({level.where}) has: check the indentation"
        names = self.signature.names
        hint = did_you_mean(name, names)
        if hint or not names:
            return says + (hint or "; it takes none")
        return f"{says}; it has {listed(names)}"

    def _find_missing(self, bound: Bound) -> None:
        given = {each.parameter.name for each in bound.given} | self.supplied
        missing = [p.name for p in self.signature.parameters if p.required and p.name not in given]
        missing = [name for name in missing if not self._misspelt(name)]
        if missing:
            noun = "argument" if len(missing) == 1 else "arguments"
            bound.faults.append(Fault(f"{self.name} needs the {noun} {listed(missing)}", self.position))

    def _misspelt(self, name: str) -> bool:
        """Whether an unknown argument was already reported as a slip of `name`."""
        if self.signature.named_extra:
            return False
        names = [parameter.name for parameter in self.signature.parameters]
        unknown = [e.key for e in self.kwargs if isinstance(e.key, str) and self.signature.get(e.key) is None]
        return any(nearest(each, names) == name for each in unknown)


def split(arguments: Node | None) -> tuple[tuple[Node, ...], tuple[Entry, ...]]:
    """Positional and keyword arguments as a tag's arguments give them."""
    match arguments:
        case None:
            return (), ()
        case nodes.Mapping(entries=entries):
            return (), entries
        case nodes.Sequence(items=items):
            return items, ()
    return (arguments,), ()


def argument(build: nodes.Build, signature: Signature | None, name: str | int) -> Node | None:
    """The argument of `build` that is called `name` or stands at that place."""
    args, kwargs = split(build.arguments)
    for entry in kwargs:
        if str(entry.key) == str(name):
            return entry.value
    if isinstance(name, int):
        return args[name] if -len(args) <= name < len(args) else None
    places: Sequence[Any] = signature.positional if signature is not None else ()
    return next((node for node, place in zip(args, places, strict=False) if place.name == name), None)


def _count(number: int) -> str:
    return "no arguments" if number == 0 else f"{number} argument{'s' if number > 1 else ''} by place"


def _given(number: int) -> str:
    return "1 is given" if number == 1 else f"{number} are given"
