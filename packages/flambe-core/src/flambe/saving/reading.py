"""`flambe.load` and `flambe.load_state`: from a folder of a save back to live objects."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from flambe.build.builder import Builder, Surroundings
from flambe.build.links import follow
from flambe.component import origin_of
from flambe.errors import ConfigError, DamagedSaveError, MissingFileError, SavingError
from flambe.language.header import ImportPath
from flambe.language.links import Attribute, Item, LinkPath, LinkSyntaxError, parse_link
from flambe.language.nodes import Build, Link, Node
from flambe.language.read import Document, read_text
from flambe.language.walk import Path, rebuild, walk
from flambe.registry.registry import Registry
from flambe.saving.config import HERE, LINKS, key_of
from flambe.saving.seal import SealedFolder
from flambe.saving.state import read_state
from flambe.saving.tree import Part, Steps, arguments_of, folder_of, parts_of
from flambe.saving.trust import TrustedRegistry
from flambe.saving.values import decode
from flambe.saving.versions import VERSION, SavedVersion
from flambe.saving.way import leads_through, names_of
from flambe.saving.writing import CONFIG
from flambe.storage.storage import open_storage, protocol_of

_VERIFIED_WHEN_READ = ("state", "link-")


def load(
    path: str | os.PathLike[str],
    *,
    trust: Iterable[str] = (),
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    registry: Registry | None = None,
) -> Any:
    """Build the object of a save, or of one folder inside it, and give it its state.

    Links are followed as when it was saved: to other parts of the save, and to other stages' folders
    where their objects are needed. `trust` names modules whose classes the save may build although
    neither a plugin nor a `Component` stands for them.

    Raises:
        MissingFileError: There is no save.
        DamagedSaveError: A file was altered, cut short or removed.
        VersionError: A class changed its major version.
        SavingError: The save asks for a class that nobody vouched for, or a link leads nowhere.
    """
    loader = _Loader(registry or Registry.load(), tuple(trust), Surroundings(secrets=secrets or {}))
    return loader.load(os.fspath(path))


def load_state(value: object, path: str | os.PathLike[str], *, registry: Registry | None = None) -> None:
    """Give a live object, and the parts inside it, the state of a save or of one folder inside it.

    Raises:
        SavingError: The object and the save do not fit; the message names part and entry.
        DamagedSaveError: A file was altered, cut short or removed.
        VersionError: A class changed its major version.
    """
    registry = registry or Registry.load()
    saved = _open(os.fspath(path), registry)
    saved.verify(but=_VERIFIED_WHEN_READ)
    root = parts_of(value)
    for part in root.walk():
        folder = _descend(saved, part.folder)
        if folder is not None and VERSION in folder:
            _version(folder).check(type(part.value), folder.url)
    read_state(root, saved, registry.codecs())


@dataclass(frozen=True, slots=True)
class _Saved:
    """A folder of a save: the steps from the loaded folder to it, and what its files say."""

    steps: Steps
    folder: SealedFolder
    version: SavedVersion
    links: Mapping[str, Any]


class _Loader:
    """Loads one object, and what its links need from elsewhere, each folder once."""

    def __init__(self, registry: Registry, trust: tuple[str, ...], surroundings: Surroundings) -> None:
        self._registry = registry
        self._trust = trust
        self._surroundings = surroundings
        self._loaded: dict[str, Any] = {}
        self._loading: list[str] = []
        self._wanted: set[str] = set()

    def load(self, url: str) -> Any:
        if url in self._loading:
            raise SavingError(f"{url} needs itself to be loaded: {' needs '.join([*self._loading, url])}")
        if url not in self._loaded:
            self._loading.append(url)
            try:
                self._loaded[url] = self._load(_open(url, self._registry))
            finally:
                self._loading.pop()
        return self._loaded[url]

    def _load(self, folder: SealedFolder) -> Any:
        folder.verify(but=_VERIFIED_WHEN_READ)
        document = _config(folder)
        registry = self._trusted(document, folder)
        parts = _parts_by_folder(folder, document.root)
        for _, node in walk(document.root):
            if isinstance(node, Build):
                registry.resolve(node.tag)
        for saved in parts.values():
            saved.version.check(saved.version.installed(), saved.folder.url)
            self._want(saved)
        rewriting = _Rewriting(parts, self)
        node = rewriting.rewrite(document.root)
        builder = _SavedBuilder(
            registry,
            stage=HERE,
            outside=rewriting.follow_outside,
            surroundings=self._surroundings,
            path=(posixpath.basename(folder.url),),
        )
        made = builder.build(node)
        root = parts_of(made, node)
        rewriting.restore_origins(root)
        read_state(root, folder, self._registry.codecs())
        return made

    def _trusted(self, document: Document, folder: SealedFolder) -> TrustedRegistry:
        aliases: dict[str, str] = {}
        for entry in document.header.entries:
            if not isinstance(entry.source, ImportPath):
                raise SavingError(f"{folder.url}/{CONFIG}: the header of a save can only name modules")
            aliases[entry.alias] = entry.source.path
        return TrustedRegistry(self._registry, aliases, self._trust, folder.url)

    def follow(self, owner: SealedFolder, link: Link, entry: Mapping[str, Any]) -> Any:
        """What a link meant that leads out of the loaded folder."""
        if "value" in entry:
            return decode(entry["value"], owner.read, self._registry.codecs())
        where = entry.get("part", entry.get("save"))
        if not isinstance(where, str):
            why = entry.get("missing", "the save does not say where it leads")
            raise SavingError(
                f"{owner.url}: {key_of(link)} cannot be followed, {why}; "
                "build the object with its arguments and use flambe.load_state"
            )
        url = _beside(owner.url, where)
        try:
            ways = self._ways(owner, entry, url)
        except MissingFileError as error:
            raise SavingError(
                f"{owner.url}: {key_of(link)} leads to {url}, where there is no save; bring that folder "
                "back, or load a part that does not need it"
            ) from error
        part, rest = next((way for way in ways if self._is_shared(way[0].url)), ways[-1])
        return follow(self.load(part.url), LinkPath(HERE, rest))

    def _want(self, saved: _Saved) -> None:
        """Note what links from here need of other stages: what lies inside one of these is taken from it."""
        for entry in saved.links.values():
            where = entry.get("save")
            if isinstance(where, str) and "value" not in entry:
                with suppress(MissingFileError):  # told where the link is followed
                    part, _ = self._ways(saved.folder, entry, _beside(saved.folder.url, where))[-1]
                    self._wanted.add(part.url)

    def _is_shared(self, url: str) -> bool:
        return (url in self._wanted or url in self._loaded) and url not in self._loading

    def _ways(
        self, owner: SealedFolder, entry: Mapping[str, Any], url: str
    ) -> list[tuple[SealedFolder, tuple[Attribute | Item, ...]]]:
        return _parts_on_the_way(_open(url, self._registry), _steps(entry, owner), entry.get("folder"))


class _SavedBuilder(Builder):
    """Builds what a save may have built, and calls what it may have called."""

    def __init__(self, registry: TrustedRegistry, **arguments: Any) -> None:
        super().__init__(cast(Registry, registry), **arguments)
        self._trusted = registry

    def _called(self, method: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        self._trusted.check_call(method, has_arguments=bool(args or kwargs))
        return super()._called(method, args, kwargs)


class _Rewriting:
    """A saved config made ready for the builder: every link is one within what is built, or a number."""

    def __init__(self, parts: Mapping[str, _Saved], loader: _Loader) -> None:
        self._parts = parts
        self._loader = loader
        self._outside: dict[str, Callable[[], Any]] = {}
        self._written: dict[str, Any] = {}
        self._originals: dict[int, Build] = {}

    def rewrite(self, node: Node) -> Node:
        return self._visit(node, (), self._parts[""])

    def follow_outside(self, path: LinkPath) -> Any:
        return self._outside[path.root]()

    def restore_origins(self, root: Part) -> None:
        """Give the built objects the config that was saved, links as they were written.

        Values that the save itself holds become arguments again, so that saving anew holds them too.
        """
        for part in root.walk():
            origin = None if part.borrowed else origin_of(part.value)
            if origin is None or origin.node is None:
                continue
            for name, _, given in arguments_of(part.value):
                if isinstance(given, Link) and given.path.root in self._written:
                    origin.arguments[str(name)] = self._written[given.path.root]
            origin.node = self._originals.get(id(origin.node), origin.node)
            saved = self._parts.get(part.folder)
            origin.path = saved.version.at if saved is not None else None

    def _visit(self, node: Node, path: Path, owner: _Saved) -> Node:
        if isinstance(node, Build):
            owner = self._parts.get(folder_of(cast(Steps, path)), owner)
        made = rebuild(node, lambda child, below: self._visit(child, below, owner), path)
        if isinstance(node, Link):
            assert isinstance(made, Link)
            return self._link(node, made, owner)
        if isinstance(node, Build) and made is not node:
            assert isinstance(made, Build)
            self._originals[id(made)] = node
        return made

    def _link(self, link: Link, made: Link, owner: _Saved) -> Link:
        entry = owner.links.get(key_of(link), {})
        inside = self._inside(link.path, owner) or self._in_part(entry, owner)
        if inside is not None:
            return Link(inside, made.call, made.args, made.kwargs)
        root = f"link {len(self._outside)}"
        self._outside[root] = lambda: self._value(root, link, entry, owner)
        if "value" in entry:
            return Link(LinkPath(root))
        return Link(LinkPath(root), made.call, made.args, made.kwargs)

    def _value(self, root: str, link: Link, entry: Mapping[str, Any], owner: _Saved) -> Any:
        value = self._loader.follow(owner.folder, link, entry)
        if "value" in entry:
            self._written[root] = value
        return value

    def _in_part(self, entry: Mapping[str, Any], owner: _Saved) -> LinkPath | None:
        """What `links.json` says, seen from what is being built, if it names a part of that."""
        if "part" not in entry:
            return None
        folder = posixpath.normpath(posixpath.join(owner.folder.folder, str(entry["part"])))
        saved = self._parts.get("" if folder == "." else folder)
        return _below(saved.steps, _steps(entry, owner.folder)) if saved is not None else None

    def _inside(self, path: LinkPath, owner: _Saved) -> LinkPath | None:
        """`path` seen from what is being built, if the config that it was written in leads there."""
        above = [saved for saved in self._parts.values() if owner.steps[: len(saved.steps)] == saved.steps]
        for saved in sorted(above, key=lambda saved: len(saved.steps)):
            at = saved.version.at
            if at is not None and leads_through(path, at):
                return _below(saved.steps, path.steps[len(at.steps) :])
        return None


def _below(steps: Steps, more: tuple[Attribute | Item, ...]) -> LinkPath:
    """A link to the part itself at `steps`, whatever attributes are called like it, and `more` from there."""
    return LinkPath(HERE, (*map(Item, steps), *more))


def _steps(entry: Mapping[str, Any], owner: SealedFolder) -> tuple[Attribute | Item, ...]:
    """The steps that remain after the folder that an entry of `links.json` names."""
    try:
        return parse_link(f"{HERE}{entry.get('steps', '')}").steps
    except LinkSyntaxError as error:
        raise DamagedSaveError(f"{owner.url}/{LINKS} is no file that Flambé wrote: {error}") from error


def _open(url: str, registry: Registry) -> SealedFolder:
    return SealedFolder(open_storage(url, registry.storage))


def _config(folder: SealedFolder) -> Document:
    where = f"{folder.url}/{CONFIG}"
    if CONFIG not in folder:
        raise SavingError(f"{folder.url} holds only state: build the object and use flambe.load_state")
    try:
        document = read_text(folder.read(CONFIG).decode(), where, any_root=True)
        if document.problems:
            raise ConfigError(document.problems)
    except ConfigError as error:
        raise DamagedSaveError(f"no object can be built from this config: {error}") from error
    except UnicodeDecodeError as error:
        raise DamagedSaveError(f"{where} is no text, so no object can be built from it") from error
    return document


def _parts_by_folder(root: SealedFolder, node: Node) -> dict[str, _Saved]:
    """All parts below `root` and itself, by folder; which arguments they are, `node` says."""
    steps_of = {folder_of(cast(Steps, path)): cast(Steps, path) for path, _ in walk(node)}
    found: dict[str, _Saved] = {}
    for folder in root.walk():
        name = folder.folder
        found[name] = _Saved(steps_of.get(name, ()), folder, _version(folder), links_of(folder))
    return found


def _version(folder: SealedFolder) -> SavedVersion:
    return SavedVersion.read(folder.read(VERSION), f"{folder.url}/{VERSION}")


def links_of(folder: SealedFolder) -> Mapping[str, Any]:
    """What `links.json` says of each link of a part, by how its config writes it.

    Raises:
        DamagedSaveError: it is nothing that a save writes.
    """
    if LINKS not in folder:
        return {}
    try:
        links = {key: dict(entry) for key, entry in dict(json.loads(folder.read(LINKS))).items()}
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedSaveError(f"{folder.url}/{LINKS} is no file that Flambé wrote") from error
    return links


def _descend(saved: SealedFolder, folder: str) -> SealedFolder | None:
    """The folder of a part somewhere below `saved`."""
    if not folder:
        return saved
    for name in saved.parts:
        if folder == name or folder.startswith(f"{name}/"):
            return _descend(saved.part(name), folder[len(name) + 1 :])
    return None


def _parts_on_the_way(
    saved: SealedFolder, steps: tuple[Attribute | Item, ...], meant: object
) -> list[tuple[SealedFolder, tuple[Attribute | Item, ...]]]:
    """The parts that the steps are known to lead through, the deepest last, and the steps that remain.

    Where an attribute of a part's name is something else, or may be, the object that has it must be loaded
    and asked. `meant` is the folder that the link is known to have led to, whatever the save itself knows.
    """
    found, sure = [(saved, steps)], True
    names = names_of(LinkPath(HERE, steps))
    for count in range(1, len(names) + 1):
        folder = folder_of(names[:count])
        part = _descend(saved, folder)
        if part is None:
            continue
        linked = _version(part).linked
        if linked is False:
            break
        sure = sure and linked is True
        if sure or folder == meant:
            found.append((part, steps[count:]))
    return found


def _beside(url: str, relative: str) -> str:
    """The folder at `relative` to the folder `url`.

    Raises:
        SavingError: It is no relative path.
    """
    if relative.startswith(("/", "\\")) or ":" in relative or "\0" in relative:
        raise SavingError(f"{url}/{LINKS}: {relative!r} is no relative path")
    if protocol_of(url) == "file":
        return os.path.normpath(os.path.join(url, relative))
    protocol, _, rest = url.partition("://")
    return f"{protocol}://{posixpath.normpath(posixpath.join('/', rest, relative)).lstrip('/')}"
