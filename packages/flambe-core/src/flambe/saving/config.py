"""The `config.yaml` of each part, and what its links meant when it was saved.

A config keeps links as links. Beside it, `links.json` says how each link of the part itself is followed
when the part is loaded: a plain value or array is written down, a part of the same save or another
stage's save is named by its relative path.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flambe.component import origin_of
from flambe.errors import FlambeError, SavingError
from flambe.language import nodes
from flambe.language.links import LinkPath, Step
from flambe.language.nodes import Build, Entry, Link, Node, Scalar
from flambe.language.walk import walk
from flambe.registry.registry import Registry
from flambe.saving.protocol import StateCodec
from flambe.saving.tree import MISSING, Part, Steps, arguments_of, folder_of
from flambe.saving.values import Encoder, UnsavableError, is_long, is_small, to_json
from flambe.saving.way import Ways, extended, names_of
from flambe.storage.storage import Content

HERE = "this"
"""The root of links inside an object that Python code built."""
VALUES = "values"
"""The root of links to argument values that YAML cannot write."""
LINKS = "links.json"


@dataclass
class PartConfig:
    """What is written of a part's config.

    Attributes:
        links: The links of the part's own arguments, without those of parts inside it; each with its
            live value or MISSING.
    """

    part: Part
    node: Node | None = None
    links: list[tuple[Link, Any]] = field(default_factory=list)


class ConfigWriter:
    """Writes the configs of all parts of one object.

    Args:
        outside: Gives the value of a link that leads out of the saved object, if it is at hand.
        upstream: The folders of the stages that links lead to, relative to the saved object's.
    """

    def __init__(
        self,
        root: Part,
        node: Node | None,
        registry: Registry,
        *,
        outside: Callable[[LinkPath], Any] | None = None,
        upstream: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._outside = outside
        self._upstream = upstream or {}
        self._parts = {part.steps: part for part in root.walk()}
        own = [part for part in self._parts.values() if not part.borrowed]
        self._first = {id(part.value): part.steps for part in reversed(own)}
        self.configs: dict[Steps, PartConfig] = {
            steps: PartConfig(part) for steps, part in self._parts.items()
        }
        self._at = _place_of(root) or LinkPath(HERE)
        self._ways = Ways(root, self.at)
        written = self._node(root.value, (), node, self.configs[()])
        self.configs[()].node = written

    def at(self, part: Part) -> LinkPath:
        """The link that leads to a part, as links in the configs name it."""
        # Where the config that built the part had it; what another stage built is nowhere in this one.
        origin = None if part.borrowed else origin_of(part.value)
        place = origin.path if origin is not None else None
        return place or extended(self._at, part.steps)

    def is_linked(self, part: Part) -> bool | None:
        """Whether links by its name, through the part above it, lead to it; None if that is not known."""
        return self._ways.is_linked(part)

    def links_file(self, config: PartConfig, codecs: Sequence[StateCodec]) -> dict[str, Content]:
        """`links.json` and the files of its arrays; nothing for a part without links of its own."""
        if not config.links:
            return {}
        encoder = Encoder("link", codecs)
        entries = {key_of(link): self._entry(config, link, live, encoder) for link, live in config.links}
        return {LINKS: to_json(entries), **encoder.files}

    def _node(self, live: Any, steps: Steps, given: Node | None, owner: PartConfig) -> Node:
        if isinstance(given, Link):
            owner.links.append((given, live))
            self._ways.note(given, steps, owner.part)
            return given
        if origin_of(live) is not None and live is not MISSING:
            return self._object_node(live, steps, owner)
        if isinstance(given, nodes.Mapping) and isinstance(live, dict):
            entries = (
                replace(e, value=self._node(live.get(e.key, MISSING), (*steps, _step(e.key)), e.value, owner))
                for e in given.entries
            )
            return replace(given, entries=tuple(entries))
        if isinstance(given, nodes.Sequence) and isinstance(live, list) and len(live) == len(given.items):
            pairs = enumerate(zip(live, given.items, strict=True))
            return replace(given, items=tuple(self._node(v, (*steps, i), n, owner) for i, (v, n) in pairs))
        if given is not None:
            owner.links.extend((inner, MISSING) for _, inner in walk(given) if isinstance(inner, Link))
            return given
        return self._plain_node(live, steps, owner)

    def _object_node(self, live: Any, steps: Steps, owner: PartConfig) -> Node:
        first = self._first.get(id(live))
        if first != steps:
            link = Link(self._ways.to(first or ()))
            owner.links.append((link, live))
            return link
        config = self.configs[steps]
        arguments = [
            (name, self._node(value, (*steps, name), given, config))
            for name, value, given in arguments_of(live)
        ]
        config.node = Build(self._tag(live), _arguments_node(live, arguments))
        return config.node

    def _plain_node(self, live: Any, steps: Steps, owner: PartConfig) -> Node:
        if live is None or type(live) in (bool, float) or _is_number(live) or _is_text(live):
            return Scalar(live)
        if _has_tuples(live) and not _has_parts(live):
            return self._value_link(live, steps, owner)
        if type(live) is dict and all(_is_key(key) for key in live):
            entries = (Entry(k, self._node(v, (*steps, _step(k)), None, owner)) for k, v in live.items())
            return nodes.Mapping(tuple(entries))
        if type(live) in (list, tuple):
            return nodes.Sequence(tuple(self._node(v, (*steps, i), None, owner) for i, v in enumerate(live)))
        return self._value_link(live, steps, owner)

    def _value_link(self, live: Any, steps: Steps, owner: PartConfig) -> Node:
        link = Link(extended(LinkPath(VALUES), steps[len(owner.part.steps) :]))
        owner.links.append((link, live))
        return link

    def _tag(self, live: Any) -> str:
        """The tag that builds `live` again: the config's own where this registry knows it."""
        origin = origin_of(live)
        tag = origin.node.tag if origin is not None and origin.node is not None else ""
        names = tag.replace(":", ".").split(".")
        if names[0] in self._registry.aliases:
            return tag
        cls = type(live)
        found = self._registry.tag_of(cls)
        # A tag of a header that this registry does not have is known by the class's name; to look it up
        # would end in a long search for similar names.
        of_header = found is not None and ":" in found and ":" not in tag and cls.__name__ in names
        if tag and not of_header and self._is_known(tag):
            return tag
        if found is None:
            raise SavingError(
                f"{cls.__module__}.{cls.__qualname__} cannot be found by name when the save is loaded; "
                "define the class at the top level of a module"
            )
        factory = names[names.index(cls.__name__) + 1 :] if cls.__name__ in names else names[-1:]
        return ".".join([found, *filter(None, factory)])

    def _is_known(self, tag: str) -> bool:
        try:
            self._registry.resolve(tag)
        except FlambeError:
            return False
        return True

    def _entry(self, owner: PartConfig, link: Link, live: Any, encoder: Encoder) -> dict[str, Any]:
        """How `link` is followed when its part is loaded without what it leads to."""
        entry: dict[str, Any] = {}
        path = self._ways.without_links(link.path, owner.part)
        target = self._shared(link, live) or self._ways.deepest(path, owner.part)
        known = target is None and live is MISSING and self._outside is not None and not link.call
        value = self._value_outside(path) if known else live
        if target is not None:
            part, rest = target
            entry = {"part": _relative(part.folder, owner.part.folder), "steps": str(LinkPath("", rest))}
        elif path.root in self._upstream:
            entry = self._entry_upstream(path, owner, value, call=link.call)
        if value is MISSING or (entry and type(value) in (list, tuple, dict) and not is_small(value)):
            return entry or {"missing": "its value was not at hand"}
        if target is not None and not is_small(value):
            return entry
        try:
            entry["value"] = encoder.encode(value, str(link.path))
        except UnsavableError:
            entry = entry or {"missing": f"it was a {type(value).__module__}.{type(value).__qualname__}"}
        return entry

    def _entry_upstream(self, path: LinkPath, owner: PartConfig, value: Any, *, call: bool) -> dict[str, Any]:
        """Where a link to another stage leads: `folder` is the part's in there, if it really leads to one."""
        save = posixpath.join(_relative("", owner.part.folder), self._upstream[path.root])
        entry = {"save": posixpath.normpath(save), "steps": str(LinkPath("", path.steps))}
        if call and value is MISSING:
            path = LinkPath(path.root, path.steps[:-1])
            value = self._value_outside(path)
        origin = origin_of(value)
        place = origin.path if origin is not None else None
        if place is not None and path.steps and (place.root, names_of(place)) == (path.root, names_of(path)):
            entry["folder"] = folder_of(names_of(path))
        return entry

    def _value_outside(self, path: LinkPath) -> Any:
        if self._outside is None:
            return MISSING
        try:
            return self._outside(path)
        except FlambeError:
            return MISSING

    def _shared(self, link: Link, live: Any) -> tuple[Part, tuple[Step, ...]] | None:
        """The part that a link's live value is."""
        steps = self._first.get(id(live))
        if steps is None or origin_of(live) is None or link.call:
            return None
        return self._parts[steps], ()


