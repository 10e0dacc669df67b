"""The modules that a config's header names, and the `Component`s inside them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import ModuleType

from flambe.component import ALIASES, Component
from flambe.errors import ExtensionError
from flambe.registry.targets import UnreachableError, public_names, reach


class HeaderModules:
    """The modules that a config's header names, imported when first needed."""

    def __init__(self, aliases: Mapping[str, str], hints: Mapping[str, str] | None = None) -> None:
        self.aliases = dict(aliases)
        self._hints = hints or {}
        self._failures: dict[str, Exception] = {}

    def module(self, alias: str) -> ModuleType:
        """The module of `alias`. One that failed is not tried again.

        Raises:
            ExtensionError: if it is not installed. What its own code raises keeps its type.
        """
        if alias in self._failures:
            raise self._failures[alias]
        try:
            return import_extension(alias, self.aliases[alias], self._hints.get(alias, ""))
        except Exception as error:
            self._failures[alias] = error
            raise

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
