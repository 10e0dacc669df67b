"""The extensions of a config's header: imported, and installed where they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flambe.language.header import HeaderEntry


def module_of(entry: HeaderEntry) -> str:
    """The module that the entry's alias stands for."""
    path = getattr(entry.source, "path", None) if type(entry.source).__name__ == "ImportPath" else None
    return entry.module or path or entry.alias


def hint_for(entry: HeaderEntry) -> str:
    """What to run when the entry's module is missing."""
    return "; `flambe run -i` installs it"
