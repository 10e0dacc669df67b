"""Annotations taken apart: the classes and literals that one stands for, and its name for people."""

from __future__ import annotations

import abc
import collections
import collections.abc
import enum
import sys
import types
import typing
from typing import Any, TypeAlias

NoneType = type(None)
SCALARS = (bool, int, float, complex, str, bytes)
LISTS: tuple[type, ...] = (list, tuple, set, frozenset, collections.deque)
MAPPINGS: tuple[type, ...] = (
    dict,
    collections.OrderedDict,
    collections.defaultdict,
    collections.abc.Mapping,
    collections.abc.MutableMapping,
)
_HEAP_TYPE = 1 << 9

Alternative: TypeAlias = Any
"""A class, a generic alias of one (`list[int]`), or a `Literal`."""


def alternatives(annotation: Any) -> tuple[Alternative, ...] | None:
    """What a value may be, unions taken apart; None where anything may be right.

    Type variables, protocols, callables and whatever we do not know let everything through.
    """
    annotation = _bare(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        found: list[Alternative] = []
        for member in typing.get_args(annotation):
            inner = alternatives(member)
            if inner is None:
                return None
            found += inner
        return tuple(found)
    if annotation is None:
        return (NoneType,)
    if origin is typing.Literal:
        return (annotation,)
    cls = origin or annotation
    return (annotation,) if isinstance(cls, type) and is_inspectable(cls) and not _open(cls) else None


def class_of(alternative: Alternative) -> type | None:
    """The class of an alternative; None for a `Literal`."""
    cls = typing.get_origin(alternative) or alternative
    return cls if isinstance(cls, type) else None


def is_inspectable(cls: type) -> bool:
    """Whether `cls` can be asked about without raising, which is only in doubt for unusual metaclasses."""
    if _has_plain_metaclass(cls):
        return True
    try:
        _ = cls.__mro__, cls.__module__, cls.__name__, vars(cls), getattr(cls, "metric", None)
        _ = issubclass(cls, int), issubclass(int, cls), isinstance(0, cls)
    except Exception:  # noqa: BLE001 - a metaclass of others decides
        return False
    return True


def is_plain(cls: type) -> bool:
    """Whether `cls` and its parents are written in Python and nothing else can stand in for them.

    Classes of C extensions (tensors, arrays, devices) are often made from plain values by those who
    take them, so what is given for them is never judged.
    """
    if not _has_plain_metaclass(cls) or _of_stdlib(cls):
        return False
    return all(_in_python(base) for base in cls.__mro__ if base is not object and not _of_support(base))


def _has_plain_metaclass(cls: type) -> bool:
    meta = type(cls)
    return meta in (type, abc.ABCMeta, enum.EnumMeta) or meta.__name__ == "_ProtocolMeta"


def _in_python(cls: type) -> bool:
    module = sys.modules.get(cls.__module__)
    source = getattr(module, "__file__", None)
    return bool(cls.__flags__ & _HEAP_TYPE) and (source is None or source.endswith((".py", ".pyc")))


def _of_support(cls: type) -> bool:
    """Whether a parent from the standard library adds no values of its own, as `Generic` and `ABC`."""
    return _of_stdlib(cls) and cls.__module__ != "builtins"


def _of_stdlib(cls: type) -> bool:
    root = cls.__module__.partition(".")[0]
    return root in sys.stdlib_module_names and root != "__main__"


def _open(cls: type) -> bool:
    return cls in (object, type, collections.abc.Callable) or getattr(cls, "_is_protocol", False)


def _bare(annotation: Any) -> Any:
    """The annotation without `Annotated`, `Final` and names given to types."""
    for _ in range(20):
        if typing.get_origin(annotation) in (typing.Annotated, typing.Final, typing.ClassVar):
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation
    return Any


def describe(annotation: Any) -> str:
    """`annotation` as people write it: `int | None`, `list[str]`, `'lstm' or 'gru'`."""
    annotation = _bare(annotation)
    if annotation is None or annotation is NoneType:
        return "null"
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return one_of([_literal(arg) for arg in args])
    if origin is typing.Union or origin is types.UnionType:
        return one_of([describe(arg) for arg in args])
    if origin is not None:
        name = getattr(origin, "__name__", str(origin))
        inside = ", ".join("..." if arg is Ellipsis else describe(arg) for arg in args)
        return f"{name}[{inside}]" if inside else name
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return f"{annotation.__name__} ({one_of([repr(name) for name in annotation.__members__])})"
    return str(getattr(annotation, "__name__", annotation))


def one_of(names: list[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
