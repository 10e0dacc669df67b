"""`flambe.save`: an object and its parts as folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flambe.component import origin_of
from flambe.errors import SavingError
from flambe.language.header import Header, HeaderEntry, ImportPath
from flambe.language.links import LinkPath
from flambe.language.nodes import Node
from flambe.language.write import write_text
from flambe.registry.registry import Registry
from flambe.saving.config import ConfigWriter, used_aliases
from flambe.saving.protocol import StateCodec
from flambe.saving.seal import SEAL, SealedFolder, Sealing
from flambe.saving.state import state_files
from flambe.saving.tree import Part, parts_of
from flambe.saving.versions import VERSION, SavedVersion
from flambe.storage.storage import Content, Storage, open_storage, parent_and_name, protocol_of

CONFIG = "config.yaml"


def save(value: object, path: str | os.PathLike[str], *, registry: Registry | None = None) -> None:
    """Save an object that a config or a `Component` class built, its parts in folders of their own.

    `path` is a folder or any fsspec URL. An earlier save there is replaced.

    Raises:
        SavingError: The object cannot be saved, or not there; the message says what to do.
    """
    if origin_of(value) is None:
        raise SavingError(
            f"a {type(value).__name__} cannot be saved by itself: only objects that a config built, or whose "
            "class inherits flambe.Component, are known well enough to be built again"
        )
    registry = registry or Registry.load()
    storage, folder = place_of(path, registry)
    keep = _has_other_files(storage, folder)
    write_object(parts_of(value), storage, folder, registry, keep=keep)


def write_object(
    root: Part,
    storage: Storage,
    folder: str,
    registry: Registry,
    *,
    node: Node | None = None,
    outside: Callable[[LinkPath], Any] | None = None,
    upstream: Mapping[str, str] | None = None,
    keep: bool = False,
    durable: bool = True,
) -> None:
    """Write an object's parts: configs, links, versions and state, all or nothing.

    `node` is the config of the root, where the object itself does not know it; `outside` gives the value
    of a link that leads out of the object; `upstream` are the folders of other stages, relative to this
    one's; with `keep`, other files in the folder stay.
    """
    codecs = registry.codecs()
    configs = ConfigWriter(root, node, registry, outside=outside, upstream=upstream)
    sealing = Sealing()
    _add(sealing, root, configs, registry, codecs)
    storage.write_folder(folder, sealing.files, keep=keep, durable=durable)


def place_of(path: str | os.PathLike[str], registry: Registry) -> tuple[Storage, str]:
    """The storage and the folder in it that `path` names; a local folder's storage is the one above it."""
    text = os.fspath(path)
    if protocol_of(text) == "file":
        parent, name = parent_and_name(text)
        return open_storage(parent, registry.storage), name
    return open_storage(text, registry.storage), ""


def _add(
    sealing: Sealing, part: Part, configs: ConfigWriter, registry: Registry, codecs: Sequence[StateCodec]
) -> None:
    for child in part.children:
        _add(sealing, child, configs, registry, codecs)
    config = configs.configs[part.steps]
    files: dict[str, Content] = {}
    if config.node is not None:
        files[CONFIG] = _config_text(config.node, registry)
    files.update(configs.links_file(config, codecs))
    version = SavedVersion.of(part.value, configs.at(part), linked=configs.is_linked(part))
    files[VERSION] = version.write()
    files.update(state_files(part, codecs))
    start = len(part.folder) + 1 if part.steps else 0
    sealing.add_folder(part.folder, files, {child.folder[start:]: child.folder for child in part.children})


def _config_text(node: Node, registry: Registry) -> bytes:
    aliases = used_aliases(node, registry)
    entries = tuple(HeaderEntry(alias, ImportPath(module), None, None) for alias, module in aliases.items())
    return write_text(node, Header(entries) if entries else None).encode()


def _has_other_files(storage: Storage, folder: str) -> bool:
    """Whether the folder holds more than an earlier save.

    Raises:
        SavingError: It holds files but no save, which a new save must not mix with.
    """
    present = set(storage.list(folder))
    if not present:
        return False
    if SEAL not in present:
        raise SavingError(f"{storage.join(folder)} holds files that are no save; choose another folder")
    earlier = SealedFolder(storage, folder)
    own = {SEAL, *earlier.names(), *(name.partition("/")[0] for name in earlier.parts)}
    return not present <= own
