"""YAML events from libyaml, or from PyYAML's own parser where libyaml is missing.

Events are pulled one at a time, so a reader that stops at a nesting limit never lets the parser go
deeper: libyaml's `compose` overflows the C stack there, and its scanner slows with the depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml


class _PurePythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's own parser; as in libyaml, a tag ends at a flow indicator."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)

    def scan_tag_uri(self, name: str, start_mark: Any) -> Any:
        length = 0
        while (self.peek(length).isascii() and self.peek(length).isalnum()) or (
            self.peek(length) in "-;/?:@&=+$._!~*'()%" and self.peek(length) != "\0"
        ):
            length += 1
        text = self.prefix(length)
        if not text or "%" in text:
            return super().scan_tag_uri(name, start_mark)
        self.forward(length)
        return text


def events(text: str) -> Iterator[Any]:
    """The events of `text`.

    Raises:
        yaml.YAMLError: while iterating, at the first syntax error.
    """
    parser = yaml.CSafeLoader(text) if yaml.__with_libyaml__ else _PurePythonParser(text)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()
