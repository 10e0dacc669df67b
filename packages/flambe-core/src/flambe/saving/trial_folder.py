"""What a trial keeps in its folder: checkpoints while it runs, the finished object at the end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from flambe.errors import DamagedSaveError, MissingFileError
from flambe.language.links import LinkPath
from flambe.language.nodes import Node
from flambe.registry.registry import Registry
from flambe.saving.seal import SealedFolder
from flambe.saving.state import read_state, write_state
from flambe.saving.tree import parts_of
from flambe.saving.writing import place_of, write_object
from flambe.storage.storage import open_storage

CHECKPOINTS = ".checkpoints"
PROGRESS = "progress.json"
SYNC_SECONDS = 5.0

_log = logging.getLogger("flambe")


class TrialFolder:
    """The folder of one trial. Every write is all or nothing; what a kill left unfinished does not count.

    Args:
        folder: A path or URL.
        node: The stage's config, with every option replaced by its choice.
        upstream: For each upstream stage, the id of the variant that links lead to.
        outside: Gives the value of a link to another stage.
    """

    def __init__(
        self,
        folder: str,
        registry: Registry,
        *,
        node: Node | None = None,
        upstream: Mapping[str, str] | None = None,
        outside: Callable[[LinkPath], Any] | None = None,
    ) -> None:
        self._url = folder
        self._registry = registry
        self._storage = open_storage(folder, registry.storage)
        self._node = node
        self._upstream = {stage: f"../../{stage}/{variant}" for stage, variant in (upstream or {}).items()}
        self._outside = outside
        self._synced = ""
        self._synced_at = time.monotonic()

    def write_checkpoint(self, stage: object, *, step: int, extra: Mapping[str, Any]) -> None:
        """Store what going on after `step` steps needs.

        A kill loses nothing; a power cut loses at most what was done since the last checkpoint that was
        synced to the disk, once in `SYNC_SECONDS`. Earlier ones go when one is synced.
        """
        durable = time.monotonic() - self._synced_at > SYNC_SECONDS
        name = f"{step:09d}"
        earlier = [other for other in self._storage.list(CHECKPOINTS) if other not in (name, self._synced)]
        write_state(
            parts_of(stage, self._node),
            self._storage,
            f"{CHECKPOINTS}/{name}",
            self._registry.codecs(),
            {PROGRESS: json.dumps({"step": step, "extra": extra}).encode()},
            durable=durable,
        )
        if durable:
            earlier += [self._synced] if self._synced not in ("", name) else []
            self._synced, self._synced_at = name, time.monotonic()
        for other in earlier:
            self._storage.remove(f"{CHECKPOINTS}/{other}")

    def load_checkpoint(self, stage: object) -> tuple[int, Mapping[str, Any]] | None:
        """Restore the newest checkpoint into a freshly built stage; its step and extra, or None.

        Where the newest is damaged and an earlier one is not, that one is taken. A stage that keeps no state
        can go on from nowhere but its beginning: None.

        Raises:
            DamagedSaveError: A file of every checkpoint was altered, cut short or removed.
        """
        damage: DamagedSaveError | None = None
        for name in sorted(self._storage.list(CHECKPOINTS), reverse=True):
            try:
                saved = SealedFolder(self._storage, f"{CHECKPOINTS}/{name}")
                saved.verify()
            except MissingFileError:  # a kill left it unfinished
                continue
            except DamagedSaveError as error:
                _log.warning("%s; looking for an earlier checkpoint", error)
                damage = damage or error
                continue
            if not any(set(folder.names()) - {PROGRESS} for folder in saved.walk()):
                return None
            progress = json.loads(saved.read(PROGRESS))
            read_state(parts_of(stage, self._node), saved, self._registry.codecs())
            self._synced = name
            return progress["step"], progress["extra"]
        if damage is not None:
            folder = self._storage.join(CHECKPOINTS)
            raise DamagedSaveError(f"{damage}; or remove {folder} to start the trial anew") from damage
        return None

    def write_finished(self, stage: object) -> None:
        """Store the finished object as `flambe.save` does, beside the trial's other files.

        Checkpoints stay until the driver has noted that the trial finished. A kill loses nothing; the
        driver syncs the files of many trials at once and notes which are safe from a power cut.
        """
        storage, folder = place_of(self._url, self._registry)
        write_object(
            parts_of(stage, self._node),
            storage,
            folder,
            self._registry,
            node=self._node,
            outside=self._outside,
            upstream=self._upstream,
            keep=True,
            durable=False,
        )

    def load_finished(self, stage: object) -> None:
        """Give a freshly built stage the state that it was finished with.

        Raises:
            DamagedSaveError: A file was altered, cut short or removed, or nothing was finished there.
        """
        try:
            saved = SealedFolder(self._storage)
        except MissingFileError as error:
            raise DamagedSaveError(f"{error}; remove the folder to run the trial again") from error
        read_state(parts_of(stage, self._node), saved, self._registry.codecs())
