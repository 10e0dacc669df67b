"""Which classes a save may have built when it is loaded.

A save is data that may come from anywhere, and loading it calls constructors. So its tags may only stand
for classes that somebody on this machine vouched for:

- what an installed plugin registers as a tag, and any class of a plugin's package;
- a `Component` of a module that this process has imported;
- any class or function of the modules named by `trust`.

`!call` may call the methods, without arguments, of objects that were built so; with `trust` of their
module, with arguments too. Plain functions are only called where `trust` names their module. Nothing is
installed, and no module is imported that is neither a plugin's nor trusted.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flambe.component import Component, origin_of
from flambe.errors import SavingError
from flambe.registry.installed import find_entry_points
from flambe.registry.registry import Registry
from flambe.registry.targets import Target

HARMLESS = frozenset({"flambe.stages.exporter"})
"""The modules of core whose classes a save may build: they hold what they are given and do nothing."""


class TrustedRegistry:
    """A registry that only resolves what a save may build.

    Raises:
        SavingError: The save's header names a module that nobody vouched for.
    """

    def __init__(
        self, registry: Registry, aliases: Mapping[str, str], trust: Iterable[str], where: str
    ) -> None:
        self._trust = tuple(trust)
        self._where = where
        self._plugins: set[str] | None = None
        for module in aliases.values():
            if not self._may_import(module):
                raise SavingError(self._refusal(f"module {module!r}", module))
        self._aliases = dict(aliases)
        self._registry = registry.with_aliases(aliases)

    def resolve(self, tag: str) -> Target:
        """What `tag` stands for.

        Raises:
            SavingError: Nobody vouched for it.
        """
        module = tag.partition(":")[0]
        if ":" in tag and not self._may_import(module):
            raise SavingError(self._refusal(f"{tag!r}", module))
        target = self._registry.resolve(tag)
        if not self._may_build(tag, target):
            raise SavingError(self._refusal(f"{tag!r}", getattr(target.value, "__module__", module)))
        return target

    def check_call(self, method: Callable[..., Any], *, has_arguments: bool) -> None:
        """Whether `!call` may call `method`.

        Raises:
            SavingError: It is no method of an object that the save built, or it is given arguments.
        """
        owner = getattr(method, "__self__", None)
        home = type(owner).__module__ if owner is not None else getattr(method, "__module__", None) or ""
        if self._is_trusted(home) or (origin_of(owner) is not None and not has_arguments):
            return
        name = getattr(method, "__qualname__", type(method).__qualname__)
        raise SavingError(
            f"{self._where} asks to call {name}: without trust=[{home!r}] a save may only call methods, "
            "without arguments, of objects that it built"
        )

    def _may_build(self, tag: str, target: Target) -> bool:
        value = target.value
        home = getattr(value, "__module__", None) or ""
        if self._is_trusted(home):
            return True
        if _is_in(home, "flambe"):
            return home in HARMLESS  # runs of experiments and what they need are no part of a save
        if ":" not in tag and tag.partition(".")[0] not in self._aliases and inspect.isclass(value):
            return True  # what a plugin registered, or a Component of a module that may be imported
        if not inspect.isclass(value):
            return False
        return issubclass(value, Component) or self._is_plugin(home)

    def _may_import(self, module: str) -> bool:
        return self._is_trusted(module) or module in sys.modules or self._is_plugin(module)

    def _is_trusted(self, module: str) -> bool:
        return any(_is_in(module, trusted) for trusted in self._trust)

    def _is_plugin(self, module: str) -> bool:
        if self._plugins is None:
            points = find_entry_points("flambe")
            self._plugins = {point.value.partition(":")[0].partition(".")[0] for point in points} - {"flambe"}
        return module.partition(".")[0] in self._plugins

    def _refusal(self, what: str, module: str) -> str:
        return (
            f"{self._where} asks to build {what}, for which nobody vouched: if you trust the save, load it "
            f"with trust=[{module!r}], or import a module whose classes inherit flambe.Component first"
        )


def _is_in(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")
