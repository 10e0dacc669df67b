"""The text of a config: decoded once, and asked for its lines when a problem is shown."""

from __future__ import annotations

import codecs
import re
from functools import cached_property
from typing import Protocol

from flambe.errors import ConfigError, Problem
from flambe.language.nodes import Position

MAX_CHARACTERS = 4_000_000
MAX_BYTES = 4 * MAX_CHARACTERS + 4
MAX_DIRECTIVES = 100
MAX_DEPTH = 100
"""How many levels collections may be nested."""
_TOO_LONG = f"longer than {MAX_CHARACTERS:,} characters, the most a config may have"
_LONGEST_SHOWN_LINE = 400
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Mark(Protocol):
    """A place as the YAML parser gives it; everything counts from 0."""

    index: int
    line: int
    column: int


class Text:
    """What a file holds, with its name for messages."""

    def __init__(self, content: str, file: str) -> None:
        self.content = content
        self.file = file

    @cached_property
    def _lines(self) -> list[str]:
        return _LINE_BREAK.split(self.content)

    def line(self, number: int) -> str | None:
        """Line `number`, counted from 1; None where there is no such line or it is too long to show."""
        if not 0 < number <= len(self._lines):
            return None
        line = self._lines[number - 1]
        return line if len(line) <= _LONGEST_SHOWN_LINE else None

    def position(self, mark: Mark) -> Position:
        return Position(self.file, mark.line + 1, mark.column + 1)

    def position_at(self, index: int) -> Position:
        """The place of the character at `index`."""
        before = _LINE_BREAK.split(self.content[:index])
        return Position(self.file, len(before), len(before[-1]) + 1)

    def problem(self, message: str, position: Position | None, path: str = "") -> Problem:
        source = self.line(position.line) if position and position.file == self.file else None
        return Problem(message, position, path, source=source)

    def refuse(self, message: str, position: Position | None = None) -> ConfigError:
        """The error for a text of which nothing can be read; placed at its start if no place is given."""
        return ConfigError([self.problem(message, position or Position(self.file, 1, 1))])


def decode(data: bytes, file: str) -> Text:
    """The text in `data`: UTF-8, or what its byte-order mark says.

    Raises:
        ConfigError: `data` is not text.
    """
    bom, encoding = next(((b, e) for b, e in _BOMS if data.startswith(b)), (b"", "utf-8"))
    if len(data) > MAX_BYTES:
        raise Text("", file).refuse(_TOO_LONG)
    if encoding == "utf-8" and b"\0" in data:
        raise Text("", file).refuse("this is a binary file, not a config")
    body = data[len(bom) :]
    try:
        content = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = Text(body[: error.start].decode(encoding, "replace"), file)
        raise before.refuse(
            f"this is not {encoding.upper()} text (byte 0x{body[error.start]:02x}); save the file as UTF-8",
            before.position_at(len(before.content)),
        ) from None
    return readable(content, file)


def readable(content: str, file: str) -> Text:
    """`content` without its byte-order mark, if it holds only characters that YAML allows.

    Raises:
        ConfigError: It is too long, holds a control character or has too many directives.
    """
    text = Text(content.removeprefix("\ufeff"), file)
    if len(text.content) > MAX_CHARACTERS:
        raise text.refuse(_TOO_LONG)
    if text.content.count("\n%") > MAX_DIRECTIVES:  # the parser's time grows with their square
        raise text.refuse(f"more than {MAX_DIRECTIVES} lines start with '%', the sign of a YAML directive")
    forbidden = _FORBIDDEN.search(text.content)
    if forbidden:
        code = f"U+{ord(forbidden.group()):04X}"
        position = text.position_at(forbidden.start())
        raise text.refuse(f"the character {code} is not allowed in a config", position)
    return text
