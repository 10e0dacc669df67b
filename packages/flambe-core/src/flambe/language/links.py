"""The path of a link: `stage.attr[key]`, parsed once when the config is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Attribute:
    """`.name`: the mapping item or index, else the attribute, else the constructor argument of that name."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class Item:
    """`[key]`: only the item, index or constructor argument. A key in quotes is a string, digits or not."""

    key: str | int

    def __str__(self) -> str:
        key = str(self.key)
        bare = _ITEM.fullmatch(f"[{key}]")
        # A quote at its beginning would be closed by one further on in the path.
        quotable = key[:1] in ("'", '"') and not {"'", '"'} <= set(key)
        if bare and key and _item_key(bare) == self.key and not quotable:
            return f"[{key}]"
        quote = '"' if "'" in key else "'"
        return f"[{quote}{key}{quote}]"


Step: TypeAlias = Attribute | Item


@dataclass(frozen=True, slots=True)
class LinkPath:
    """Where a link points: a stage or resource, then steps into it."""

    root: str
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return self.root + "".join(str(step) for step in self.steps)


class LinkSyntaxError(ValueError):
    """A link that cannot be parsed; `offset` counts characters from the start of the path."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


_NAME = re.compile(r"[^.\[\]\s]+")
_ITEM = re.compile(r"""\[\s*(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>[^\[\]]*?))\s*\]""")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")


def parse_link(text: str) -> LinkPath:
    """The path that `text` writes.

    Raises:
        LinkSyntaxError: with the offset of the first character that does not fit.
    """
    root = _NAME.match(text)
    if root is None:
        raise LinkSyntaxError("a link starts with the name of a stage or resource", 0)
    steps: list[Step] = []
    at = root.end()
    while at < len(text):
        step, at = _parse_step(text, at)
        steps.append(step)
    return LinkPath(root.group(), tuple(steps))


def _parse_step(text: str, at: int) -> tuple[Step, int]:
    if text[at] == ".":
        name = _NAME.match(text, at + 1)
        if name is None:
            raise LinkSyntaxError("a name must follow '.'", at)
        return Attribute(name.group()), name.end()
    if text[at] == "[":
        item = _ITEM.match(text, at)
        if item is None:
            closed = text.find("]", at) > 0
            message = "'[ ]' must hold one key or index" if closed else "'[' is never closed"
            raise LinkSyntaxError(message, at)
        key = _item_key(item)
        if key == "" and item["bare"] is not None:
            raise LinkSyntaxError("'[ ]' must hold one key or index", at)
        return Item(key), item.end()
    raise LinkSyntaxError(f"expected '.' or '[' before {text[at:]!r}", at)


def _item_key(item: re.Match[str]) -> str | int:
    bare = item["bare"]
    if bare is None:
        return str(item["single"] if item["single"] is not None else item["double"])
    return int(bare) if _INTEGER.match(bare) else str(bare)
