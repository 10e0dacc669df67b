"""What a tag stands for, and which attributes of a module a config may reach."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from flambe.component import Component


@dataclass(frozen=True, slots=True)
class Provider:
    """The distribution that something comes from; `version` is empty where it is not known."""

    distribution: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True, slots=True)
class Target:
    """What a tag stands for: a class or function, and the name of the factory if the tag has one."""

    tag: str
    value: Callable[..., Any]
    factory: str | None
    provider: Provider

    @property
    def callable(self) -> Callable[..., Any]:
        """What is called to build the object."""
        if self.factory is None:
            return self.value
        made: Callable[..., Any] = getattr(self.value, self.factory)
        return made

    def signature(self) -> inspect.Signature | None:
        """The arguments it takes, or None where they cannot be known (some builtins)."""
        value = self.callable
        try:
            return _component_signature(value) if _is_component(value) else inspect.signature(value)
        except (TypeError, ValueError):
            return None


Reached: TypeAlias = tuple[Callable[..., Any], str | None]


class UnreachableError(LookupError):
    """A name that a config may not reach, or that is not there; the message says which and why."""


def reach(module: types.ModuleType, names: Sequence[str]) -> Reached:
    """The class or function that `names` leads to from `module`, and its factory if the last name is one.

    The first name is a public attribute of the module that holds a class or function. Each further name
    is a class defined inside that class, or, at the end, a classmethod or staticmethod of it. Nothing else
    can be reached: no module, no instance, no private name, nothing that the module happens to have
    imported from Python's standard library.

    Raises:
        UnreachableError: with a message that names the part that does not fit.
    """
    return reach_inside(_from_module(module, names[0]), names[1:])


def reach_inside(value: Callable[..., Any], names: Sequence[str]) -> Reached:
    """What `names` leads to from the class `value`, by the rules of `reach`."""
    for position, name in enumerate(names):
        if not inspect.isclass(value):
            raise UnreachableError(f"{_name(value)!r} is a function and has no {name!r}")
        if name.startswith("_"):
            raise UnreachableError(f"{name!r} is private")
        inner = _nested_class(value, name)
        if inner is not None:
            value = inner
        elif position == len(names) - 1 and is_factory(value, name):
            return value, name
        else:
            raise UnreachableError(f"class {_name(value)!r} has no classmethod {name!r}")
    return value, None


def is_factory(owner: type, name: str) -> bool:
    """Whether `owner.name` is a public classmethod or staticmethod."""
    if name.startswith("_"):
        return False
    held = _held(owner, name)
    if isinstance(held, staticmethod | classmethod):
        return not _is_foreign(held.__func__, sys.modules.get(owner.__module__))
    return isinstance(held, types.ClassMethodDescriptorType)


def factories(owner: type) -> list[str]:
    """The names of the factories of `owner`, in alphabetical order."""
    names = {name for base in owner.__mro__ if base is not object for name in vars(base)}
    return sorted(name for name in names if is_factory(owner, name))


def is_buildable(value: object) -> bool:
    """Whether `value` is a class or function: what a tag may stand for."""
    if inspect.isclass(value) or inspect.isfunction(value):
        return True
    if isinstance(value, types.BuiltinFunctionType):
        return value.__self__ is None or inspect.ismodule(value.__self__)
    return isinstance(value, functools._lru_cache_wrapper)


def public_names(module: types.ModuleType) -> list[str]:
    """The names that `reach` finds in `module`, in alphabetical order; lazy ones are taken at their word."""
    held = vars(module)
    listed = held.get("__all__")
    names = {str(name) for name in listed} if isinstance(listed, list | tuple) else set(held)
    lazy = {name for name in names if name not in held and not name.startswith("_")}
    return sorted(lazy | {name for name in names & set(held) if _is_reachable(module, name)})


def _is_component(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Component)


def _component_signature(cls: Callable[..., Any]) -> inspect.Signature:
    """What `__init__` takes: `Component.__new__` only passes it on, but may hide it."""
    bodies = [vars(base) for base in inspect.getmro(cast(type, cls))[:-1]]
    inits = [body["__init__"] for body in bodies if "__init__" in body]
    if not inits:
        return inspect.Signature()
    found = inspect.signature(inits[0])
    return found.replace(parameters=list(found.parameters.values())[1:])


def _is_reachable(module: types.ModuleType, name: str) -> bool:
    try:
        _from_module(module, name)
    except UnreachableError:
        return False
    return True


def _from_module(module: types.ModuleType, name: str) -> Any:
    if name.startswith("_"):
        raise UnreachableError(f"{name!r} is private")
    try:
        value = getattr(module, name)
    except AttributeError:
        raise UnreachableError(f"module {module.__name__!r} has no {name!r}") from None
    if not is_buildable(value):
        kind = "a module" if inspect.ismodule(value) else f"an instance of {type(value).__name__}"
        raise UnreachableError(f"{name!r} of module {module.__name__!r} is {kind}, not a class or function")
    if _is_foreign(value, module) and name not in getattr(module, "__all__", ()):
        raise UnreachableError(
            f"{name!r} of module {module.__name__!r} only comes from Python's {value.__module__!r}"
        )
    return value


def _is_foreign(value: object, module: types.ModuleType | None) -> bool:
    """Whether `value` is of the standard library and `module` is not."""
    home = getattr(value, "__module__", None)
    at_home = module is not None and _top(module.__name__) in sys.stdlib_module_names
    return isinstance(home, str) and _top(home) in sys.stdlib_module_names and not at_home


def _name(value: object) -> str:
    return str(getattr(value, "__name__", value))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _nested_class(owner: type, name: str) -> type | None:
    held = _held(owner, name)
    if not inspect.isclass(held):
        return None
    defined_in = [f"{base.__qualname__}.{name}" for base in owner.__mro__]
    return held if held.__qualname__ in defined_in else None


def _held(owner: type, name: str) -> object:
    """What the class or one of its parents holds under `name`, with no descriptor or metaclass asked."""
    return next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None)
