"""Modules that tags look into: the plugins' namespaces, and the modules that a config's header names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import ModuleType

from flambe.component import ALIASES, Component
from flambe.errors import ExtensionError, PluginError
from flambe.registry.plugins import Namespace, import_failure
from flambe.registry.sources import may_define
from flambe.registry.targets import Reached, UnreachableError, public_names, reach


class BrokenNamespaceError(PluginError):
    """A module of a namespace cannot be imported, and the others do not have the name."""


class Namespaces:
    """The namespaces that plugins registered."""

    def __init__(self, namespaces: Sequence[Namespace]) -> None:
        self._namespaces = namespaces

    def prefixes(self) -> set[str]:
        return {namespace.prefix for namespace in self._namespaces}

    def find(self, prefix: str, names: Sequence[str]) -> tuple[Reached, Namespace] | None:
        """What `!prefix.names` stands for.

        Raises:
            BrokenNamespaceError: if a module that may have it cannot be imported.
            PluginError: if two plugins have it.
        """
        return _first([n for n in self._namespaces if n.prefix == prefix], names)

    def find_bare(self, names: Sequence[str], *, rivals: bool) -> tuple[Reached, Namespace] | None:
        """What `!names` stands for in the namespaces that are looked into without their prefix.

        With `rivals`, something else would take the name, so a package is not imported for it whose
        source does not mention it.

        Raises:
            PluginError: as `find` does.
        """
        bare = [n for n in self._namespaces if n.bare]
        if rivals:
            bare = [n for n in bare if any(may_define(module, names[0]) for module in n.modules)]
        return _first(bare, names)

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


def _first(namespaces: Iterable[Namespace], names: Sequence[str]) -> tuple[Reached, Namespace] | None:
    found: list[tuple[Reached, Namespace]] = []
    failure: BrokenNamespaceError | None = None
    for namespace in namespaces:
        try:
            reached = _in_namespace(namespace, names)
        except BrokenNamespaceError as error:
            failure = error
            continue
        if reached is not None:
            found.append((reached, namespace))
    if not found:
        if failure is not None:
            raise failure
        return None
    if any(reached != found[0][0] for reached, _ in found):
        owners = " and by ".join(str(namespace.provider) for _, namespace in found)
        forms = " or ".join(f"!{value.__module__}:{value.__qualname__}" for (value, _), _ in found)
        raise PluginError(f"{'.'.join(names)!r} is brought by {owners}; write {forms}")
    return found[0]


def _in_namespace(namespace: Namespace, names: Sequence[str]) -> Reached | None:
    failure: BrokenNamespaceError | None = None
    for name in namespace.modules:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - code of others; raised below if nothing else has the name
            what = f"namespace {namespace.prefix!r} of {namespace.provider} needs module {name!r}"
            failure = BrokenNamespaceError(f"{what}, {import_failure(name, error)}")
            failure.__cause__ = error
            continue
        try:
            return reach(module, names)
        except UnreachableError:
            continue
    if failure is not None:
        raise failure
    return None


def public_names_of(module: str) -> list[str]:
    """The names that tags reach in `module`, importing it; none if that fails."""
    try:
        return public_names(importlib.import_module(module))
    except Exception:  # noqa: BLE001 - only for suggestions: a module that cannot be imported has none
        return []


class HeaderModules:
    """The modules that a config's header names, imported when first needed."""

    def __init__(self, aliases: Mapping[str, str], hints: Mapping[str, str] | None = None) -> None:
        self.aliases = dict(aliases)
        self._hints = hints or {}

    def module(self, alias: str) -> ModuleType:
        """The module of `alias`.

        Raises:
            ExtensionError: if it is not installed. What its own code raises keeps its type.
        """
        return import_extension(alias, self.aliases[alias], self._hints.get(alias, ""))

    def components(self, names: Sequence[str]) -> tuple[list[type[Component]], Sequence[str]]:
        """The `Component`s of the header's modules with the tag `names`, and the names that come after it.

        A component's tags are its name and its aliases, which may hold dots. A module that cannot be
        imported is passed over; `check_modules` says why.
        """
        for alias in self.aliases:
            with suppress(Exception):
                self.module(alias)
        known = [(cls, _names_of(cls)) for cls in self._imported_components()]
        for count in range(len(names), 0, -1):
            found = [cls for cls, own in known if ".".join(names[:count]) in own]
            if found:
                return found, names[count:]
        return [], names

    def check_modules(self) -> None:
        """Import every module of the header; raises what `module` raises for the first that fails."""
        for alias in self.aliases:
            self.module(alias)

    def known_names(self) -> Iterator[str]:
        """`alias.Name` and the bare names of components, of all modules that are imported already."""
        for alias, name in self.aliases.items():
            module = sys.modules.get(name)
            for public in public_names(module) if module else ():
                yield f"{alias}.{public}"
        for cls in self._imported_components():
            yield from _names_of(cls)

    def holding(self, value: object, qualified_name: str) -> Iterator[str]:
        """The aliases through which `value` is reached, the longest module name first."""
        for alias, name in sorted(self.aliases.items(), key=lambda item: (-len(item[1]), item[0])):
            module = sys.modules.get(name)
            try:
                reached = module and reach(module, qualified_name.split("."))
            except UnreachableError:
                continue
            if reached and reached == (value, None):
                yield alias

    def _imported_components(self) -> Iterator[type[Component]]:
        for cls in _subclasses(Component):
            if any(is_inside(cls.__module__, module) for module in self.aliases.values()):
                yield cls


def import_extension(alias: str, module: str, hint: str = "") -> ModuleType:
    """The module of an extension.

    Raises:
        ExtensionError: if it is not installed; `hint` says what to run. What its own code raises keeps its
            type and gains a note.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not is_inside(module, error.name or ""):
            add_note(error, f"while importing {module!r}, the extension {alias!r} of the header")
            raise
        raise ExtensionError(f"extension {alias!r}: module {module!r} is not installed{hint}") from error
    except Exception as error:
        add_note(error, f"while importing {module!r}, the extension {alias!r} of the header")
        raise


def add_note(error: BaseException, text: str) -> None:
    if hasattr(error, "add_note"):  # Python 3.11
        error.add_note(text)
    else:
        error.__dict__.setdefault("__notes__", []).append(text)


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _names_of(cls: type) -> tuple[str, ...]:
    return (cls.__name__, *vars(cls).get(ALIASES, ()))


def _subclasses(cls: type[Component]) -> Iterator[type[Component]]:
    """Every public, importable subclass, parents first, each once."""
    seen: set[type] = set()
    waiting = list(cls.__subclasses__())
    while waiting:
        found = waiting.pop(0)
        waiting += found.__subclasses__()
        if found not in seen and _is_importable(found):
            seen.add(found)
            yield found


def _is_importable(cls: type) -> bool:
    """Whether the class's module still holds it: not local to a function, not private, not replaced."""
    try:
        module = sys.modules[cls.__module__]
        return reach(module, cls.__qualname__.split(".")) == (cls, None)
    except (KeyError, UnreachableError):
        return False