def _place_of(root: Part) -> LinkPath | None:
    """Where the config that built `root` had it; a mapping or list knows it only by its parts."""
    if root.borrowed:
        return None
    origin = origin_of(root.value)
    if origin is not None:
        return origin.path
    for part in root.children:
        inner = origin_of(part.value)
        path = inner.path if inner is not None else None
        if path is not None and names_of(path)[-len(part.steps) :] == tuple(map(str, part.steps)):
            return LinkPath(path.root, path.steps[: -len(part.steps)])
    return None


def key_of(link: Link) -> str:
    """How `links.json` names a link: as the config writes it."""
    if link.args or link.kwargs:
        from flambe.language.write import write_text

        return write_text(link).strip()
    return f"{'!call' if link.call else '!@'} {link.path}"


def used_aliases(node: Node | None, registry: Registry) -> dict[str, str]:
    """The header's modules that the tags of a config need, by alias."""
    used: dict[str, str] = {}
    tags = {n.tag for _, n in walk(node) if isinstance(n, Build)} if node is not None else set()
    for tag in tags if registry.aliases else ():
        module = getattr(registry.resolve(tag).value, "__module__", "")
        used |= {
            alias: path
            for alias, path in registry.aliases.items()
            if tag.partition(".")[0] == alias or f"{module}.".startswith(f"{path}.")
        }
    return dict(sorted(used.items()))


