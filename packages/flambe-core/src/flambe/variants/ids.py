"""Ids of variants: `n_layers=2,lr=0.01~3f9a1c`.

An id depends on the choices of the variant and of its ancestors, and on nothing else: not on the other
options, nor on the process or the Python version. Readable pairs come first, the hash of the whole
assignment last. An id is ASCII, safe as a folder name on every system and at most 100 characters long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from hashlib import blake2b

from flambe.language import nodes
from flambe.language.links import Attribute, LinkPath
from flambe.language.walk import OptionStep, Path
from flambe.variants.variant import Choice, Variant

DEFAULT = "default"
HASH_DIGITS = 6
READABLE_CHARACTERS = 64
"""Of the 100 in all: the rest is for `~` and the 32 digits that a hash has at most."""
LABEL_CHARACTERS = 24
FLOAT_CHARACTERS = 8

_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|\Z)")


class Inherited:
    """What all variants of a stage share that have the same ancestors: their part of the id and the hash."""

    __slots__ = ("hasher", "picks")

    def __init__(self, lineage: Mapping[str, Variant]) -> None:
        # by name: the order of stages in a file does not enter the id
        self.picks = tuple(pick for stage in sorted(lineage) for pick in lineage[stage].picks)
        self.hasher = blake2b(
            "".join(pick.text for pick in self.picks).encode("utf-8", "replace"), digest_size=16
        )


class Ids:
    """Gives the variants of one stage their ids: the same assignment the same id, two never the same."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._names: dict[tuple[str, ...], tuple[str | None, ...]] = {}

    def make(self, picks: tuple[Choice, ...], inherited: Inherited) -> str:
        """The id of the variant with these choices of its own and of its ancestors."""
        whole = picks + inherited.picks
        if not whole:
            return DEFAULT
        hasher = inherited.hasher.copy()
        hasher.update("".join([pick.text for pick in picks]).encode("utf-8", "replace"))
        return self._unique(self._readable(whole), hasher.hexdigest())

    def _unique(self, readable: str, digest: str) -> str:
        number = int(digest, 16)
        for digits in range(HASH_DIGITS, len(digest) + 1, 2):
            made = f"{readable}~{digest[:digits]}"
            if self._taken.setdefault(made if made.islower() else made.lower(), number) == number:
                return made
        raise AssertionError("two different numbers have the same digits")

    def _readable(self, picks: tuple[Choice, ...]) -> str:
        paths = tuple([pick.path for pick in picks])
        names = self._names.get(paths)
        if names is None:
            names = self._names[paths] = short_names(picks)
        pairs = [f"{name}={pick.label}" for name, pick in zip(names, picks, strict=True) if name is not None]
        text = ",".join(pairs)
        return text if len(text) <= READABLE_CHARACTERS else _cut(pairs)


def short_names(picks: Sequence[Choice]) -> tuple[str | None, ...]:
    """For each pick the shortest suffix of its path that no other path has; None where a later pick
    settles the same path.
    """
    last = {pick.path: index for index, pick in enumerate(picks)}
    names: list[str | None] = []
    for index, pick in enumerate(picks):
        others = [other.parts for other in picks if other.path != pick.path]
        names.append(_shortest(pick.parts, others) if last[pick.path] == index else None)
    return tuple(names)


