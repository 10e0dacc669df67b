"""A watch on the machine that directs a cluster."""

from __future__ import annotations

import logging
import threading
import time

from flambe_ray.session import reach

_EVERY_S = 2.0
_SILENT_S = 6.0
"""After how long the user is told."""

_log = logging.getLogger("flambe")


class HeadWatch:
    """Tells the user when a cluster's head no longer answers.

    Ray's own calls wait for it then, and a minute later Ray ends this process without a word.

    Args:
        address: Where the head answers, `host:port`.
    """

    def __init__(self, address: str, *, every_s: float = _EVERY_S, silent_s: float = _SILENT_S) -> None:
        self._address = address
        self._every_s, self._silent_s = every_s, silent_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="flambe-head-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        answered, told = time.monotonic(), False
        while not self._closed.wait(self._every_s):
            if self._answers():
                answered, told = time.monotonic(), False
            elif not told and time.monotonic() - answered > self._silent_s:
                told = True
                _log.warning(
                    "the head of the Ray cluster does not answer at %s; if it stays away, Ray ends this run "
                    "within a minute, to go on later with --resume",
                    self._address,
                )

    def _answers(self) -> bool:
        try:
            reach(self._address, timeout_s=self._every_s)
        except OSError:
            return False
        return True