def _arguments_node(live: Any, arguments: list[tuple[str | int, Node]]) -> Node | None:
    origin = origin_of(live)
    given = origin.node.arguments if origin is not None and origin.node is not None else None
    by_place = all(isinstance(name, int) for name, _ in arguments)
    if by_place and (isinstance(given, nodes.Sequence) or (given is None and arguments)):
        return nodes.Sequence(tuple(node for _, node in arguments))
    if given is not None and not isinstance(given, nodes.Mapping) and by_place:
        return arguments[0][1]
    if not arguments:
        return given
    if isinstance(arguments[0][0], int):
        raise SavingError(
            f"a {type(live).__name__} that was given arguments by position and {arguments[-1][0]!r} by name "
            "cannot be saved: after *args, a config has no place for names"
        )
    return nodes.Mapping(tuple(Entry(str(name), node) for name, node in arguments))


def _relative(folder: str, start: str) -> str:
    return posixpath.relpath(folder or ".", start or ".")


def _is_key(key: object) -> bool:
    return key is None or type(key) in (float, bool) or _is_number(key) or _is_text(key)


def _is_number(value: object) -> bool:
    return type(value) is int and not is_long(value)


def _is_text(value: object) -> bool:
    """Whether it is a text that YAML can write: one without half a surrogate pair."""
    return type(value) is str and not any("\ud800" <= character <= "\udfff" for character in value)


def _has_tuples(value: object) -> bool:
    """Whether there is a tuple in plain containers, which YAML would make a list."""
    return type(value) is tuple or any(map(_has_tuples, _inside(value)))


def _has_parts(value: object) -> bool:
    return origin_of(value) is not None or any(map(_has_parts, _inside(value)))


def _inside(value: Any) -> Iterable[object]:
    if type(value) in (list, tuple):
        return tuple(value)
    return tuple(value.values()) if type(value) is dict else ()


def _step(key: Any) -> str | int:
    return key if isinstance(key, (str, int)) and not isinstance(key, bool) else str(key)