def name_parts(path: Path) -> tuple[str, ...]:
    """The parts of a path as ids show them; an index belongs to the key before it: `betas.1`."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, OptionStep):
            continue
        if isinstance(step, int) and parts:
            parts[-1] += f".{step}"
        else:
            parts.append(_safe(str(step)).lstrip(".-+") or "_")
    return tuple(parts)


def occurrences(options: Iterable[nodes.Node]) -> Iterable[str]:
    """The canonical text of each option, with `#2` and so on where the same comes again."""
    seen: dict[str, int] = {}
    for option in options:
        text = canonical(option)
        seen[text] = seen.get(text, 0) + 1
        yield text if seen[text] == 1 else f"{text}#{seen[text]}"


@singledispatch
def canonical(node: nodes.Node) -> str:
    """What enters the hash for a value. Options inside it stay blank: they have choices of their own.

    Texts are equal where the nodes are, options inside them aside; `1`, `1.0`, `"1"` and `true` differ.
    """
    raise TypeError(f"no canonical text for {type(node).__name__}")


@canonical.register
def _(node: nodes.Scalar) -> str:
    return repr(node.value) if isinstance(node.value, float) else json.dumps(node.value)


@canonical.register
def _(node: nodes.Sequence) -> str:
    return f"[{','.join(map(canonical, node.items))}]"


@canonical.register
def _(node: nodes.Mapping) -> str:
    return f"{{{_canonical_entries(node.entries)}}}"


@canonical.register
def _(node: nodes.Build) -> str:
    return f"!{node.tag}" if node.arguments is None else f"!{node.tag} {canonical(node.arguments)}"


@canonical.register
def _(node: nodes.Link) -> str:
    path = _canonical_path(node.path)
    if not node.call:
        return f"!@ {path}"
    return f"!call {path}({','.join(map(canonical, node.args))};{_canonical_entries(node.kwargs)})"


@canonical.register
def _(node: nodes.Grid) -> str:
    return "!g"


@canonical.register
def _(node: nodes.Draws) -> str:
    return "!s"


@canonical.register
def _(node: nodes.Distribution) -> str:
    return f"!{node.name}"


@canonical.register
def _(node: nodes.ClusterPath) -> str:
    return f"!cluster {json.dumps(node.path)}"


@canonical.register
def _(node: nodes.Environment) -> str:
    return f"!env {json.dumps(node.name)}"


@canonical.register
def _(node: nodes.Secret) -> str:
    return f"!secret {json.dumps([node.section, node.key])}"


def label(node: nodes.Node) -> str:
    """A value as ids show it: short and safe, not always telling; the hash tells values apart."""
    return (_safe(_label(node)) or "empty")[:LABEL_CHARACTERS]


def _label(node: nodes.Node) -> str:
    match node:
        case nodes.Scalar(value=float(value)):
            return repr(value) if len(repr(value)) <= FLOAT_CHARACTERS else f"{value:.4g}"
        case nodes.Scalar(value=str(value)):
            return value
        case nodes.Scalar(value=value):
            return json.dumps(value)
        case nodes.Sequence(items=items):
            return "_".join(map(_label, items))
        case nodes.Mapping(entries=entries):
            return "_".join(f"{entry.key}-{_label(entry.value)}" for entry in entries)
        case nodes.Build(tag=tag):
            return _class_name(tag)
        case nodes.Link(path=path):
            return str(path)
        case nodes.ClusterPath(path=path):
            return path
        case nodes.Environment(name=name):
            return name
        case nodes.Secret(section=section, key=key):
            return f"{section}.{key}"
    return canonical(node)


def _class_name(tag: str) -> str:
    """`Adam` of `torch.Adam`, `Field.load` of `cl.Field.load`."""
    parts = tag.rpartition(":")[2].split(".")
    first = next((i for i, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return ".".join(parts[first:])


def _canonical_entries(entries: Iterable[nodes.Entry]) -> str:
    return ",".join(f"{canonical(nodes.Scalar(entry.key))}:{canonical(entry.value)}" for entry in entries)


def _canonical_path(path: LinkPath) -> str:
    steps = (
        f".{step.name}" if isinstance(step, Attribute) else f"[{json.dumps(step.key)}]" for step in path.steps
    )
    return path.root + "".join(steps)


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text)


def _shortest(parts: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> str:
    for size in range(1, len(parts)):
        if all(other[-size:] != parts[-size:] for other in others):
            return _no_device(".".join(parts[-size:]))
    return _no_device(".".join(parts))


def _no_device(name: str) -> str:
    """`name`, unless Windows takes it for a device: there `aux.lr=1` is a port."""
    return f"_{name}" if _DEVICES.match(name) else name


def _cut(pairs: Sequence[str]) -> str:
    """The first pairs that fit, then how many more there are."""
    for count in range(len(pairs) - 1, 0, -1):
        text = ",".join([*pairs[:count], f"+{len(pairs) - count}"])
        if len(text) <= READABLE_CHARACTERS:
            return text
    return pairs[0][:READABLE_CHARACTERS]
