"""The extensions of a config's header: imported, and installed first where that is wanted.

Nothing is ever installed under a name that was not written as a source: an import path that is missing is
an error, not a guess at a package's name.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from packaging import requirements

from flambe.errors import ExtensionError
from flambe.language.header import Folder, Git, HeaderEntry, ImportPath, Requirement, Source
from flambe.registry import installing
from flambe.registry.checkouts import check_out
from flambe.registry.namespaces import import_extension

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
        for entry in header.entries:
            _install(entry, progress or _say_nothing)
    return {entry.alias: load(entry) for entry in header.entries}


def load(entry: HeaderEntry) -> ModuleType:
    """The module of one entry, imported.

    Raises:
        ExtensionError: it is not installed, or not in the version that the entry asks for. What its own code
            raises keeps its type and gains a note.
    """
    outdated = _outdated(entry)
    if outdated:
        raise ExtensionError(f"extension {entry.alias!r}: {outdated}{_install_hint(entry.source)}")
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
        hint += (
            f"; if its module has another name than {entry.alias!r}, give both: `{{source: …, module: …}}`"
        )
    return hint


def cache_folder() -> Path:
    """Where clones and notes of what was installed are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("flambe") / "extensions"


def _install(entry: HeaderEntry, progress: Progress) -> None:
    match entry.source:
        case Requirement() as source:
            _install_requirement(entry, source, progress)
        case Folder() as source:
            _install_folder(entry, source, progress)
        case Git() as source:
            _install_checkout(entry, source, progress)


def _install_requirement(entry: HeaderEntry, source: Requirement, progress: Progress) -> None:
    wanted = _parsed(entry, source)
    if installing.is_satisfied(wanted):
        return
    with installing.locked(cache_folder()):
        progress(f"installing {source.text} for {entry.alias!r}")
        installing.pip_install(source.text)


def _install_folder(entry: HeaderEntry, source: Folder, progress: Progress) -> None:
    folder = Path(source.path)
    if not folder.is_dir():
        raise ExtensionError(f"extension {entry.alias!r}: there is no folder {str(folder)!r}")
    with installing.locked(cache_folder()):
        if installing.is_editable(folder):
            return
        _install_state(entry, folder, str(folder.resolve()), installing.state_of(folder), progress)


def _install_checkout(entry: HeaderEntry, source: Git, progress: Progress) -> None:
    cache = cache_folder()
    with installing.locked(cache):
        progress(f"fetching {source.url} for {entry.alias!r}")
        checkout = check_out(source, cache)
        state = _state(source, checkout.commit)
        _install_state(entry, checkout.folder, _key(source), state, progress)


def _install_state(entry: HeaderEntry, folder: Path, key: str, state: str, progress: Progress) -> None:
    """Installs `folder` unless this very state of it is installed."""
    installed = installing.Installed(cache_folder())
    if installed.state(key) == state and _is_there(module_of(entry)):
        return
    progress(f"installing {folder} for {entry.alias!r}")
    installing.pip_install(str(folder))
    installed.remember(key, state)


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _outdated(entry: HeaderEntry) -> str | None:
    """What is installed in place of what the entry asks for; None if nothing is, or all is well."""
    match entry.source:
        case Requirement() as source:
            wanted = _parsed(entry, source)
            version = installing.version_of(wanted.name)
            if version is not None and not installing.is_satisfied(wanted):
                return f"{wanted.name} {version} is installed, not {source.text!r}"
        case Git() as source:
            state = installing.Installed(cache_folder()).state(_key(source))
            if state is not None and not state.startswith(_state(source, "")):
                return f"{state.partition(' ')[0]!r} of {source.url} is installed, not {source.ref!r}"
    return None


def _key(source: Git) -> str:
    return f"{source.url}#{source.subfolder or ''}"


def _state(source: Git, commit: str) -> str:
    return f"{source.ref or 'HEAD'} {commit}"


def _parsed(entry: HeaderEntry, source: Requirement) -> requirements.Requirement:
    try:
        return requirements.Requirement(source.text)
    except requirements.InvalidRequirement as error:
        raise ExtensionError(
            f"extension {entry.alias!r}: {source.text!r} is no requirement: {error}"
        ) from None


def _install_hint(source: Source) -> str:
    return f": run `flambe run -i …`, or `pip install {shlex.quote(str(source))}`"


def _say_nothing(line: str) -> None:
    del line
