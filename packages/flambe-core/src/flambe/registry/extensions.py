"""The extensions of a config's header: imported, and installed first where that is wanted.

Nothing is ever installed under a name that was not written as a source: an import path that is missing is
an error, not a guess at a package's name.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from flambe.errors import ExtensionError
from flambe.language.header import Folder, HeaderEntry, ImportPath, Source
from flambe.registry.header_modules import import_extension

if TYPE_CHECKING:
    from flambe.language.header import Header

Progress = Callable[[str], None]

_OURS = {
    "flambe_torch": "flambe-torch",
    "flambe_nlp": "flambe-nlp",
    "flambe_ray": "flambe-ray",
    "flambe_distill": "flambe-distill",
    "flambe_aws": "flambe-aws",
}


def ensure(header: Header, *, install: bool, progress: Progress | None = None) -> Mapping[str, ModuleType]:
    """The modules of the header by alias, imported; with `install`, missing or outdated ones are installed.

    Args:
        header: The header of a config.
        install: Whether pip may be run.
        progress: Is told in a line what is being installed.

    Raises:
        ExtensionError: an extension is missing (the message says what to run) or cannot be installed.
    """
    if install:
        from flambe.registry import installing

        for entry in header.entries:
            installing.install(entry, module_of(entry), progress or _say_nothing)
    return {entry.alias: load(entry) for entry in header.entries}


def load(entry: HeaderEntry) -> ModuleType:
    """The module of one entry, imported.

    Raises:
        ExtensionError: it is not installed, or not in the version that the entry asks for. What its own code
            raises keeps its type and gains a note.
    """
    if not isinstance(entry.source, ImportPath):
        from flambe.registry.installing import conflict

        fault = conflict(entry)
        if fault is not None:
            raise ExtensionError(f"extension {entry.alias!r}: {fault}{_install_hint(entry.source)}")
    return import_extension(entry.alias, module_of(entry), hint_for(entry))


def module_of(entry: HeaderEntry) -> str:
    """The module that the entry's alias stands for: as written, else the import path or the alias."""
    if entry.module is not None:
        return entry.module
    return entry.source.path if isinstance(entry.source, ImportPath) else entry.alias.replace("-", "_")


def hint_for(entry: HeaderEntry) -> str:
    """What to do when the entry's module is missing, to follow `module 'x' is not installed`."""
    if isinstance(entry.source, ImportPath):
        ours = _OURS.get(entry.source.path.partition(".")[0])
        if ours:
            return f": run `pip install {ours}`"
        return "; install the package that has it, or name its source: a folder, a git URL or a requirement"
    hint = _install_hint(entry.source)
    if entry.module is None:
        hint += f"; if its module is not {module_of(entry)!r}, give both `source:` and `module:`"
    return hint


def _install_hint(source: Source) -> str:
    if isinstance(source, Folder) and not Path(source.path).exists():
        return f"; there is no folder {source}"
    return f": run `flambe run -i …`, or `pip install {shlex.quote(str(source))}`"


def _say_nothing(line: str) -> None:
    del line
