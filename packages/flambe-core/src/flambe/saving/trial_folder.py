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
_ATTEMPTS = 20
"""How often a checkpoint is looked for that its owner goes on replacing."""

_DIGITS = 9
"""How many of the last characters of a checkpoint's name are its step; those before name its line."""

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
        self._line = ""
        self._synced = ""
        self._synced_at = time.monotonic()

    def write_checkpoint(self, stage: object, *, step: int, extra: Mapping[str, Any]) -> None:
        """Store what going on after `step` steps needs.

        A kill loses nothing; a power cut loses at most what was done since the last checkpoint that was
        synced to the disk, once in `SYNC_SECONDS`. Earlier ones go when one is synced.
        """
        durable = time.monotonic() - self._synced_at > SYNC_SECONDS
        name = f"{self._line}{step:09d}"
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
            self._synced, self._line = name, name[:-_DIGITS]
            return progress["step"], progress["extra"]
        if damage is not None:
            folder = self._storage.join(CHECKPOINTS)
            raise DamagedSaveError(f"{damage}; or remove {folder} to start the trial anew") from damage
        return None

    def load_checkpoint_of(self, folder: str, stage: object) -> tuple[int, Mapping[str, Any]] | None:
        """Restore the newest checkpoint of the trial in another folder, which may replace it meanwhile.

        This trial's own checkpoints, of a line of steps that is over, stay until the next one is written:
        that one counts as newer than all of them, whatever its step.
        """
        other = TrialFolder(folder, self._registry, node=self._node)
        found = other._load_moving(stage)
        if found is not None:
            newest = max(self._storage.list(CHECKPOINTS), default="")
            lines = int(newest[1:-_DIGITS] or 0) if newest[:1] == "g" else 0
            self._line, self._synced = f"g{lines + 1:04d}", ""
            self._synced_at = float("-inf")  # the next is synced before the others go
        return found

    def _load_moving(self, stage: object) -> tuple[int, Mapping[str, Any]] | None:
        for attempt in range(_ATTEMPTS):
            seen = self._storage.list(CHECKPOINTS)
            try:
                found = self.load_checkpoint(stage)
            except DamagedSaveError:
                if attempt + 1 == _ATTEMPTS or self._storage.list(CHECKPOINTS) == seen:
                    raise
                continue
            if found is not None or self._storage.list(CHECKPOINTS) == seen:
                return found
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
