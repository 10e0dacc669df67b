"""What a trial says while it runs: Python's `logging`, warnings and prints, as lines for its log file."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

_FLUSH_AFTER_S = 0.5


class Lines:
    """Collects lines and hands them on at once, or after a moment when they come in floods.

    Those of other threads wait for the next of the trial's own: handing on may write to a remote storage,
    and a thread of its client that logs something cannot wait for itself.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._lines: list[str] = []
        self._flushed_at = 0.0
        self._thread = threading.get_ident()
        self._flushing = False

    def add(self, line: str) -> None:
        self._lines.append(line)
        now = time.monotonic()
        if self._flushing or threading.get_ident() != self._thread:
            return
        if now - self._flushed_at > _FLUSH_AFTER_S:
            self._flushed_at, self._flushing = now, True
            try:
                self._flush()
            finally:
                self._flushing = False

    def take(self) -> list[str]:
        taken, self._lines = self._lines, []
        return taken


class _Handler(logging.Handler):
    def __init__(self, lines: Lines) -> None:
        super().__init__(logging.INFO)
        self._lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._lines.add(line)


class _Writer:
    """A text stream that keeps whole lines.

    Libraries that the trial has imported may hold on to it, as log handlers do. So it lets go of the trial
    at the end, and is then the stream beneath.
    """

    encoding = "utf-8"

    def __init__(self, lines: Lines, beneath: TextIO) -> None:
        self._lines: Lines | None = lines
        self._beneath = beneath
        self._rest = ""

    def write(self, text: str) -> int:
        if self._lines is None:
            return self._beneath.write(text)
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._lines.add(line.rsplit("\r", 1)[-1])
        return len(text)

    def flush(self) -> None:
        """Nothing: lines are handed on when they end."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._beneath.fileno()

    def finish(self) -> None:
        if self._rest and self._lines is not None:
            self._lines.add(self._rest)
        self._rest, self._lines = "", None


@contextmanager
def captured(lines: Lines) -> Iterator[None]:
    """Sends `logging` records (INFO and above), warnings and prints to `lines` while inside."""
    root = logging.getLogger()
    handler, level = _Handler(lines), root.level
    out, err = _Writer(lines, sys.stdout), _Writer(lines, sys.stderr)
    root.addHandler(handler)
    if level > logging.INFO:
        root.setLevel(logging.INFO)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        out.finish()
        err.finish()
