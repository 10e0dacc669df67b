"""The order in which a tag is looked up, the way back, and what is said when nothing has a name."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

from flambe.errors import PluginError, UnknownTagError
from flambe.registry.catalogue import Catalogue
from flambe.registry.header_modules import HeaderModules, add_note, is_inside
from flambe.registry.installed import find_distribution
from flambe.registry.namespaces import BrokenNamespaceError, Namespaces
from flambe.registry.plugins import PluginRecord, Registration
from flambe.registry.sources import is_installed
from flambe.registry.suggestions import did_you_mean, nearest, package_for
from flambe.registry.targets import (
    Provider,
    Reached,
    Target,
    UnreachableError,
    factories,
    is_buildable,
    public_names,
    reach,
    reach_inside,
)


class Lookup:
    """Finds targets for tags, and tags for targets."""

    def __init__(
        self,
        records: Sequence[PluginRecord],
        catalogue: Catalogue,
        namespaces: Namespaces,
        header: HeaderModules,
    ) -> None:
        self._records = records
        self._catalogue = catalogue
        self._namespaces = namespaces
        self._header = header

    def find(self, tag: str, *, doubtful: bool = False) -> Target:
        """What `tag` stands for; raises as `Registry.resolve` says.

        For a `doubtful` one no package is imported whose source does not mention it.
        """
        if ":" in tag:
            return self._imported(tag)
        names = tag.split(".")
        if not all(name.replace("-", "_").isidentifier() for name in names):
            if tag.startswith("@"):
                raise UnknownTagError(f"a space is missing in the link: write '!@ {tag[1:]}'")
            raise UnknownTagError(f"{tag!r} is not a tag; expected !Name, !ns.Name or !module.path:Name")
        if len(names) > 1 and names[0] in self._header.aliases:
            return self._in_header(tag, names)
        found = self._registered(tag, names) or self._in_namespace(tag, names) or self._qualified(tag, names)
        return found or self._bare(tag, names, doubtful=doubtful)

    def known(self) -> Iterator[str]:
        """Every tag that is known without importing anything more, each once."""
        seen = dict.fromkeys(self._catalogue.tag_names())
        seen |= dict.fromkeys(self._namespaces.known_names())
        seen |= dict.fromkeys(self._header.known_names())
        yield from seen

    def inside(self, prefix: str) -> list[str]:
        """The tags of a namespace, whose modules are imported for it; those that fail are left out."""
        return [f"{prefix}.{name}" for name in self._namespaces.names(prefix)]

    def tag_of(self, value: Callable[..., Any]) -> str | None:
        """The first of the candidates that stands for `value`; None if no config can reach it."""
        if inspect.ismethod(value) and inspect.isclass(value.__self__):
            owner = self.tag_of(value.__self__)
            return f"{owner}.{value.__name__}" if owner else None
        return next((tag for tag in self._candidates(value) if self._stands_for(tag, value)), None)

    def _registered(self, tag: str, names: Sequence[str]) -> Target | None:
        for count in range(len(names), 0, -1):
            registration = self._catalogue.tag(".".join(names[:count]))
            if registration is not None:
                return _inside(tag, registration, names[count:])
        return None

    def _in_namespace(self, tag: str, names: Sequence[str]) -> Target | None:
        for count in range(len(names) - 1, 0, -1):
            found = self._namespaces.find(".".join(names[:count]), names[count:])
            if found is not None:
                (value, factory), namespace = found
                return Target(tag, value, factory, namespace.provider)
        return None

    def _qualified(self, tag: str, names: Sequence[str]) -> Target | None:
        if len(names) == 1:
            return None
        registration = self._catalogue.qualified_tag(names[0], names[1])
        return None if registration is None else _inside(tag, registration, names[2:])

    def _bare(self, tag: str, names: Sequence[str], *, doubtful: bool) -> Target:
        broken: BrokenNamespaceError | None = None
        components, rest = self._header.components(names)
        doubtful = doubtful or bool(components) or len(names) > 1 or bool(nearest(tag, self.known()))
        try:
            found = self._namespaces.find_bare(names, doubtful=doubtful)
        except BrokenNamespaceError as error:
            found, broken = None, error
        if found is not None:
            (value, factory), namespace = found
            return Target(tag, value, factory, namespace.provider)
        if components:
            return self._component(tag, components, rest)
        self._header.check_modules()  # one that cannot be imported may have it
        raise self._unknown(tag, names, broken) from broken

    def _component(self, tag: str, components: Sequence[type], rest: Sequence[str]) -> Target:
        cls, *others = components
        if others:
            modules = " and in ".join(repr(one.__module__) for one in components)
            forms = self._forms(components)
            raise PluginError(f"component {cls.__name__!r} is defined in {modules}; write {forms}")
        try:
            value, factory = reach_inside(cls, rest)
        except UnreachableError as error:
            raise _no_factory(tag, cls, error) from None
        return Target(tag, value, factory, self._provider_of(cls.__module__))

    def _in_header(self, tag: str, names: Sequence[str]) -> Target:
        module = self._header.module(names[0])
        value, factory = _reach(tag, module, names[1:], f"{names[0]}.")
        return Target(tag, value, factory, self._provider_of(module.__name__))

    def _imported(self, tag: str) -> Target:
        path, _, qualified_name = tag.partition(":")
        names = qualified_name.split(".")
        if not all(name.isidentifier() for name in names) or not _is_module_path(path):
            raise UnknownTagError(f"{tag!r} is not a tag; expected !module.path:Name")
        module = _import(tag, path)
        if is_private_here(module, names[0]):
            value, factory = reach_inside(vars(module)[names[0]], names[1:])
        else:
            value, factory = _reach(tag, module, names, f"{path}:")
        return Target(tag, value, factory, self._provider_of(path))

    def _provider_of(self, module: str) -> Provider:
        top = module.partition(".")[0]
        for registration in self._catalogue.everything():
            if is_inside(registration.target.partition(":")[0], top):
                return registration.provider
        version = str(getattr(sys.modules.get(top), "__version__", ""))
        return Provider(*(find_distribution(top) or (top, version)))

    def _forms(self, components: Iterable[type]) -> str:
        return " or ".join(f"!{self._written(cls)}" for cls in components)

    def _written(self, cls: type) -> str:
        aliases = self._header.holding(cls, cls.__qualname__)
        return next(
            (f"{alias}.{cls.__qualname__}" for alias in aliases), f"{cls.__module__}:{cls.__qualname__}"
        )

    def _candidates(self, value: Callable[..., Any]) -> Iterator[str]:
        name = getattr(value, "__name__", "")
        qualified_name = getattr(value, "__qualname__", "")
        for tag, registration in self._catalogue.tags():
            if registration.target.rpartition(":")[2] == qualified_name and registration.is_imported():
                yield tag
        for prefix in self._namespaces.holding(value, name):
            yield f"{prefix}.{name}"
        for alias in self._header.holding(value, qualified_name):
            yield f"{alias}.{qualified_name}"
        yield f"{getattr(value, '__module__', '')}:{qualified_name}"

    def _stands_for(self, tag: str, value: object) -> bool:
        try:
            found = self.find(tag)
        except Exception:  # noqa: BLE001 - it may import code of others; if that fails, it does not read back
            return False
        return found.value is value and found.factory is None

    def _owner(self, tag: str) -> type | None:
        """The class that `tag` stands for, when what follows it is what is wrong."""
        try:
            value = self.find(tag, doubtful=True).value if tag else None
        except Exception:  # noqa: BLE001 - then it is unknown as well
            return None
        return value if isinstance(value, type) else None

    def _unknown(
        self, tag: str, names: Sequence[str], broken: BrokenNamespaceError | None
    ) -> UnknownTagError:
        prefix = ".".join(names[:-1])
        owner = self._owner(prefix)
        if owner is not None:
            return _no_factory(tag, owner, UnreachableError(f"class {owner.__name__!r} has no {names[-1]!r}"))
        message = f"unknown tag {tag!r}{self._advice(tag, names)}"
        if broken is not None:
            message += f"; {broken}"
        return UnknownTagError(message + failed_plugins(self._records))

    def _advice(self, tag: str, names: Sequence[str]) -> str:
        """What was probably meant: a package that is not there, another form, or the nearest names."""
        prefixes = {*self._header.aliases, *self._namespaces.prefixes()}
        package = package_for(tag)
        if tag in prefixes:
            return f"; it is a namespace: write !{tag}.Name"
        if package and package not in {record.distribution for record in self._records}:
            return f"; it comes with {package}: `pip install {package}`"
        if len(names) > 1 and names[0] not in prefixes and is_installed(names[0]):
            return f"; to import it, write !{'.'.join(names[:-1])}:{names[-1]}"
        prefix = ".".join(names[:-1])
        return did_you_mean(nearest(tag, [*self.known(), *self.inside(prefix)]))


def failed_plugins(records: Iterable[PluginRecord]) -> str:
    """What to add to a message about a missing name: the plugins that might have had it."""
    return "".join(
        f"; plugin {record}, which may have it, could not be loaded: {record.error}"
        for record in records
        if record.error
    )


def is_private_here(module: ModuleType, name: str) -> bool:
    """Whether `name` is a class or function with a private name that the module itself defines."""
    if not name.startswith("_") or name.startswith("__"):
        return False
    value = vars(module).get(name)
    return is_buildable(value) and getattr(value, "__module__", None) == module.__name__


def _is_module_path(path: str) -> bool:
    """Whether importing `path` may be asked for: `package.__main__` runs a program and may not."""
    parts = path.split(".")
    runs = any(part.startswith("__") for part in parts) and path != "__main__"
    return all(part.isidentifier() for part in parts) and not runs


def _inside(tag: str, registration: Registration, names: Sequence[str]) -> Target:
    value = registration.load()
    if not is_buildable(value):
        raise PluginError(
            f"tag {tag!r} of {registration.provider}: {registration.target!r} is no class or function"
        )
    try:
        return Target(tag, *reach_inside(value, names), registration.provider)
    except UnreachableError as error:
        raise _no_factory(tag, value, error) from None


def _no_factory(tag: str, value: object, error: UnreachableError) -> UnknownTagError:
    stem = tag.rpartition(".")[0]
    known = [f"{stem}.{factory}" for factory in factories(value)] if isinstance(value, type) else []
    return UnknownTagError(f"unknown tag {tag!r}: {error}{did_you_mean(nearest(tag, known))}")


def _reach(tag: str, module: ModuleType, names: Sequence[str], prefix: str) -> Reached:
    try:
        return reach(module, names)
    except UnreachableError as error:
        if len(names) > 1:
            value, _ = _reach(tag, module, names[:-1], prefix)
            raise _no_factory(tag, value, error) from None
        known = [prefix + name for name in public_names(module)]
        raise UnknownTagError(f"unknown tag {tag!r}: {error}{did_you_mean(nearest(tag, known))}") from None


def _import(tag: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not is_inside(module, error.name or ""):
            add_note(error, f"while importing {module!r} for the tag {tag!r}")
            raise
        raise UnknownTagError(f"unknown tag {tag!r}: there is no module {error.name!r}") from None
    except Exception as error:
        add_note(error, f"while importing {module!r} for the tag {tag!r}")
        raise
