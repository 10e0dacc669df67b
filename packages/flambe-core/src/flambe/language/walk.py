"""The one traversal of nodes: every tool that looks at a config goes through here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from flambe.language import nodes
from flambe.language.nodes import Entry, Key, Node

Path: TypeAlias = tuple["str | int | OptionStep", ...]


@dataclass(frozen=True, slots=True)
class OptionStep:
    """The step from a grid or choice to one of its options; it leaves no trace in a config path."""

    index: int


def key_step(key: Key) -> str | int:
    """The step from a mapping to the value of `key`."""
    return key if isinstance(key, (str, int)) and not isinstance(key, bool) else str(key)


def children(node: Node) -> Iterator[tuple[str | int | OptionStep, Node]]:
    """The nodes directly inside `node`, in document order, each with the step that leads to it.

    The argument of a `Build` is reached without a step of its own: the step is the argument's name
    or position.
    """
    match node:
        case nodes.Mapping(entries=entries):
            for entry in entries:
                yield key_step(entry.key), entry.value
        case nodes.Sequence(items=items):
            yield from enumerate(items)
        case nodes.Build(arguments=nodes.Mapping() | nodes.Sequence() as arguments):
            yield from children(arguments)
        case nodes.Build(arguments=Node() as argument):
            yield 0, argument
        case nodes.Link(args=args, kwargs=kwargs):
            yield from enumerate(args)
            for entry in kwargs:
                yield str(entry.key), entry.value
        case nodes.Grid(options=options):
            for index, option in enumerate(options):
                yield OptionStep(index), option
        case nodes.Distribution(arguments=arguments):
            for index, option in enumerate(arguments):
                yield OptionStep(index), option


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """`node` and every node inside it with their paths: document order, depth first, parents first."""
    yield path, node
    for step, child in children(node):
        yield from walk(child, (*path, step))


def rebuild(node: Node, change: Callable[[Node, Path], Node], path: Path = ()) -> Node:
    """`node` with each of its direct children replaced by `change(child, path)`; itself if none changed."""
    match node:
        case nodes.Mapping(entries=entries):
            made = tuple(_entry(entry, change, path) for entry in entries)
            return node if _same(made, entries) else replace(node, entries=made)
        case nodes.Sequence(items=items):
            items_made = tuple(change(item, (*path, i)) for i, item in enumerate(items))
            return node if _same(items_made, items) else replace(node, items=items_made)
        case nodes.Build(arguments=nodes.Mapping() | nodes.Sequence() as arguments):
            inside = rebuild(arguments, change, path)
            return node if inside is arguments else replace(node, arguments=inside)
        case nodes.Build(arguments=Node() as argument):
            inside = change(argument, (*path, 0))
            return node if inside is argument else replace(node, arguments=inside)
        case nodes.Link(args=args, kwargs=kwargs) if args or kwargs:
            args_made = tuple(change(arg, (*path, i)) for i, arg in enumerate(args))
            kwargs_made = tuple(_entry(entry, change, path) for entry in kwargs)
            same = _same(args_made, args) and _same(kwargs_made, kwargs)
            return node if same else replace(node, args=args_made, kwargs=kwargs_made)
        case nodes.Grid(options=options):
            options_made = tuple(change(o, (*path, OptionStep(i))) for i, o in enumerate(options))
            return node if _same(options_made, options) else replace(node, options=options_made)
        case nodes.Distribution(arguments=arguments):
            made_arguments = tuple(change(a, (*path, OptionStep(i))) for i, a in enumerate(arguments))
            return node if _same(made_arguments, arguments) else replace(node, arguments=made_arguments)
    return node


def substitute(root: Node, old: Node, new: Node) -> Node:
    """`root` with `new` for every use of the very node `old`; other shared nodes stay shared."""
    made: dict[int, Node] = {id(old): new}

    def change(node: Node, path: Path) -> Node:
        if id(node) not in made:
            made[id(node)] = rebuild(node, change, path)
        return made[id(node)]

    return change(root, ())


def format_path(path: Path) -> str:
    """`pipeline.stage1.layers[0].size`; options leave no trace."""
    text = ""
    for step in path:
        if isinstance(step, OptionStep):
            continue
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def _entry(entry: Entry, change: Callable[[Node, Path], Node], path: Path) -> Entry:
    value = change(entry.value, (*path, key_step(entry.key)))
    return entry if value is entry.value else replace(entry, value=value)


def _same(made: tuple[object, ...], old: tuple[object, ...]) -> bool:
    return all(a is b for a, b in zip(made, old, strict=True))
