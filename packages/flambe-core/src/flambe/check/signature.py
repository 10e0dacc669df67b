"""What a class or function takes: its parameters with their annotations resolved, read once for each."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flambe.component import Component

_PASSED_OVER = (object, Component, typing.Generic)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `annotation` is `Any` where there is none, or where it cannot be resolved."""

    name: str
    annotation: Any = Any
    default: Any = inspect.Parameter.empty
    by_name: bool = True
    by_position: bool = True

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a callable; `extra` and `named_extra` stand for `*args` and `**kwargs`."""

    parameters: tuple[Parameter, ...] = ()
    extra: Parameter | None = None
    named_extra: bool = False

    def get(self, name: str) -> Parameter | None:
        """The parameter that can be given by `name`."""
        return next((p for p in self.parameters if p.name == name and p.by_name), None)

    @property
    def positional(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.by_position)

    @property
    def names(self) -> list[str]:
        return [p.name for p in self.parameters if p.by_name]


@dataclass
class Signatures:
    """Reads signatures, class annotations and return types, each once. Never raises: None or Any instead."""

    _calls: dict[Any, Signature | None] = field(default_factory=dict)
    _attributes: dict[type, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, target: Callable[..., Any]) -> Signature | None:
        """What `target` takes, or None if it does not say (much of what is written in C)."""
        try:
            if target not in self._calls:
                self._calls[target] = _read(target)
            return self._calls[target]
        except Exception:  # noqa: BLE001 - code of others: hashing or inspecting it may do anything
            return None

    def attributes(self, cls: type) -> Mapping[str, Any]:
        """The annotations in the bodies of `cls` and its parents, by name."""
        if cls not in self._attributes:
            self._attributes[cls] = _class_annotations(cls)
        return self._attributes[cls]

    def returned(self, function: Callable[..., Any], owner: type | None = None) -> Any:
        """The type that `function` says it returns; `Self` means `owner`."""
        try:
            function = inspect.unwrap(function)
            annotations = getattr(function, "__annotations__", None) or {}
            if "return" not in annotations:
                return Any
            found = _resolve({"return": annotations["return"]}, _globals(function))["return"]
        except Exception:  # noqa: BLE001 - code of others
            return Any
        named_self = getattr(found, "__name__", getattr(found, "_name", "")) == "Self"
        if named_self and not isinstance(found, type):
            return owner if owner is not None else Any
        return Any if isinstance(found, typing.TypeVar) else found


def _read(target: Callable[..., Any]) -> Signature | None:
    try:
        function, signature, takes_self = _callable(target)
    except (ValueError, TypeError):
        return None
    if signature is None:
        return Signature()
    hints = _hints(function, signature)
    read: list[Parameter] = []
    extra: Parameter | None = None
    named_extra = False
    parameters = list(signature.parameters.values())
    if takes_self and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[0]
    for parameter in parameters:
        kind, annotation = parameter.kind, hints.get(parameter.name, Any)
        if kind is parameter.VAR_POSITIONAL:
            extra = Parameter(parameter.name, annotation)
        elif kind is parameter.VAR_KEYWORD:
            named_extra = True
        else:
            read.append(
                Parameter(
                    parameter.name,
                    annotation,
                    parameter.default,
                    by_name=kind is not parameter.POSITIONAL_ONLY,
                    by_position=kind is not parameter.KEYWORD_ONLY,
                )
            )
    return Signature(tuple(read), extra, named_extra)


def _callable(target: Callable[..., Any]) -> tuple[Any, inspect.Signature | None, bool]:
    """What holds the annotations, the signature, and whether that begins with `self`."""
    if not isinstance(target, type):
        return target, inspect.signature(target), False
    if "__signature__" in target.__dict__ or has_own_call(type(target)):
        return target.__init__, inspect.signature(target), False  # type: ignore[misc]  # only read
    constructor = _constructor(target)
    if constructor is None:
        return target, None, False
    return constructor, inspect.signature(constructor), True


def has_own_call(meta: type) -> bool:
    """Whether a metaclass decides for itself what calling its classes does."""
    return any("__call__" in vars(base) for base in inspect.getmro(meta) if base not in (type, object))


def _constructor(cls: type) -> Any:
    """The `__init__` or `__new__` that decides what `cls` takes; None if it takes nothing."""
    for base in cls.__mro__:
        if base in _PASSED_OVER:
            continue
        for name in ("__init__", "__new__"):
            if name in base.__dict__:
                return getattr(base, name)
    return None


def _hints(function: Any, signature: inspect.Signature) -> Mapping[str, Any]:
    written = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    return _resolve(written, _globals(function)) if written else {}


def _globals(function: Any) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    found = getattr(function, "__globals__", None)
    if found is None:
        found = vars(sys.modules.get(getattr(function, "__module__", "") or "", types.ModuleType("")))
    return typing.cast("dict[str, Any]", found)


def _resolve(written: Mapping[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """Annotations with their strings evaluated; `Any` for each that cannot be."""
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__=dict(written)), namespace)
    except Exception:  # noqa: BLE001 - annotations are code of others: names only known to type checkers, …
        if len(written) == 1:
            return dict.fromkeys(written, Any)
    return {name: _resolve({name: annotation}, namespace)[name] for name, annotation in written.items()}


def _class_annotations(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        written: Any = _annotations(base)
        module = sys.modules.get(base.__module__)
        found.update(_resolve(written, dict(vars(module)) if module else {}) if written else {})
    return found


def _annotations(cls: type) -> dict[str, Any]:
    try:
        return inspect.get_annotations(cls)
    except Exception:  # noqa: BLE001 - code of others: Python 3.14 evaluates them only now
        return {}
