"""Plugins: found through entry points, asked through the hooks, recorded with what they bring."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import pluggy

from flambe.errors import PluginError
from flambe.registry import hookspecs
from flambe.registry.installed import EntryPoint, find_entry_points
from flambe.registry.sources import is_installed
from flambe.registry.targets import Provider

CORE = "flambe.plugin"
KINDS = ("executors", "options", "checks", "codecs", "frameworks", "sinks", "commands", "storage")

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "PyYAML", "PIL": "pillow", "ray": "ray[tune]"}
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_NAME = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)*\Z")


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin as `flambe plugins` shows it.

    `brings` lists names by kind: `tags`, `namespaces`, `executors` and so on; empty if `error` is set.
    """

    name: str
    distribution: str
    version: str
    brings: dict[str, list[str]] = field(default_factory=dict)
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.name!r} ({Provider(self.distribution, self.version)})"


@dataclass(frozen=True, slots=True)
class Registration:
    """One call of `register`: `target` (`"module:attribute"`) under `name`, by the plugin named `plugin`."""

    name: str
    target: str
    plugin: str
    provider: Provider
    needs: str | None = None
    help: str = ""

    def is_imported(self) -> bool:
        """Whether loading it imports nothing."""
        return self.target.partition(":")[0] in sys.modules

    def load(self) -> Any:
        """The object that `target` names.

        Raises:
            PluginError: if its module cannot be imported or does not have it.
        """
        module, _, path = self.target.partition(":")
        what = f"{self.name!r} of {self.provider}"
        try:
            value: Any = importlib.import_module(module)
        except Exception as error:
            raise PluginError(f"{what} needs module {module!r}, {import_failure(module, error)}") from error
        try:
            return attrgetter(path)(value)
        except AttributeError:
            raise PluginError(f"{what} is registered as {self.target!r}, which does not exist") from None


@dataclass(frozen=True, slots=True)
class Namespace:
    """`!prefix.Name` is the attribute `Name` of the first of `modules` that has it."""

    prefix: str
    modules: tuple[str, ...]
    bare: bool
    plugin: str
    provider: Provider


@dataclass
class Brought:
    """What one plugin registered, or all of them together, in the order of registration."""

    tags: list[Registration] = field(default_factory=list)
    namespaces: list[Namespace] = field(default_factory=list)
    others: dict[str, list[Registration]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, more: Brought) -> None:
        self.tags += more.tags
        self.namespaces += more.namespaces
        for kind, registrations in more.others.items():
            self.others[kind] += registrations

    def names(self) -> dict[str, list[str]]:
        """The names by kind, kinds that have none left out."""
        listed = {
            "tags": [registration.name for registration in self.tags],
            "namespaces": [namespace.prefix for namespace in self.namespaces],
            **{kind: [registration.name for registration in self.others[kind]] for kind in KINDS},
        }
        return {kind: names for kind, names in listed.items() if names}


def load_plugins(*, entry_points: bool, extra: Iterable[object]) -> tuple[list[PluginRecord], Brought]:
    """The plugins of all entry points, then `extra` modules or objects; core's own always among them.

    A plugin that cannot be imported or that raises is recorded with its error and brings nothing.
    """
    points = find_entry_points("flambe") if entry_points else []
    if not any(point.value == CORE for point in points):
        points.insert(0, _core_entry_point())
    loader = _Loader()
    for point in points:
        loader.load(point, partial(_import, point))
    for plugin in extra:
        loader.load(_entry_point_of(plugin), partial(_itself, plugin))
    return loader.records, loader.brought


def import_failure(module: str, error: BaseException) -> str:
    """Why importing `module` failed and what to do, to follow its name."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    top = (missing or "").partition(".")[0]
    if not top or top == module.partition(".")[0] or is_installed(top):
        return f"which cannot be imported: {describe_error(error)}"
    return f"which needs module {missing!r}: `pip install {_DISTRIBUTIONS.get(top, top)}`"


def describe_error(error: BaseException) -> str:
    """`Type: message` on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Loader:
    def __init__(self) -> None:
        self.records: list[PluginRecord] = []
        self.brought = Brought()
        self._manager = pluggy.PluginManager("flambe")
        self._manager.add_hookspecs(hookspecs)

    def load(self, point: EntryPoint, plugin: Callable[[], object]) -> None:
        provider = Provider(point.distribution, point.version)
        error = None
        try:
            brought = self._ask(plugin(), _Register(point.name, provider))
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - the plugin border: reported by name
            brought, error = Brought(), describe_error(failure)
        self.brought.add(brought)
        record = PluginRecord(point.name, point.distribution, point.version, brought.names(), error)
        self.records.append(record)

    def _ask(self, plugin: object, register: _Register) -> Brought:
        """Calls the plugin's hooks, and only its, so that each registration is known to be its own."""
        others = self._manager.get_plugins()
        self._manager.register(plugin, name=f"{register.plugin} of {register.provider}")
        try:
            for hook in self._manager.get_hookcallers(plugin) or ():
                if not hook.has_spec():
                    raise PluginError(f"there is no hook {hook.name!r}")
                asked = self._manager.subset_hook_caller(hook.name, remove_plugins=others)
                asked(register=register.of(hook.name))
        except BaseException:
            self._manager.unregister(plugin)
            raise
        return register.brought


class _Register:
    """Takes what one plugin registers."""

    def __init__(self, plugin: str, provider: Provider) -> None:
        self.plugin = plugin
        self.provider = provider
        self.brought = Brought()

    def of(self, hook: str) -> object:
        """What the hook of this name receives."""
        kind = hook.removeprefix("flambe_register_")
        return self if kind == "components" else _KindRegister(self, kind)

    def tag(self, name: str, target: str) -> None:
        self.brought.tags.append(self.registration(name, target))

    def namespace(self, prefix: str, modules: Sequence[str], *, bare: bool = False) -> None:
        _expect(prefix, _NAME, "a namespace is a name such as 'torch'")
        if isinstance(modules, str) or not all(isinstance(module, str) for module in modules):
            raise TypeError(f"namespace {prefix!r}: modules must be a list of module names")
        self.brought.namespaces.append(Namespace(prefix, tuple(modules), bare, self.plugin, self.provider))

    def registration(
        self, name: str, target: str, *, needs: str | None = None, help: str = ""
    ) -> Registration:
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected a name, got {name!r}")
        _expect(target, _TARGET, f"the target of {name!r} has the form 'module:attribute'")
        return Registration(name, target, self.plugin, self.provider, needs, help)


class _KindRegister:
    def __init__(self, register: _Register, kind: str) -> None:
        self._register = register
        self._kind = kind

    def __call__(self, name: str, target: str, *, needs: str | None = None, help: str = "") -> None:
        made = self._register.registration(name, target, needs=needs, help=help)
        self._register.brought.others[self._kind].append(made)


def _expect(value: object, pattern: re.Pattern[str], expected: str) -> None:
    if not isinstance(value, str) or not pattern.match(value):
        raise ValueError(f"{expected}, got {value!r}")


def _import(point: EntryPoint) -> object:
    module, _, attribute = point.value.partition(":")
    plugin: object = importlib.import_module(module.strip())
    for name in filter(None, attribute.strip().split(".")):
        plugin = getattr(plugin, name)
    return plugin


def _itself(plugin: object) -> object:
    return plugin


def _core_entry_point() -> EntryPoint:
    return EntryPoint("core", "flambe-core", CORE, "")


def _entry_point_of(plugin: object) -> EntryPoint:
    name = str(getattr(plugin, "__name__", type(plugin).__name__))
    return EntryPoint(name.rpartition(".")[2], name, "", "")
