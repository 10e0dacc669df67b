"""Nodes to text: block style, in document order, quoted only where the core schema would misread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from flambe.language import nodes
from flambe.language.header import Header
from flambe.language.nodes import Entry, Key, Node, Scalar
from flambe.language.scalars import represent, resolve
from flambe.language.walk import children

_MAX_FLOW_WIDTH = 80
_MAX_KEY_WIDTH = 1000  # YAML ends a key that has no '?' before it after 1,024 characters
_INDENT = "  "
_PLAIN_START = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`]|[-?:][^\s,\[\]{}]")
_NOT_PLAIN = re.compile(r": | #|:\Z|\A---|\A\.\.\.| \Z")
_NOT_PLAIN_IN_FLOW = re.compile(r"[,\[\]{}:?]")
_URI_CHARACTERS = "-;/?:@&=+$.~*'()"
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_text(root: Node, header: Header | None = None) -> str:
    """The config that reads back as `root`; nodes that are used twice are written once, with an alias.

    `!env` and `!secret` are written as they are, never their values.
    """
    body = _Writer(_shared(root)).document(root)
    if not header or not header.entries:
        return body
    return "".join(f"{line}\n" for line in _header_lines(header)) + "---\n" + body


@dataclass(frozen=True, slots=True)
class _Written:
    """A node as text: what goes on the line of its key or dash, and the lines below."""

    head: str
    body: Sequence[str] = ()

    def after(self, prefix: str) -> _Written:
        """The same with an anchor or tag before it."""
        return _Written(f"{prefix} {self.head}".rstrip(" "), self.body)


@dataclass(slots=True)
class _Writer:
    """Writes one document; `anchors` maps the identity of a shared node to its anchor once it was written."""

    shared: frozenset[int]
    anchors: dict[int, str] = field(default_factory=dict)
    key: str = "root"

    def document(self, root: Node) -> str:
        written = self._node(root)
        indent = _INDENT if written.head.endswith(("|", "|-")) else ""
        lines = [written.head] if written.head else []
        lines += _indented(written.body, indent)
        return "".join(f"{line}\n" for line in lines)

    def _node(self, node: Node) -> _Written:
        if id(node) not in self.shared:
            return self._content(node)
        if id(node) in self.anchors:
            return _Written(f"*{self.anchors[id(node)]}")
        anchor = self._anchor()
        self.anchors[id(node)] = anchor
        return self._content(node).after(f"&{anchor}")

    def _anchor(self) -> str:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", self.key)
        taken = set(self.anchors.values())
        if name not in taken:
            return name
        return next(f"{name}_{n}" for n in range(2, len(taken) + 3) if f"{name}_{n}" not in taken)

    def _content(self, node: Node) -> _Written:
        match node:
            case Scalar(value=value):
                return _scalar(value)
            case nodes.Mapping(entries=entries):
                return self._mapping(entries)
            case nodes.Sequence(items=items):
                return self._sequence(items)
            case nodes.Build(tag=tag, arguments=arguments):
                return self._build(tag, arguments)
            case nodes.Link():
                return self._link(node)
            case nodes.Grid(options=options):
                return self._sequence(options).after("!g")
            case nodes.Draws():
                numbers = [
                    node.low,
                    node.high,
                    node.count,
                    *([] if node.decimals is None else [node.decimals]),
                ]
                return self._sequence([Scalar(number) for number in numbers]).after("!s")
            case nodes.Distribution(name=name, arguments=numbers_or_options):
                return self._sequence(numbers_or_options).after(f"!{name}")
            case nodes.ClusterPath(path=path):
                return _tagged_text("!cluster", path)
            case nodes.Environment(name=name):
                return _tagged_text("!env", name)
            case nodes.Secret(section=section, key=key):
                return _tagged_text("!secret", f"{section}.{key}")
        raise TypeError(f"{type(node).__name__} cannot be written")

    def _build(self, tag: str, arguments: Node | None) -> _Written:
        mark = "!" + quote(tag, safe=_URI_CHARACTERS)
        match arguments:
            case None:
                return _Written(mark)
            case Scalar() | nodes.Mapping() | nodes.Sequence():
                return self._content(arguments).after(mark)
            case _:  # a node cannot have two tags
                return self._sequence((arguments,)).after(mark)

    def _link(self, link: nodes.Link) -> _Written:
        if not link.args and not link.kwargs:
            return _tagged_text("!call" if link.call else "!@", str(link.path))
        entries = [Entry("target", Scalar(str(link.path)))]
        if link.args:
            entries.append(Entry("args", nodes.Sequence(link.args)))
        if link.kwargs:
            entries.append(Entry("kwargs", nodes.Mapping(link.kwargs)))
        return self._mapping(entries).after("!call")

    def _mapping(self, entries: Iterable[Entry]) -> _Written:
        lines: list[str] = []
        for entry in entries:
            self.key = represent(entry.key) or self.key
            written = self._node(entry.value)
            key = _key(entry.key)
            if len(key) > _MAX_KEY_WIDTH:
                lines.append(f"? {key}")
                key = ""
            lines.append(f"{key}: {written.head}".rstrip(" "))
            lines += _indented(written.body)
        return _Written("", lines) if lines else _Written("{}")

    def _sequence(self, items: Sequence[Node]) -> _Written:
        flow = _flow(items)
        if flow is not None:
            return _Written(flow)
        lines: list[str] = []
        for item in items:
            written = self._node(item)
            first, *rest = written.body if not written.head else (written.head, *written.body)
            lines.append(f"- {first}")
            lines += _indented(rest)
        return _Written("", lines)


def _shared(root: Node) -> frozenset[int]:
    """The identities of the nodes that are used more than once, and where that matters."""
    seen: Counter[int] = Counter()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not _has_identity(node):
            continue
        seen[id(node)] += 1
        if seen[id(node)] == 1:
            waiting += (child for _, child in children(node))
    return frozenset(identity for identity, count in seen.items() if count > 1)


def _has_identity(node: Node) -> bool:
    """Whether two uses of one node differ from one use of each of two equal nodes."""
    return not isinstance(node, (Scalar, nodes.ClusterPath, nodes.Environment, nodes.Secret)) and not (
        isinstance(node, nodes.Link) and not node.call
    )


def _header_lines(header: Header) -> Iterable[str]:
    for entry in header.entries:
        source = _text(str(entry.source))
        if entry.module is None:
            yield f"{_key(entry.alias)}: {source}"
        else:
            yield f"{_key(entry.alias)}:"
            yield f"{_INDENT}source: {source}"
            yield f"{_INDENT}module: {_text(entry.module)}"


def _indented(lines: Iterable[str], indent: str = _INDENT) -> Iterable[str]:
    return (indent + line if line else line for line in lines)


def _tagged_text(tag: str, text: str) -> _Written:
    """A tag with a text that is never resolved."""
    return _Written(f"{tag} {text if _is_plain(text) else _quoted(text)}")


def _flow(items: Sequence[Node]) -> str | None:
    """`[1, 2, 3]` for a short list of plain values, else None."""
    if not all(isinstance(item, Scalar) for item in items):
        return None
    values = [item.value for item in items if isinstance(item, Scalar)]
    flow = f"[{', '.join(_text(value, flow=True) for value in values)}]"
    return flow if len(flow) <= _MAX_FLOW_WIDTH else None


def _scalar(value: nodes.Plain) -> _Written:
    if isinstance(value, str) and _is_literal(value):
        lines = value.removesuffix("\n").split("\n")
        return _Written("|" if value.endswith("\n") else "|-", lines)
    return _Written(_text(value))


def _key(key: Key) -> str:
    return "'<<'" if key == "<<" else _text(key)


def _text(value: nodes.Plain, *, flow: bool = False) -> str:
    """`value` on one line."""
    text = represent(value)
    if not isinstance(value, str):
        return text
    plain = _is_plain(text) and isinstance(resolve(text), str)
    if plain and not (flow and _NOT_PLAIN_IN_FLOW.search(text)):
        return text
    return _quoted(text)


def _is_plain(text: str) -> bool:
    return bool(_PLAIN_START.match(text)) and text.isprintable() and not _NOT_PLAIN.search(text)


def _is_literal(text: str) -> bool:
    """Whether `text` can be a block of lines after '|', safe from editors that strip spaces."""
    lines = text.removesuffix("\n").split("\n")
    return (
        "\n" in text
        and bool(lines[0])
        and bool(lines[-1])
        and not lines[0].startswith(" ")
        and all(line.isprintable() and not line.endswith(" ") for line in lines)
    )


def _quoted(text: str) -> str:
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
