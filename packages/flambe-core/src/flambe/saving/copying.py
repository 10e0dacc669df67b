"""Copying a save, with what it needs of other saves, to where it can be loaded by itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from flambe.errors import MissingFileError, SavingError
from flambe.registry.registry import Registry
from flambe.saving.reading import links_of
from flambe.saving.seal import SEAL, SealedFolder
from flambe.storage.storage import Content, Storage, open_storage


def copy_save(root: str, folder: str, destination: str, *, replace: bool = False) -> str:
    """Copies the save in `folder` of `root`, a path or URL; returns the folder to load the copy from.

    A save that links to whole objects of other saves below `root` takes them along: the copy then has
    the folders that `root` has. Otherwise `destination` itself is the copy.

    Raises:
        SavingError: `destination` holds something that may not be replaced, or there is no save.
        DamagedSaveError: a file was altered, cut short or removed.
    """
    registry = Registry.load()
    source = open_storage(root, registry.storage)
    target = open_storage(destination, registry.storage)
    if target.list(""):
        _make_room(target, replace=replace)
    needed = _with_needed(source, folder)
    alone = len(needed) == 1
    for name in reversed(needed):
        _copy(SealedFolder(source, name), name, target, "" if alone else name)
    return target.url if alone else target.join(folder)


def _make_room(target: Storage, *, replace: bool) -> None:
    if not target.exists(SEAL):
        raise SavingError(f"{target.url} holds files that are no save; choose another folder")
    if not replace:
        raise SavingError(f"{target.url} holds a save; choose another folder, or replace it with --force")
    target.clear()


def _with_needed(source: Storage, folder: str) -> list[str]:
    """`folder` and the saves that it cannot be loaded without."""
    found, todo = [], [folder]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            saved = SealedFolder(source, name)
        except MissingFileError as error:
            raise SavingError(f"{source.join(folder)} cannot be copied: {error}") from error
        saved.verify()
        found.append(name)
        todo += _needs(saved)
    return found


def _needs(saved: SealedFolder) -> Iterator[str]:
    """The folders of the other saves whose objects the links of `saved` lead to."""
    for folder in saved.walk():
        for link in links_of(folder).values():
            if "save" in link and "value" not in link:
                yield posixpath.normpath(posixpath.join(folder.folder, str(link["save"])))


def _copy(saved: SealedFolder, name: str, target: Storage, place: str) -> None:
    files: dict[str, Content] = {}
    for folder in saved.walk():
        inside = posixpath.relpath(folder.folder, name) if name else folder.folder
        for file in (*folder.names(), SEAL):
            path = posixpath.normpath(posixpath.join(inside, file))
            files[path] = folder.read(file) if file != SEAL else folder.seal
    target.write_folder(place, files, keep=True)
