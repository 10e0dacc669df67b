"""Bringing results to the disk in the background, and noting what is safe from a power cut."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from flambe.experiment.journal import Journal
from flambe.storage.storage import Storage

EVERY_S = 5.0


class Syncing:
    """Syncs the run's storage now and then while trials run, and once at the end.

    A trial that the journal calls finished before the last `safe` event must be whole on the disk; one
    after it may have been lost with the power, and runs again if its files do not fit their checksums.
    """

    def __init__(self, storage: Storage, journal: Journal) -> None:
        self._storage = storage
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flambe-sync")
        self._running: Future[None] | None = None
        self._covers = 0
        self._safe = 0
        self._began = time.monotonic()

    def poll(self) -> None:
        """Note what a sync that has ended made safe; begin another when it is time."""
        if self._running is not None:
            if not self._running.done():
                return
            self._note()
        if self._journal.lines > self._safe and time.monotonic() - self._began > EVERY_S:
            self._begin()

    def finish(self) -> None:
        """Make everything safe, and note that it is."""
        if self._running is not None:
            self._note()
        self._begin()
        self._note()
        self._thread.shutdown()

    def abandon(self) -> None:
        """End without waiting for the disk."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        self._covers, self._began = self._journal.lines, time.monotonic()
        self._running = self._thread.submit(self._storage.sync)

    def _note(self) -> None:
        assert self._running is not None
        self._running.result()
        self._running = None
        self._journal.write("safe", lines=self._covers)
        self._safe = self._journal.lines
