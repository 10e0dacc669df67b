"""The attributes that an instance of a class can have, where its source tells for sure."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator

from flambe.component import Component

_TRANSPARENT = frozenset({object, Component})
"""Classes that give their instances nothing that a link would ask for by mistake."""
_TRANSPARENT_MODULES = frozenset({"typing", "abc"})

_HARMLESS = frozenset({"super", "len", "isinstance", "type", "id", "repr", "str", "hash", "iter"})
"""What `self` may be handed to: none of these gives it an attribute."""
_SECRETIVE_NAMES = frozenset({"setattr", "vars", "exec", "eval", "locals", "globals"})
_SECRETIVE_ATTRIBUTES = frozenset({"__dict__", "__setattr__", "__class__", "__setstate__"})


@functools.lru_cache(maxsize=1024)
def instance_attributes(cls: type) -> frozenset[str] | None:
    """The names that the methods of `cls` and its parents assign to `self`; None where there may be more.

    There may be where a class makes up attributes (`__getattr__`), is decorated, comes without a source,
    or hands `self` to a function that could give it some.
    """
    if hasattr(cls, "__getattr__") or any("__getattribute__" in vars(base) for base in cls.__mro__[:-1]):
        return None
    found: set[str] = set()
    for base in cls.__mro__:
        if base in _TRANSPARENT or base.__module__ in _TRANSPARENT_MODULES:
            continue
        assigned = _assigned(base)
        if assigned is None:
            return None
        found |= assigned
    return frozenset(found)


@functools.lru_cache(maxsize=1024)
def _assigned(cls: type) -> frozenset[str] | None:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return None
    if not isinstance(body, ast.ClassDef) or body.decorator_list or _is_secretive(body):
        return None
    found: set[str] = set()
    for method in body.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            if _lets_self_go(method):
                return None
            found.update(_attributes_written(method))
    return frozenset(found)


def _is_secretive(body: ast.ClassDef) -> bool:
    """Whether the class may give itself attributes whose names are not written down."""
    return any(
        (isinstance(node, ast.Name) and node.id in _SECRETIVE_NAMES)
        or (isinstance(node, ast.Attribute) and node.attr in _SECRETIVE_ATTRIBUTES)
        or (isinstance(node, ast.FunctionDef) and node.name in _SECRETIVE_ATTRIBUTES)
        for node in ast.walk(body)
    )


def _lets_self_go(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether others get hold of the object, and could give it attributes."""
    parameters = [*method.args.posonlyargs, *method.args.args]
    if not parameters:
        return False
    kept = {id(name) for name in _kept_names(method, parameters[0].arg)}
    return any(
        isinstance(node, ast.Name) and node.id == parameters[0].arg and id(node) not in kept
        for node in ast.walk(method)
    )


def _kept_names(method: ast.AST, name: str) -> Iterator[ast.Name]:
    """Where the method only looks at the object: `self.a`, `len(self)`, `self[0]`."""
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id=found) as kept) if found == name:
                yield kept
            case ast.Subscript(value=ast.Name(id=found) as kept) if found == name:
                yield kept
            case ast.Call(func=ast.Name(id=function), args=arguments) if function in _HARMLESS:
                yield from (a for a in arguments if isinstance(a, ast.Name) and a.id == name)


def _attributes_written(method: ast.AST) -> Iterator[str]:
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
