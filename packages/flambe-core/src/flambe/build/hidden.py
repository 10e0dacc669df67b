"""Values of `!env` and `!secret`: used like any text, never written."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORTEST_MASKED = 4
"""Shorter secrets are not looked for in texts: they would blank out words that are none."""


class Hidden(str):
    """A text that saving refuses to write and that shows itself as `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Mask:
    """Blanks out secrets in what is about to be written."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({s for s in secrets if len(s) >= SHORTEST_MASKED}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub("***", text)
