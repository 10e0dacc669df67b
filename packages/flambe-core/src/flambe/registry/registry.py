"""`Registry`: from the tag in a config to the class, function or factory that it stands for, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flambe.errors import PluginError
from flambe.registry.catalogue import Catalogue
from flambe.registry.header_modules import HeaderModules
from flambe.registry.lookup import Lookup, failed_plugins
from flambe.registry.namespaces import Namespaces
from flambe.registry.plugins import PluginRecord, Registration, load_plugins
from flambe.registry.suggestions import did_you_mean, nearest
from flambe.registry.targets import Target

if TYPE_CHECKING:
    from flambe.check.advice import StageCheck
    from flambe.language.header import Header
    from flambe.language.nodes import Node
    from flambe.logs import MetricSink
    from flambe.saving.protocol import StateCodec
    from flambe.trials.frameworks import Framework


class Registry:
    """What plugins and a config's header bring, by name. Nothing is imported before it is asked for.

    A bare tag is looked up in the plugins' tags, then in the namespaces that plugins declare bare (torch),
    then among the `Component`s of the header's modules. `!ns.Name` is looked up in the header's aliases,
    the plugins' tags and namespaces, then as the tag `Name` of the plugin called `ns`.
    `!module.path:Name` is imported. A last `.factory` names a classmethod.

    Example:
        >>> registry = Registry.load(entry_points=False)
        >>> registry.resolve("collections:OrderedDict.fromkeys").factory
        'fromkeys'
    """

    def __init__(self, records: Sequence[PluginRecord], catalogue: Catalogue, header: HeaderModules) -> None:
        self.plugins = list(records)
        self._catalogue = catalogue
        self._header = header
        self._lookup = Lookup(records, catalogue, Namespaces(catalogue.namespaces), header)
        self._resolved: dict[str, Target] = {}
        self._instances: dict[Registration, Any] = {}

    @classmethod
    def load(cls, entry_points: bool = True, plugins: Iterable[object] = ()) -> Registry:
        """A registry of the installed plugins (unless `entry_points` is False) and of `plugins`.

        `plugins` are modules or other objects with hook implementations. Core's own is always there.
        """
        records, brought = load_plugins(entry_points=entry_points, extra=plugins)
        return cls(records, Catalogue(brought), HeaderModules({}))

    def with_header(self, header: Header) -> Registry:
        """A registry that knows the header's modules too; they are imported when first needed."""
        from flambe.registry.extensions import hint_for, module_of

        aliases = {entry.alias: module_of(entry) for entry in header.entries}
        hints = {entry.alias: hint_for(entry) for entry in header.entries}
        return self._with(HeaderModules(aliases, hints))

    def with_aliases(self, aliases: Mapping[str, str]) -> Registry:
        """A registry that knows these modules by alias, as if a header named them."""
        return self._with(HeaderModules(aliases))

    @property
    def aliases(self) -> Mapping[str, str]:
        """The header's modules by alias."""
        return dict(self._header.aliases)

    def resolve(self, tag: str) -> Target:
        """What `tag` stands for.

        Raises:
            UnknownTagError: nothing has that name; the message has the nearest names.
            PluginError: it is registered twice, or its module cannot be imported.
            ExtensionError: a module of the header is not installed.
        """
        if tag not in self._resolved:
            self._resolved[tag] = self._lookup.find(tag)
        return self._resolved[tag]

    def import_tags(self, node: Node) -> None:
        """Import what the tags in `node` stand for, so that codecs and frameworks for it come into play."""
        from flambe.language import nodes
        from flambe.language.walk import walk

        for _, inner in walk(node):
            if isinstance(inner, nodes.Build):
                self.resolve(inner.tag)

    def tags(self) -> Iterator[str]:
        """The tags that are known without importing anything more, for completion and suggestions."""
        return self._lookup.known()

    def tags_in(self, namespace: str) -> list[str]:
        """The tags of a namespace (`torch`), all of them: its modules are imported for it."""
        return self._lookup.inside(namespace)

    def tag_of(self, value: Callable[..., Any]) -> str | None:
        """The shortest tag that stands for this class or function, or None if no config can reach it."""
        return self._lookup.tag_of(value)

    def executor(self, name: str) -> Callable[[], Any]:
        """The executor class registered under `name`.

        Raises:
            PluginError: there is none, there are two, or it cannot be imported.
        """
        registration = self._catalogue.of_kind("executors", name)
        if registration is None:
            known = self._catalogue.names_of_kind("executors")
            near = did_you_mean(nearest(name, known)) or f"; there are {', '.join(map(repr, known))}"
            raise PluginError(f"there is no executor {name!r}{near}{failed_plugins(self.plugins)}")
        found: Callable[[], Any] = registration.load()
        return found

    def executors(self) -> dict[str, Registration]:
        """The executors by name, none of them imported."""
        return {made.name: made for made in self._catalogue.all_of_kind("executors")}

    def checks(self) -> list[StageCheck]:
        """What plugins warn of when a config is checked."""
        return [registration.load() for registration in self._usable("checks")]

    def codecs(self) -> list[StateCodec]:
        """The state codecs of what is imported; the same instances each time."""
        return self._made("codecs")

    def frameworks(self) -> list[Framework]:
        """The frameworks that are imported; the same instances each time."""
        return self._made("frameworks")

    def sinks(self) -> list[MetricSink]:
        """A new instance of each metric sink: a sink belongs to one run.

        One that cannot be imported is warned of and left out: nothing is lost but a view.
        """
        return list(filter(None, map(_sink, self._usable("sinks"))))

    def commands(self) -> dict[str, Registration]:
        """The commands that plugins add, by name; `load()` gives the `click.Command`.

        Core's keep their names; of others with one name, the first has it and the next is `plugin.name`.
        """
        made: dict[str, Registration] = {}
        ordered = sorted(self._catalogue.all_of_kind("commands"), key=lambda entry: entry.plugin != "core")
        for entry in ordered:
            made.setdefault(f"{entry.plugin}.{entry.name}" if entry.name in made else entry.name, entry)
        return made

    def options(self) -> dict[str, str]:
        """The options that plugins add to `flambe run`: for each its line of help."""
        return {entry.name: entry.help for entry in self._catalogue.all_of_kind("options")}

    def executor_of(self, option: str) -> str:
        """The name of the executor that takes this option.

        Raises:
            PluginError: no executor does, or two plugins register the option.
        """
        registration = self._catalogue.of_kind("options", option)
        for entry in self._catalogue.all_of_kind("executors"):
            if registration is not None and entry.target == registration.target:
                return entry.name
        raise PluginError(f"there is no executor with the option {option!r}{failed_plugins(self.plugins)}")

    def storage(self, protocol: str) -> Callable[[str], Any] | None:
        """What opens a URL of this protocol (`s3`), or None if no plugin brings it."""
        registration = self._catalogue.of_kind("storage", protocol)
        return None if registration is None else registration.load()

    def _with(self, header: HeaderModules) -> Registry:
        return Registry(self.plugins, self._catalogue, header)

    def _usable(self, kind: str) -> Iterator[Registration]:
        for registration in self._catalogue.all_of_kind(kind):
            if registration.needs is None or registration.needs in sys.modules:
                yield registration

    def _made(self, kind: str) -> list[Any]:
        usable = list(self._usable(kind))
        for registration in usable:
            if registration not in self._instances:
                self._instances[registration] = registration.load()()
        return [self._instances[registration] for registration in usable]


def _sink(registration: Registration) -> MetricSink | None:
    try:
        made: MetricSink = registration.load()()
    except PluginError as error:
        import logging

        logging.getLogger("flambe").warning("metric sink left out: %s", error)
        return None
    return made
