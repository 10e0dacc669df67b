"""YAML events from libyaml, or from PyYAML's own parser where libyaml is missing or falls short.

Events are pulled one at a time, so a reader that stops at a nesting limit never lets the parser go
deeper: libyaml's `compose` overflows the C stack there, and its scanner slows with the depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import yaml

_MAX_PURE_PYTHON_CHARACTERS = 1_000_000
_TAG = re.compile(r"!(?:<(?P<verbatim>[^>\s]*)>|(?P<handle>\w*!)?(?P<suffix>[^\s\0,\[\]{}!<>]*))")
_AFTER_TAG = "\0 \t\r\n\x85\u2028\u2029"


class PurePythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's own parser, with tabs between tokens as libyaml has them, and tags as YAML 1.2 has them.

    A tag ends at a bracket or comma, and its letters may be of any script.
    """

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def scan_tag(self) -> Any:
        start = self.get_mark()
        tag = _TAG.match(self.buffer, self.pointer)
        assert tag is not None, "the scanner calls this at an exclamation mark"
        self.forward(tag.end() - tag.start())
        if self.peek() not in _AFTER_TAG + (",]}" if self.flow_level else ""):
            problem = "did not find expected whitespace or line break"
            raise yaml.scanner.ScannerError("while scanning a tag", start, problem, self.get_mark())
        return yaml.TagToken(_tag_value(tag), start, self.get_mark())


def _tag_value(tag: re.Match[str]) -> tuple[str | None, str]:
    """The handle and the suffix of a tag, as PyYAML's parser joins them."""
    if tag["verbatim"] is not None:
        return None, unquote(tag["verbatim"])
    if tag["handle"] is None and not tag["suffix"]:
        return None, "!"
    return f"!{tag['handle'] or ''}", unquote(tag["suffix"])


def events(text: str, *, pure_python: bool = False) -> Iterator[Any]:
    """The events of `text`.

    Raises:
        yaml.YAMLError: while iterating, at the first syntax error.
    """
    pure_python = pure_python or not yaml.__with_libyaml__
    parser = PurePythonParser(text) if pure_python else yaml.CSafeLoader(text)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


def libyaml_falls_short(error: yaml.YAMLError, text: str) -> bool:
    """Whether `error` may be libyaml's alone: it wants a space between a tag and `]`, and ASCII tags."""
    return (
        len(text) <= _MAX_PURE_PYTHON_CHARACTERS
        and getattr(error, "context", None) == "while scanning a tag"
        and "whitespace or line break" in getattr(error, "problem", "")
    )
