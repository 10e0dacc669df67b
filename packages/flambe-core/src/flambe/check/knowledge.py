"""What can be known about values before anything is built: tags, and the steps of links through them."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from flambe.check.annotations import alternatives, class_of
from flambe.check.arguments import argument
from flambe.check.instance import instance_attributes
from flambe.check.kept import keeps
from flambe.check.nearest import did_you_mean
from flambe.check.signature import Signature, Signatures, has_own_call
from flambe.check.tags import Tags
from flambe.check.values import ANYTHING, Assumption, Possible, Typed
from flambe.language import nodes
from flambe.language.links import Attribute, Step
from flambe.language.nodes import Build, Node

_MISSING = object()
_MOST_OPTIONS = 100


class NoStepError(LookupError):
    """A step of a link that certainly leads nowhere."""


@dataclass
class Knowledge:
    """Answers what a node may turn into, and what a step into it gives."""

    tags: Tags
    signatures: Signatures = field(default_factory=Signatures)
    links: dict[int, tuple[Possible, ...]] = field(default_factory=dict)

    def possible(self, node: Node) -> tuple[Possible, ...]:
        """Everything that `node` may turn into; options give one each."""
        match node:
            case nodes.Scalar() | nodes.Sequence() | nodes.Mapping():
                return (Possible(node),)
            case Build():
                return (Possible(self._built(node)),)
            case nodes.Link():
                return self.links.get(id(node), (ANYTHING,))
            case nodes.Grid(options=options) | nodes.Distribution(name="choice", arguments=options):
                return self._of_options(options)
            case nodes.Draws(low=low, high=high):
                whole = isinstance(low, int) and isinstance(high, int)
                return (_number("!s", int if whole else float),)
            case nodes.Distribution(name=name):
                return (_number(f"!{name}", int if "int" in name else float),)
        return (ANYTHING,)

    def _of_options(self, options: tuple[Node, ...]) -> tuple[Possible, ...]:
        found: list[Possible] = []
        for option in options:
            found += self.possible(option)
            if len(found) >= _MOST_OPTIONS:
                break
        return tuple(found)

    def signature(self, build: Build) -> Signature | None:
        """What the tag of `build` takes, if it is known."""
        target = self.tags.resolve(build.tag).target
        return None if target is None else self.signatures.of(target)

    def take(self, possible: Possible, step: Step) -> tuple[Possible, ...]:
        """What `step` leads to from `possible`.

        Raises:
            NoStepError: if it certainly leads nowhere.
        """
        value = possible.value
        if isinstance(value, Typed):
            return _assuming(possible.assumes, self._into_typed(value, step))
        return _assuming(possible.assumes, self._into_written(value, step))

    def refuse_missing_attribute(self, possible: Possible, step: Step) -> None:
        """For what a whole stage builds, which nobody else has had in hand.

        Raises:
            NoStepError: it certainly has neither an attribute nor an argument of that name.
        """
        value = possible.value
        if not isinstance(value, Typed) or not value.exact or value.build is None:
            return
        cls, signature = class_of(value.annotation), self.signature(value.build)
        if cls is None or signature is None or not isinstance(step, Attribute) or _is_collection(cls):
            return
        assigned = instance_attributes(cls)
        if assigned is None:
            return
        names = {*assigned, *dir(cls), *self.signatures.attributes(cls), *signature.names}
        if step.name not in names and argument(value.build, signature, step.name) is None:
            shown = [name for name in names if not name.startswith("_")]
            raise NoStepError(
                f"{cls.__name__} has no attribute {step.name!r}{did_you_mean(step.name, shown)}"
            )

    def called(self, possible: Possible) -> Possible:
        """What calling `possible` gives."""
        value = possible.value
        if not isinstance(value, Typed) or value.function is None:
            return ANYTHING
        return Possible(Typed(self.signatures.returned(value.function, value.owner)), possible.assumes)

    def _built(self, build: Build) -> Typed:
        target = self.tags.resolve(build.tag).target
        if target is None:
            return Typed(build=build)
        if isinstance(target, type):
            return Typed(target, exact=True, build=build) if _makes_itself(target) else Typed(build=build)
        owner = getattr(target, "__self__", None)
        returned = self.signatures.returned(target, owner if isinstance(owner, type) else None)
        return Typed(returned, build=build)

    def _into_written(self, node: Node, step: Step) -> tuple[Possible, ...]:
        key = _key(step)
        match node:
            case nodes.Mapping(entries=entries):
                for entry in entries:
                    if entry.key == key or str(entry.key) == str(key):
                        return self.possible(entry.value)
            case nodes.Sequence(items=items):
                index = _index(key)
                if index is not None and -len(items) <= index < len(items):
                    return self.possible(items[index])
            case nodes.Scalar(value=str()) if isinstance(key, int):
                return (ANYTHING,)
        if isinstance(step, Attribute) and hasattr(_python_type(node), step.name):
            return (ANYTHING,)
        raise NoStepError(_nowhere(node, step))

    def _into_typed(self, value: Typed, step: Step) -> tuple[Possible, ...]:
        known = alternatives(value.annotation)
        cls = class_of(known[0]) if known is not None and len(known) == 1 else None
        if cls is None or _is_collection(cls):
            return (ANYTHING,)
        if isinstance(step, Attribute):
            return self._attribute(cls, value, step.name)
        return self._item(cls, value, step.key)

    def _attribute(self, cls: type, value: Typed, name: str) -> tuple[Possible, ...]:
        declared = inspect.getattr_static(cls, name, _MISSING)
        if isinstance(declared, (property, functools.cached_property)):
            getter = declared.fget if isinstance(declared, property) else declared.func
            return (Possible(Typed(self.signatures.returned(getter, cls) if getter else Any)),)
        if isinstance(declared, (types.FunctionType, staticmethod, classmethod)):
            return (Possible(Typed(function=_bound(declared, cls), owner=cls)),)
        if name in self.signatures.attributes(cls):
            return (Possible(Typed(self.signatures.attributes(cls)[name])),)
        if declared is not _MISSING or value.build is None:
            return (ANYTHING,)
        return _assuming((functools.partial(keeps, cls, name),), self._argument(value.build, name))

    def _argument(self, build: Build, name: str) -> tuple[Possible, ...]:
        signature = self.signature(build)
        given = argument(build, signature, name)
        if given is not None:
            return self.possible(given)
        parameter = signature.get(name) if signature is not None else None
        if parameter is not None and type(parameter.default) in (bool, int, float, str):
            return (Possible(nodes.Scalar(parameter.default)),)
        return (ANYTHING,)

    def _item(self, cls: type, value: Typed, key: str | int) -> tuple[Possible, ...]:
        if value.build is None or hasattr(cls, "__getitem__") or not value.exact:
            return (ANYTHING,)
        signature = self.signature(value.build)
        if signature is None or signature.named_extra or isinstance(key, int):
            return (ANYTHING,)
        given = argument(value.build, signature, key)
        if given is not None:
            return self.possible(given)
        if key in signature.names:
            return (ANYTHING,)
        raise NoStepError(f"{cls.__name__} has no argument {key!r}{did_you_mean(key, signature.names)}")


def _assuming(assumes: tuple[Assumption, ...], found: tuple[Possible, ...]) -> tuple[Possible, ...]:
    return tuple(replace(each, assumes=assumes + each.assumes) for each in found) if assumes else found


def _number(name: str, kind: type) -> Possible:
    return Possible(Typed(kind, name=f"{'an int' if kind is int else 'a float'} from {name}"))


def _makes_itself(cls: type) -> bool:
    """Whether calling `cls` certainly gives an instance of it."""
    maker: Callable[..., Any] = cls.__new__
    usual = not hasattr(maker, "__code__") or maker.__module__ in ("flambe.component", "typing")
    return usual and not has_own_call(type(cls))


def _bound(declared: Any, cls: type) -> Callable[..., Any]:
    """A method as its instances have it: without `self`."""
    if isinstance(declared, staticmethod):
        plain: Callable[..., Any] = declared.__func__
        return plain
    return types.MethodType(getattr(declared, "__func__", declared), cls)


def _is_collection(cls: type) -> bool:
    """Whether its items come before its attributes when a link steps into it."""
    from collections.abc import Mapping, Sequence

    return issubclass(cls, (Mapping, Sequence))


def _key(step: Step) -> str | int:
    return step.name if isinstance(step, Attribute) else step.key


def _index(key: str | int) -> int | None:
    try:
        return int(key)
    except ValueError:
        return None


def _python_type(node: Node) -> type:
    if isinstance(node, nodes.Scalar):
        return type(node.value)
    return dict if isinstance(node, nodes.Mapping) else list


def _nowhere(node: Node, step: Step) -> str:
    key = _key(step)
    match node:
        case nodes.Mapping(entries=entries):
            return f"the mapping has no item {key!r}{did_you_mean(key, [e.key for e in entries])}"
        case nodes.Sequence(items=items):
            return f"the list has no item {key!r}; it has {len(items)}"
        case nodes.Scalar(value=None):
            return f"null has no item or attribute {key!r}"
    return f"the {_python_type(node).__name__} there has no item or attribute {key!r}"
