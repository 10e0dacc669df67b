"""Nodes as YAML on one line, for tables and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from urllib.parse import quote

from flambe.language import nodes

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*\Z")
_TAG_CHARACTERS = "-;/?:@&=+$.~*'()"
_WORDS = frozenset({"null", "true", "false"})


def one_line(node: nodes.Node) -> str:
    """The node's YAML on one line, such as `!Adam {lr: 0.1}`."""
    match node:
        case nodes.Scalar(value=value):
            return _scalar(value)
        case nodes.Sequence(items=items):
            return _list(items)
        case nodes.Mapping(entries=entries):
            return _mapping(entries)
        case nodes.Build(tag=tag, arguments=arguments):
            return _build(quote(tag, safe=_TAG_CHARACTERS), arguments)
        case nodes.Link(path=path, call=True, args=args, kwargs=kwargs) if args or kwargs:
            return f"!call {{target: {_scalar(str(path))}, args: {_list(args)}, kwargs: {_mapping(kwargs)}}}"
        case nodes.Link(path=path, call=call):
            return f"{'!call' if call else '!@'} {_scalar(str(path))}"
        case nodes.Grid(options=options):
            return f"!g {_list(options)}"
        case nodes.Draws(low=low, high=high, count=count, decimals=decimals):
            numbers = [low, high, count, *([] if decimals is None else [decimals])]
            return f"!s {_list(nodes.Scalar(number) for number in numbers)}"
        case nodes.Distribution(name=name, arguments=arguments):
            return f"!{name} {_list(arguments)}"
        case nodes.ClusterPath(path=path):
            return f"!cluster {_scalar(path)}"
        case nodes.Environment(name=name):
            return f"!env {_scalar(name)}"
        case nodes.Secret(section=section, key=key):
            return f"!secret {_scalar(f'{section}.{key}')}"
    raise TypeError(f"no YAML for {type(node).__name__}")


def _build(tag: str, arguments: nodes.Node | None) -> str:
    match arguments:
        case None:
            return f"!{tag}"
        case nodes.Scalar() | nodes.Sequence() | nodes.Mapping():
            return f"!{tag} {one_line(arguments)}"
    return f"!{tag} {_list([arguments])}"  # a node cannot have two tags


def _scalar(value: nodes.Plain) -> str:
    if isinstance(value, str):
        plain = _PLAIN.match(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, float):
        return (
            repr(value) if math.isfinite(value) else f"{value}".replace("inf", ".inf").replace("nan", ".nan")
        )
    return json.dumps(value)


def _list(items: Iterable[nodes.Node]) -> str:
    return f"[{', '.join(map(_inside, items))}]"


def _mapping(entries: Iterable[nodes.Entry]) -> str:
    return f"{{{', '.join(f'{_scalar(entry.key)}: {_inside(entry.value)}' for entry in entries)}}}"


def _inside(node: nodes.Node) -> str:
    """The node in a list or mapping, where a tag must not touch what comes next."""
    bare = isinstance(node, nodes.Build) and node.arguments is None
    return one_line(node) + " " * bare
