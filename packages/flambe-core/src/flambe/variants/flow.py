"""Nodes as YAML on one line, for tables and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

from flambe.language import nodes

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*\Z")
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
            return f"!{tag}" if arguments is None else f"!{tag} {one_line(arguments)}"
        case nodes.Link(path=path, call=True, args=args, kwargs=kwargs) if args or kwargs:
            return f"!call {{target: {_scalar(str(path))}, args: {_list(args)}, kwargs: {_mapping(kwargs)}}}"
        case nodes.Link(path=path, call=call):
            return f"!call {path}" if call else f"!@ {path}"
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
            return f"!env {name}"
        case nodes.Secret(section=section, key=key):
            return f"!secret {section}.{key}"
    raise TypeError(f"no YAML for {type(node).__name__}")


def _scalar(value: nodes.Plain) -> str:
    if isinstance(value, str):
        plain = _PLAIN.match(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value)
    if isinstance(value, float):
        return (
            repr(value) if math.isfinite(value) else f"{value}".replace("inf", ".inf").replace("nan", ".nan")
        )
    return json.dumps(value)


def _list(items: Iterable[nodes.Node]) -> str:
    return f"[{', '.join(map(one_line, items))}]"


def _mapping(entries: Iterable[nodes.Entry]) -> str:
    return f"{{{', '.join(f'{_scalar(entry.key)}: {one_line(entry.value)}' for entry in entries)}}}"
