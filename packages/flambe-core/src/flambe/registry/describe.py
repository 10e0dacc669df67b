"""What a person wants to know about a tag: arguments, documentation, who provides it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from flambe.registry.registry import Registry
from flambe.registry.targets import Provider, Target, factories

Kind: TypeAlias = Literal["class", "function", "factory"]


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter as text. `type` is empty without an annotation, `default` None if it must be given.

    `name` starts with `*` or `**` where it takes any further arguments.
    """

    name: str
    type: str
    default: str | None

    @property
    def required(self) -> bool:
        return self.default is None and not self.name.startswith("*")

    def __str__(self) -> str:
        typed = f"{self.name}: {self.type}" if self.type else self.name
        return typed if self.default is None else f"{typed} = {self.default}"


@dataclass(frozen=True, slots=True)
class Description:
    """A tag, described.

    `arguments` is None where they cannot be known. `module` is where the class or function is defined.
    `documentation` is the first paragraph of the docstring. `factories` are tags that build it another way.
    """

    tag: str
    kind: Kind
    module: str
    provider: Provider
    arguments: tuple[Argument, ...] | None
    documentation: str
    factories: tuple[str, ...]

    def text(self) -> str:
        """The description as plain lines."""
        lines = [f"!{self.tag}  ({self.kind} of {self.module}, from {self.provider})"]
        lines += [f"  {line}" for line in self.documentation.splitlines()]
        lines += ["arguments:", *self._argument_lines()]
        if self.factories:
            lines += ["factories:", *(f"  !{tag}" for tag in self.factories)]
        return "\n".join(lines)

    def _argument_lines(self) -> list[str]:
        if self.arguments is None:
            return ["  not known: it is written in C and does not say"]
        return [f"  {argument}" for argument in self.arguments] or ["  none"]


def describe(registry: Registry, tag: str) -> Description:
    """What `tag` stands for, described.

    Raises:
        PluginError: as `Registry.resolve` does for a tag that is unknown or cannot be imported.
    """
    target = registry.resolve(tag.removeprefix("!"))
    signature = target.signature()
    return Description(
        tag=target.tag,
        kind=_kind(target),
        module=str(getattr(target.value, "__module__", "")),
        provider=target.provider,
        arguments=None if signature is None else tuple(map(_argument, signature.parameters.values())),
        documentation=_first_paragraph(target.callable),
        factories=_factory_tags(target),
    )


def _kind(target: Target) -> Kind:
    if target.factory:
        return "factory"
    return "class" if inspect.isclass(target.value) else "function"


def _factory_tags(target: Target) -> tuple[str, ...]:
    if target.factory or not isinstance(target.value, type):
        return ()
    return tuple(f"{target.tag}.{name}" for name in factories(target.value))


def _argument(parameter: inspect.Parameter) -> Argument:
    stars: dict[object, str] = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    default = None if parameter.default is parameter.empty else repr(parameter.default)
    return Argument(stars.get(parameter.kind, "") + parameter.name, _type(parameter.annotation), default)


def _type(annotation: object) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _first_paragraph(value: Callable[..., Any]) -> str:
    """A class speaks for itself: what it inherits is about another."""
    own = value.__dict__.get("__doc__") if isinstance(value, type) else inspect.getdoc(value)
    return inspect.cleandoc(own or "").strip().partition("\n\n")[0]
