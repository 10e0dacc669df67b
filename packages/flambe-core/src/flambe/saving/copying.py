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

    A save that links to whole objects of other saves below `root`, or a part that links to others of its
    save, takes them along: the copy then has the folders that `root` has. Otherwise `destination` itself is
    the copy.

    Raises:
        SavingError: `destination` holds something that may not be replaced, or there is no save.
        DamagedSaveError: a file was altered, cut short or removed.
    """
    registry = Registry.load()
    source = open_storage(root, registry.storage)
    target = open_storage(destination, registry.storage)
    needed = _with_needed(source, folder)
    if target.list(""):
        _make_room(target, replace=replace)
    alone = needed == [folder]
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
    """`folder` and the others that it cannot be loaded without; none lies in another."""
    found: list[str] = []
    todo = [folder]
    while todo:
        name = todo.pop()
        if any(_is_within(name, other) for other in found):
            continue
        try:
            saved = SealedFolder(source, name)
        except MissingFileError as error:
            raise SavingError(f"{source.join(folder)} cannot be copied: {error}") from error
        saved.verify()
        found = [*(other for other in found if not _is_within(other, name)), name]
        todo += _needs(saved, source)
    return found


def _is_within(folder: str, above: str) -> bool:
    return f"{folder}/".startswith(f"{above}/" if above else "")


def _needs(saved: SealedFolder, source: Storage) -> Iterator[str]:
    """The folders of the objects that the links of `saved` lead to: other saves, and parts of its own."""
    for folder in saved.walk():
        for key, link in links_of(folder).items():
            where = link.get("part", link.get("save"))
            if where is None or "value" in link:
                continue
            name = posixpath.normpath(posixpath.join(folder.folder, str(where)))
            if name.split("/")[0] == ".." or posixpath.isabs(name):
                raise SavingError(
                    f"{folder.url}: {key} leads to {where}, outside {source.url}; "
                    "copy from a folder that holds both"
                )
            yield "" if name == "." else name


def _copy(saved: SealedFolder, name: str, target: Storage, place: str) -> None:
    files: dict[str, Content] = {}
    for folder in saved.walk():
        inside = posixpath.relpath(folder.folder, name) if name else folder.folder
        for file in (*folder.names(), SEAL):
            path = posixpath.normpath(posixpath.join(inside, file))
            files[path] = folder.read(file) if file != SEAL else folder.seal
    target.write_folder(place, files, keep=True)
