"""Installing what a header's entry names, unless this very state of it is installed already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from packaging import requirements

from flambe.errors import ExtensionError
from flambe.language.header import Folder, Git, HeaderEntry, Requirement
from flambe.registry import environment
from flambe.registry.checkouts import check_out
from flambe.registry.sources import is_installed

Progress = Callable[[str], None]


def cache_folder() -> Path:
    """Where clones and notes of what was installed are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("flambe") / "extensions"


def install(entry: HeaderEntry, module: str, progress: Progress) -> None:
    """Install what `entry` names for its `module`; an import path names nothing that could be installed.

    Raises:
        ExtensionError: git or pip fails; the message holds what they said.
    """
    match entry.source:
        case Requirement(text=text):
            _install_requirement(text, progress)
        case Folder(path=path):
            _install_folder(entry, Path(path), module, progress)
        case Git() as source:
            _install_checkout(source, module, progress)


def conflict(entry: HeaderEntry) -> str | None:
    """What is installed in place of what `entry` asks for; None if nothing is, or all is well."""
    match entry.source:
        case Requirement(text=text):
            wanted = requirements.Requirement(text)
            version = environment.version_of(wanted.name)
            if version is not None and not environment.is_satisfied(wanted):
                return f"{wanted.name} {version} is installed, not {text!r}"
        case Git(url=url, ref=ref) as source:
            state = environment.Installed(cache_folder()).state(_key(source))
            if state is not None and not state.startswith(_state(source, "")):
                return f"{state.partition(' ')[0]!r} of {url} is installed, not {ref or 'HEAD'!r}"
    return None


def _install_requirement(text: str, progress: Progress) -> None:
    if environment.is_satisfied(requirements.Requirement(text)):
        return
    with environment.locked(cache_folder()):
        progress(f"installing {text}")
        environment.pip_install(text)


def _install_folder(entry: HeaderEntry, folder: Path, module: str, progress: Progress) -> None:
    if not folder.is_dir():
        raise ExtensionError(f"extension {entry.alias!r}: there is no folder {str(folder)!r}")
    with environment.locked(cache_folder()):
        if not environment.is_editable(folder):
            key, state = str(folder.resolve()), environment.state_of(folder)
            _install_state(folder, module, key=key, state=state, progress=progress)


def _install_checkout(source: Git, module: str, progress: Progress) -> None:
    cache = cache_folder()
    with environment.locked(cache):
        progress(f"fetching {source.url}")
        checkout = check_out(source, cache)
        state = _state(source, checkout.commit)
        _install_state(checkout.folder, module, key=_key(source), state=state, progress=progress)


def _install_state(folder: Path, module: str, *, key: str, state: str, progress: Progress) -> None:
    """Installs `folder` unless this very state of it is installed."""
    installed = environment.Installed(cache_folder())
    if installed.state(key) == state and is_installed(module.partition(".")[0]):
        return
    progress(f"installing {folder}")
    environment.pip_install(str(folder))
    installed.remember(key, state)


def _key(source: Git) -> str:
    return f"{source.url}#{source.subfolder or ''}"


def _state(source: Git, commit: str) -> str:
    return f"{source.ref or 'HEAD'} {commit}"
