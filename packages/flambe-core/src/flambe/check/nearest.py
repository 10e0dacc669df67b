"""Names in messages: the nearest of several, and several in a row."""

from __future__ import annotations

from collections.abc import Iterable

from flambe.registry import suggestions


def nearest(name: object, names: Iterable[object]) -> str | None:
    """The one of `names` that `name` is most likely a slip of, if any comes near."""
    found = suggestions.nearest(str(name), (str(each) for each in names), count=1)
    return found[0] if found else None


def did_you_mean(name: object, names: Iterable[object]) -> str:
    """`; did you mean 'n_layers'?`, or nothing."""
    near = nearest(name, names)
    return suggestions.did_you_mean([near] if near is not None else [])


def listed(names: Iterable[object], *, at_most: int = 12) -> str:
    """`'a', 'b' and 'c'`, cut short when there are many."""
    quoted = [repr(name) for name in names]
    if len(quoted) > at_most:
        return f"{', '.join(quoted[:at_most])}, … ({len(quoted)} in all)"
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
