"""Whether a value that is written in a config fits an annotation; when in doubt, it does."""

from __future__ import annotations

import collections.abc
import enum
import os
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flambe.check.annotations import (
    LISTS,
    MAPPINGS,
    SCALARS,
    Alternative,
    NoneType,
    alternatives,
    class_of,
    describe,
    is_plain,
)
from flambe.check.nearest import nearest
from flambe.check.values import Possible, Typed
from flambe.language import nodes
from flambe.language.nodes import Node
from flambe.language.walk import OptionStep, Path

_ITERABLES = (
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Container,
    collections.abc.Sized,
    collections.abc.Reversible,
)
_NUMERIC = ("__index__", "__int__", "__float__", "__complex__")
_LIKE_A_COLLECTION = ("__getitem__", "__iter__", "__contains__", "__getattr__")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value of a wrong type: where (the steps from the value that was asked about), what, and a hint."""

    node: Node
    steps: Path
    expected: str
    found: str
    hint: str = ""


@dataclass(frozen=True)
class Judge:
    """Judges nodes against annotations.

    `possible` gives what a node that is not written out (a link, a build, a distribution) may turn into.
    """

    possible: Callable[[Node], Iterable[Possible]]

    def misfits(self, node: Node, annotation: Any, steps: Path = ()) -> Iterator[Misfit]:
        """Each place inside `node` that cannot be what `annotation` says; options are judged one by one."""
        wanted = alternatives(annotation)
        if wanted is None:
            return
        match node:
            case nodes.Grid(options=options) | nodes.Distribution(name="choice", arguments=options):
                for index, option in enumerate(options):
                    yield from self.misfits(option, annotation, (*steps, OptionStep(index)))
            case nodes.Scalar(value=value):
                if not any(_scalar_fits(value, each) for each in wanted):
                    yield Misfit(node, steps, describe(annotation), show(node), _hint(value, wanted))
            case nodes.Sequence() | nodes.Mapping():
                yield from self._container(node, annotation, wanted, steps)
            case _:
                for possible in self.possible(node):
                    if not self._possible_fits(possible, annotation, wanted):
                        yield Misfit(node, steps, describe(annotation), show(possible.value))
                        return

    def _possible_fits(self, possible: Possible, annotation: Any, wanted: tuple[Alternative, ...]) -> bool:
        value = possible.value
        if isinstance(value, Typed):
            fits = _typed_fits(value, wanted)
        else:
            fits = next(self.misfits(value, annotation), None) is None
        return fits or not possible.certain()

    def _container(
        self,
        node: nodes.Sequence | nodes.Mapping,
        annotation: Any,
        wanted: tuple[Alternative, ...],
        steps: Path,
    ) -> Iterator[Misfit]:
        fits = _list_fits if isinstance(node, nodes.Sequence) else _mapping_fits
        candidates = [each for each in wanted if fits(node, each)]
        if not candidates:
            yield Misfit(node, steps, describe(annotation), show(node), _tag_hint(wanted))
            return
        inside = [list(self._inside(node, each, steps)) for each in candidates]
        if not any(not found for found in inside):
            if len(inside) == 1:
                yield from inside[0]
            else:
                yield Misfit(node, steps, describe(annotation), show(node))

    def _inside(self, node: Node, wanted: Alternative, steps: Path) -> Iterator[Misfit]:
        args = typing.get_args(wanted)
        if isinstance(node, nodes.Sequence):
            annotations = _item_types(node, wanted)
            for index, item in enumerate(node.items):
                yield from self.misfits(item, annotations[index], (*steps, index))
        elif isinstance(node, nodes.Mapping) and class_of(wanted) in MAPPINGS and len(args) == 2:
            key_type, value_type = args
            for entry in node.entries:
                key = nodes.Scalar(entry.key, position=entry.position)
                yield from self.misfits(key, key_type, (*steps, str(entry.key)))
                yield from self.misfits(entry.value, value_type, (*steps, _key_step(entry.key)))


def _key_step(key: nodes.Key) -> str | int:
    return key if isinstance(key, (str, int)) else str(key)


def show(value: Node | Typed) -> str:
    """A value for a message: `'two' (str)`, `a list`, `a WordTokenizer`."""
    match value:
        case Typed(annotation=annotation, name=name):
            return name or _a(describe(annotation))
        case nodes.Scalar(value=None):
            return "null"
        case nodes.Scalar(value=bool() as truth):
            return f"{str(truth).lower()} (bool)"
        case nodes.Scalar(value=plain):
            text = repr(plain) if len(repr(plain)) <= 40 else f"{repr(plain)[:37]}…"
            return f"{text} ({type(plain).__name__})"
        case nodes.Sequence():
            return "a list"
        case nodes.Mapping():
            return "a mapping"
        case nodes.Build(tag=tag):
            return f"an object (!{tag})"
    return _a(type(value).__name__.lower())


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def _scalar_fits(value: nodes.Plain, wanted: Alternative) -> bool:
    cls = class_of(wanted)
    if cls is None:
        return any(value == each and type(value) is type(each) for each in _choices(wanted))
    if value is None or cls is NoneType:
        return value is None and (cls is NoneType or not _judged(cls))
    if issubclass(cls, enum.Enum):
        return _enum_fits(value, cls)
    if isinstance(value, bool) and cls in SCALARS:
        return cls is bool
    if cls in (float, complex) and isinstance(value, (int, float)):
        return cls is complex or isinstance(value, (int, float))
    if isinstance(value, str) and issubclass(cls, os.PathLike):
        return True
    if isinstance(value, str) and cls.__module__ == "collections.abc" and not _holds_texts(wanted):
        return False
    return _isinstance(value, cls) or not _judged(cls)


def _holds_texts(wanted: Alternative) -> bool:
    """Whether a collection's items may be texts, as those of a text are."""
    args = typing.get_args(wanted)
    items = alternatives(args[0]) if args else None
    numbers = (*(cls for cls in SCALARS if cls is not str), NoneType)
    return items is None or any(class_of(item) not in numbers for item in items)


