"""Text to nodes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from flambe.errors import ConfigError, Problem
from flambe.language.compose import Composer
from flambe.language.events import events, libyaml_falls_short
from flambe.language.header import Header, read_header
from flambe.language.nodes import (
    Build,
    Distribution,
    Draws,
    Grid,
    Mapping,
    Node,
    Position,
    Scalar,
    Sequence,
    Unreadable,
)
from flambe.language.syntax import syntax_error
from flambe.language.text import MAX_BYTES, Text, decode, readable

_LONGEST_QUOTED_TEXT = 60
_ARGUMENT = "<argument '"


def argument_file(argument: str) -> str:
    """The name in messages of a command-line argument that overrides a value."""
    return f"{_ARGUMENT}{argument}'>"


@dataclass(frozen=True)
class Document:
    """A config as it was read.

    Attributes:
        root: The experiment or other runnable: a `Build`, or a `Mapping` where its tag was left out; of a
            part, any node.
        problems: Everything that is wrong in place; what could not be read is `Unreadable` in `root`.
        text: What the file holds.
    """

    root: Node
    header: Header
    problems: tuple[Problem, ...]
    text: str
    file: str

    def line_at(self, position: Position) -> str | None:
        """The line to show for a problem at `position`, which may be in a command-line argument."""
        if position.file == self.file:
            return Text(self.text, self.file).line(position.line)
        if position.file.startswith(_ARGUMENT):
            argument = position.file.removeprefix(_ARGUMENT).removesuffix("'>")
            return Text(argument, position.file).line(position.line)
        return None


def read_file(path: str | os.PathLike[str]) -> Document:
    """The config in the file at `path`.

    Raises:
        ConfigError: if it cannot be read at all; what is wrong in place is in `Document.problems`.
    """
    file = os.fspath(path)
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = _UNREADABLE.get(type(error)) or getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem(f"cannot read {file!r}: {reason}")]) from None
    return _read(decode(data, file), os.path.dirname(file))


_UNREADABLE: dict[type[BaseException], str] = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "it is a folder, not a file",
    PermissionError: "permission denied",
}


def read_text(text: str, file: str = "<config>", *, any_root: bool = False) -> Document:
    """The config in `text`; `file` is its name in messages and tells where its folders are.

    With `any_root` it may also be that of a part, which any node can be.

    Raises:
        ConfigError: if it cannot be read at all; what is wrong in place is in `Document.problems`.
    """
    return _read(readable(text, file), os.path.dirname(file), any_root=any_root)


def read_value(text: str, file: str) -> tuple[Node, tuple[Problem, ...]]:
    """The node that `text` writes, of any kind, and what is wrong in it; nothing at all is null.

    Raises:
        ConfigError: on a syntax error.
    """
    documents = _documents(readable(text, file))
    if len(documents) > 1:
        raise Text(text, file).refuse("expected one value, but found several documents")
    if not documents:
        return Scalar(None, position=Position(file, 1, 1)), ()
    return documents[0].root, tuple(documents[0].problems)


@dataclass(frozen=True)
class _Read:
    """One document of a file and the offset where it starts."""

    root: Node
    problems: list[Problem]
    start: int


def _read(text: Text, base_folder: str, *, any_root: bool = False) -> Document:
    documents = _documents(text)
    if not documents:
        raise text.refuse("the file is empty")
    config = documents[-1]
    problems = list(config.problems)
    header = Header()
    if len(documents) == 2:
        header, header_problems = _read_header(documents[0], text, config.start, base_folder)
        problems = header_problems + problems
    if not any_root:
        _refuse_other_roots(config.root, text, len(documents) == 2)
    return Document(config.root, header, tuple(problems), text.content, text.file)


def _documents(text: Text) -> list[_Read]:
    """The one or two documents of `text`.

    Raises:
        ConfigError: on a syntax error, or if there are more.
    """
    try:
        return _compose(text, events(text.content))
    except yaml.YAMLError as error:
        if not libyaml_falls_short(error, text.content):
            raise syntax_error(error, text) from None
    try:
        return _compose(text, events(text.content, pure_python=True))
    except yaml.YAMLError as error:
        raise syntax_error(error, text) from None


def _compose(text: Text, stream: Iterator[Any]) -> list[_Read]:
    composer = Composer(text, stream)
    documents: list[_Read] = []
    for event in itertools.islice(stream, 1, None):
        if isinstance(event, yaml.StreamEndEvent):
            break
        if len(documents) == 2:
            position = text.position(event.start_mark)
            raise text.refuse("a third document; a config is at most a header and one document", position)
        root = composer.document()
        documents.append(_Read(root, composer.problems, event.start_mark.index))
    return documents


def _read_header(written: _Read, text: Text, end: int, base_folder: str) -> tuple[Header, list[Problem]]:
    if written.problems:
        return Header(), written.problems
    return read_header(written.root, Text(text.content[:end], text.file), base_folder)


def _refuse_other_roots(root: Node, text: Text, has_header: bool) -> None:
    if isinstance(root, (Mapping, Build, Unreadable)):
        return
    if isinstance(root, Scalar) and root.value is None:
        raise text.refuse(
            "there is no config after the header" if has_header else "the file is empty", root.position
        )
    raise text.refuse(
        f"a config is a mapping of 'key: value' lines, but this is {_kind(root)}", root.position
    )


def _kind(root: Node) -> str:
    match root:
        case Scalar(value=str() as text):
            return f"only the text {text!r}" if len(text) < _LONGEST_QUOTED_TEXT else "only one text"
        case Scalar(value=value):
            return f"only the value {value!r}"
        case Sequence():
            return "a list"
        case Grid() | Draws() | Distribution():
            return "a choice of options"
    return "a single value"
