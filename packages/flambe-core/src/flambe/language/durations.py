"""Times as people write them: `90`, `10 min`, `1 h 30 min`."""

from __future__ import annotations

import math
import re

_SECONDS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86_400,
    "day": 86_400,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)")


def seconds(given: float | str) -> float:
    """The number of seconds, more than 0: a number as it is, a text as numbers with units.

    Raises:
        ValueError: it is no duration; the message says what was expected.

    Example:
        >>> seconds("1 h 30 min"), seconds(90)
        (5400.0, 90.0)
    """
    found = _read(given) if isinstance(given, str) else float(given)
    if not math.isfinite(found) or found <= 0:
        raise ValueError("expected more than 0 seconds")
    return found


def _read(text: str) -> float:
    total, place = 0.0, 0
    while place < len(text.rstrip()):
        part = _PART.match(text, place)
        unit = _unit(part[2]) if part else None
        if part is None or unit is None:
            raise ValueError("expected seconds, or a text such as '10 min' or '1 h 30 min' (s, min, h, d)")
        total += float(part[1]) * unit
        place = part.end()
    return total


def _unit(word: str) -> int | None:
    return _SECONDS.get(word) or (_SECONDS.get(word.removesuffix("s")) if len(word) > 3 else None)