def _choices(literal: Alternative) -> list[Any]:
    return [each.value if isinstance(each, enum.Enum) else each for each in typing.get_args(literal)]


def _enum_fits(value: nodes.Plain, cls: type[enum.Enum]) -> bool:
    own_rule = any("_missing_" in vars(base) for base in cls.__mro__ if base.__module__ != "enum")
    return own_rule or value in cls.__members__ or any(member.value == value for member in cls)


def _isinstance(value: object, cls: type) -> bool:
    try:
        return isinstance(value, cls)
    except Exception:  # noqa: BLE001 - a metaclass of others decides
        return True


def _judged(cls: type) -> bool:
    """Whether a scalar that is no instance of `cls` is certainly wrong for it."""
    if cls in SCALARS or cls in LISTS or cls in MAPPINGS or cls is NoneType:
        return True
    return cls.__module__ in ("collections.abc", "numbers") or is_plain(cls)


def _list_fits(node: nodes.Sequence | nodes.Mapping, wanted: Alternative) -> bool:
    cls = class_of(wanted)
    if cls is tuple and isinstance(node, nodes.Sequence) and not _length_fits(len(node.items), wanted):
        return False
    if cls is None or cls in SCALARS or cls is NoneType or cls in MAPPINGS:
        return False
    return not (is_plain(cls) or issubclass(cls, enum.Enum))


def _length_fits(length: int, wanted: Alternative) -> bool:
    """Whether a tuple's annotation allows that many items; it may be bare, or of any length."""
    args = typing.get_args(wanted)
    unpacked = ("*", "typing.Unpack", "typing_extensions.Unpack")
    open_ended = not args or Ellipsis in args or any(repr(arg).startswith(unpacked) for arg in args)
    return open_ended or length == len(args)


def _mapping_fits(_: Node, wanted: Alternative) -> bool:
    cls = class_of(wanted)
    if cls is None or cls in SCALARS or cls is NoneType or cls in LISTS:
        return False
    if cls in (collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Set):
        return False
    return not (is_plain(cls) or issubclass(cls, enum.Enum))


