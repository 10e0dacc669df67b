"""The plugins' namespaces: prefixes of tags that stand for the names in some modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from types import ModuleType

from flambe.errors import PluginError
from flambe.registry.plugins import Namespace, import_failure
from flambe.registry.sources import may_define
from flambe.registry.targets import Reached, UnreachableError, public_names, reach


class BrokenNamespaceError(PluginError):
    """A module of a namespace cannot be imported, and the others do not have the name."""


class Namespaces:
    """The namespaces that plugins registered."""

    def __init__(self, namespaces: Sequence[Namespace]) -> None:
        self._namespaces = namespaces
        self._failures: dict[str, Exception] = {}

    def prefixes(self) -> set[str]:
        return {namespace.prefix for namespace in self._namespaces}

    def find(self, prefix: str, names: Sequence[str]) -> tuple[Reached, Namespace] | None:
        """What `!prefix.names` stands for.

        Raises:
            BrokenNamespaceError: if a module that may have it cannot be imported.
            PluginError: if two plugins have it.
        """
        return self._first([n for n in self._namespaces if n.prefix == prefix], names)

    def find_bare(self, names: Sequence[str], *, doubtful: bool) -> tuple[Reached, Namespace] | None:
        """What `!names` stands for in the namespaces that are looked into without their prefix.

        With `doubtful`, the name is likely none of theirs, so a package is not imported for it whose
        source does not mention it.

        Raises:
            PluginError: as `find` does.
        """
        bare = [n for n in self._namespaces if n.bare]
        if doubtful:
            bare = [n for n in bare if any(may_define(module, names[0]) for module in n.modules)]
        return self._first(bare, names)

    def names(self, prefix: str) -> list[str]:
        """The names inside `prefix`, of those of its modules that can be imported."""
        modules = [m for n in self._namespaces if n.prefix == prefix for m in n.modules]
        return sorted({name for module in modules for name in public_names_of(module)})

    def known_names(self) -> Iterator[str]:
        """`prefix.Name` (and `Name` where it is bare) of all modules that are imported already."""
        for namespace in self._namespaces:
            for module in filter(None, map(sys.modules.get, namespace.modules)):
                for name in public_names(module):
                    yield f"{namespace.prefix}.{name}"
                    if namespace.bare:
                        yield name

    def holding(self, value: object, name: str) -> Iterator[str]:
        """The prefixes in which `name` is `value`, imported modules only."""
        for namespace in self._namespaces:
            modules = filter(None, map(sys.modules.get, namespace.modules))
            if any(getattr(module, name, None) is value for module in modules):
                yield namespace.prefix

    def _first(
        self, namespaces: Iterable[Namespace], names: Sequence[str]
    ) -> tuple[Reached, Namespace] | None:
        found: list[tuple[Reached, Namespace]] = []
        broken: BrokenNamespaceError | None = None
        for namespace in namespaces:
            try:
                reached = self._inside(namespace, names)
            except BrokenNamespaceError as error:
                broken = error
                continue
            if reached is not None:
                found.append((reached, namespace))
        if not found and broken is not None:
            raise broken
        return _only(found, names)

    def _inside(self, namespace: Namespace, names: Sequence[str]) -> Reached | None:
        broken: BrokenNamespaceError | None = None
        for name in namespace.modules:
            module = self._module(name)
            if isinstance(module, Exception):
                what = f"namespace {namespace.prefix!r} of {namespace.provider} needs module {name!r}"
                broken = BrokenNamespaceError(f"{what}, {import_failure(name, module)}")
                broken.__cause__ = module
                continue
            with suppress(UnreachableError):
                return reach(module, names)
        if broken is not None:
            raise broken
        return None

    def _module(self, name: str) -> ModuleType | Exception:
        """The module, imported, or why that failed; it is not tried twice."""
        if name not in self._failures:
            try:
                return importlib.import_module(name)
            except Exception as error:  # noqa: BLE001 - code of others; told if nothing else has the tag
                self._failures[name] = error
        return self._failures[name]


def _only(
    found: Sequence[tuple[Reached, Namespace]], names: Sequence[str]
) -> tuple[Reached, Namespace] | None:
    if any(reached != found[0][0] for reached, _ in found):
        owners = " and by ".join(str(namespace.provider) for _, namespace in found)
        forms = " or ".join(f"!{value.__module__}:{value.__qualname__}" for (value, _), _ in found)
        raise PluginError(f"{'.'.join(names)!r} is brought by {owners}; write {forms}")
    return found[0] if found else None


def public_names_of(module: str) -> list[str]:
    """The names that tags reach in `module`, importing it; none if that fails."""
    try:
        return public_names(importlib.import_module(module))
    except Exception:  # noqa: BLE001 - only for suggestions: a module that cannot be imported has none
        return []
