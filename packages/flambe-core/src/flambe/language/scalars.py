"""Plain scalars by the core schema of YAML 1.2: which value a text is, and which text a value.

Unlike YAML 1.1: `no`, `on` and `yes` are strings, `1e-3` is a float, `012` is twelve.

Source: YAML 1.2.2, section 10.3.2 (tag resolution of the core schema).
"""

from __future__ import annotations

import math
import re

from flambe.language.nodes import Plain

_NAMES: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Longer integers stay strings: Python refuses to print what has more than 4,300 digits.
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}\Z", re.ASCII)
_PREFIXED = re.compile(r"0(?:o[0-7]{1,4000}|x[0-9a-fA-F]{1,3000})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NOT_A_NUMBER = (".nan", ".NaN", ".NAN")
_STARTS_NUMBER = frozenset("+-.0123456789")


def resolve(text: str) -> Plain:
    """The value of an unquoted, untagged scalar."""
    if text in _NAMES:
        return _NAMES[text]
    if text[0] not in _STARTS_NUMBER:
        return text
    if _INTEGER.match(text):
        return int(text)
    if _PREFIXED.match(text):
        return int(text, 0)
    if _FLOAT.match(text) and not text.lstrip("+-").isdigit():
        return float(text)
    if _INFINITE.match(text):
        return -math.inf if text[0] == "-" else math.inf
    return math.nan if text in _NOT_A_NUMBER else text


def resolve_as(kind: str, text: str) -> Plain:
    """The value of a scalar with the standard tag `!!kind`.

    Raises:
        ValueError: `text` is not of that kind, or there is no such kind of scalar.
    """
    if kind == "str":
        return text
    value = resolve(text)
    if kind == "float" and type(value) is int:
        return float(text)
    if type(value) is not {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind):
        raise ValueError(text)
    return value


def represent(value: Plain) -> str:
    """The text that `resolve` reads back as `value`; for a string, the string itself."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)