def _item_types(node: nodes.Sequence, wanted: Alternative) -> list[Any]:
    """The annotation of each item."""
    cls, args, count = class_of(wanted), typing.get_args(wanted), len(node.items)
    if cls is tuple and args and args[-1] is not Ellipsis:
        return list(args) if len(args) == count else [Any] * count
    of_one_type = cls in LISTS or (cls is not None and cls.__module__ == "collections.abc")
    return [args[0] if of_one_type and args else Any] * count


def _typed_fits(source: Typed, wanted: tuple[Alternative, ...]) -> bool:
    may_be = alternatives(source.annotation)
    if may_be is None:
        return True
    return any(_one_typed_fits(a, b, exact=source.exact) for a in may_be for b in wanted)


def _one_typed_fits(source: Alternative, wanted: Alternative, *, exact: bool) -> bool:
    have, want = class_of(source), class_of(wanted)
    if have is None:
        return any(_scalar_fits(choice, wanted) for choice in _choices(source))
    if want is None:
        return not _settled(have, exact) or any(_isinstance(each, have) for each in _choices(wanted))
    if have is want:
        return True
    if have is NoneType or want is NoneType:
        return not (_settled(have, exact) and _settled(want, exact=True))
    if have in SCALARS:
        return _scalar_type_fits(have, want)
    if _subclass(have, want):
        return True
    if want in SCALARS:
        return not _settled(have, exact) or (
            want is not str and any(hasattr(have, name) for name in _NUMERIC)
        )
    if want in LISTS or want in MAPPINGS or want.__module__ == "collections.abc":
        return _collection_fits(have, want, exact)
    return not (_settled(have, exact) and is_plain(want))


def _scalar_type_fits(have: type, want: type) -> bool:
    if have is bool and want in SCALARS:
        return False
    if (have, want) in ((int, float), (int, complex), (float, complex)):
        return True
    if issubclass(want, enum.Enum) or (have is str and issubclass(want, os.PathLike)):
        return True
    return _subclass(have, want) or not _judged(want)


def _collection_fits(have: type, want: type, exact: bool) -> bool:
    if have in LISTS:
        return want not in MAPPINGS
    if have in MAPPINGS:
        return want in MAPPINGS or want in _ITERABLES
    return not _settled(have, exact) or any(hasattr(have, name) for name in _LIKE_A_COLLECTION)


def _settled(cls: type, exact: bool) -> bool:
    """Whether an object known as a `cls` cannot be anything that `cls` does not say."""
    return cls in SCALARS or cls in LISTS or cls in MAPPINGS or cls is NoneType or (exact and is_plain(cls))


def _subclass(cls: type, parent: type) -> bool:
    try:
        return issubclass(cls, parent)
    except Exception:  # noqa: BLE001 - a metaclass of others decides
        return True


def _hint(value: nodes.Plain, wanted: tuple[Alternative, ...]) -> str:
    classes = [class_of(each) for each in wanted]
    if isinstance(value, str):
        names = [name for each in wanted for name in _names(each)]
        near = nearest(value, names)
        if near is not None:
            return f"did you mean {near!r}?"
        if bool in classes and value.lower() in ("yes", "no", "on", "off", "true", "false"):
            return f"write {'true' if value.lower() in ('yes', 'on', 'true') else 'false'}"
        if (int in classes or float in classes) and _is_number(value):
            return f"write {value.replace('_', '')}" if "_" in value else "remove the quotes"
        if NoneType in classes and value == "None":
            return "write null"
    elif str in classes and not isinstance(value, bool) and value is not None:
        return "put it in quotes"
    elif int in classes and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    return _tag_hint(wanted)


def _names(wanted: Alternative) -> list[str]:
    """The texts among which `wanted` lets one choose."""
    cls = class_of(wanted)
    if cls is None:
        return [choice for choice in _choices(wanted) if isinstance(choice, str)]
    return list(cls.__members__) if issubclass(cls, enum.Enum) else []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tag_hint(wanted: tuple[Alternative, ...]) -> str:
    named = [cls for each in wanted if (cls := class_of(each)) is not None and is_plain(cls)]
    is_enum = any(issubclass(cls, enum.Enum) for cls in named)
    return "write an object with its !tag" if named and not is_enum else ""
