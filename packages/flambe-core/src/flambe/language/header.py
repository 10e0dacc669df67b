"""The extension header: which module stands behind each alias, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flambe.errors import Problem
from flambe.language.nodes import Entry, Mapping, Node, Position, Scalar
from flambe.language.sources import Folder, Git, ImportPath, Requirement, Source, SourceError, parse_source
from flambe.language.text import Text

__all__ = [
    "Folder",
    "Git",
    "Header",
    "HeaderEntry",
    "ImportPath",
    "Requirement",
    "Source",
    "SourceError",
    "parse_source",
    "read_header",
]

_MAX_CHARACTERS = 20_000
_SIMPLE_LINE = re.compile(
    r"[A-Za-z_]\w*: (?!null\b|true\b|false\b|\.[^./])[A-Za-z./][\w./@=+-]*(?: +#.*)? *\Z", re.ASCII
)
_ALIAS = re.compile(r"[A-Za-z_][\w-]*\Z")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


@dataclass(frozen=True, slots=True)
class HeaderEntry:
    """`alias: source`; `module` is set where the module's name is not the alias."""

    alias: str
    source: Source
    module: str | None = None
    position: Position | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Header:
    """The first of two documents; empty where a config has only one."""

    entries: tuple[HeaderEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class _Written:
    """One entry before its source is understood."""

    alias: str
    source: str
    module: str | None
    position: Position | None
    source_position: Position | None
    module_position: Position | None


def read_header(root: Node, text: Text, base_folder: str) -> tuple[Header, list[Problem]]:
    """The header that `text` holds, and everything that is wrong with it.

    `root` is the same text already read as nodes, which know the columns; StrictYAML decides what is
    allowed. It is imported only for a header with more than plain `alias: source` lines.
    """
    if len(text.content) > _MAX_CHARACTERS:
        return Header(), [text.problem("this is too long for an extension header", root.position)]
    if isinstance(root, Scalar) and root.value is None:
        return Header(), []
    if isinstance(root, Mapping) and root.get("pipeline"):
        message = (
            "two documents, but the first is not an extension header: the header comes before the config"
        )
        return Header(), [text.problem(message, root.position)]
    if not _is_simple(text.content):
        problem = _strictness(text, root)
        if problem:
            return Header(), [problem]
    return _understand(list(_written(root)), text, base_folder)


def _is_simple(content: str) -> bool:
    """Whether StrictYAML would accept every line; only a few plain characters are looked through here."""
    lines = [line for line in content.split("\n") if line and not line.startswith("#")]
    return bool(lines) and all(_SIMPLE_LINE.match(line) for line in lines)


def _strictness(text: Text, root: Node) -> Problem | None:
    """What StrictYAML has against the header."""
    import strictyaml

    block = strictyaml.Map({"source": strictyaml.Str(), strictyaml.Optional("module"): strictyaml.Str()})
    schema = strictyaml.MapPattern(strictyaml.Str(), strictyaml.Str() | block)
    try:
        strictyaml.load(text.content, schema, label=text.file)
    except strictyaml.YAMLError as error:
        return _explain(error, text, root)
    return None


_STRICT = {
    "TagTokenDisallowed": "the extension header has no tags",
    "AnchorTokenDisallowed": "the extension header has no anchors and aliases",
    "FlowMappingDisallowed": "the extension header has no '{ }' and '[ ]'; quote the value or use block form",
}


def _explain(error: Any, text: Text, root: Node) -> Problem:
    mark = error.problem_mark or error.context_mark
    position = Position(text.file, mark.line + 1, mark.column + 1) if mark else root.position
    message = _STRICT.get(type(error).__name__)
    if message is None:
        found = " ".join(f"{error.context or ''} {error.problem or ''}".split())
        message = f"the extension header holds 'alias: source' or 'alias:' with source and module ({found})"
    return text.problem(message, position)


def _written(root: Node) -> Iterator[_Written]:
    for entry in root.entries if isinstance(root, Mapping) else ():
        alias = _as_text(entry)
        if isinstance(entry.value, Mapping):
            source, module = entry.value.entry("source"), entry.value.entry("module")
            yield _Written(
                alias,
                _text_of(source),
                _text_of(module) if module else None,
                entry.position,
                source.value.position if source else entry.position,
                module.value.position if module else None,
            )
        else:
            yield _Written(alias, _text_of(entry), None, entry.position, entry.value.position, None)


def _as_text(entry: Entry) -> str:
    return entry.key if isinstance(entry.key, str) else str(entry.key)


def _text_of(entry: Entry | None) -> str:
    value = entry.value if entry else None
    if not isinstance(value, Scalar) or value.value is None:
        return ""
    return str(value.value)


def _understand(written: list[_Written], text: Text, base_folder: str) -> tuple[Header, list[Problem]]:
    entries: list[HeaderEntry] = []
    problems: list[Problem] = []
    for one in written:
        if not _ALIAS.match(one.alias):
            problems.append(text.problem(f"an alias is a name, not {one.alias!r}", one.position))
        elif one.module is not None and not _MODULE.match(one.module):
            problems.append(text.problem(f"{one.module!r} is no module name", one.module_position, one.alias))
        else:
            try:
                source = parse_source(one.source, base_folder)
            except SourceError as error:
                problems.append(text.problem(str(error), one.source_position, one.alias))
            else:
                entries.append(HeaderEntry(one.alias, source, one.module, one.position))
    return Header(tuple(entries)), problems
