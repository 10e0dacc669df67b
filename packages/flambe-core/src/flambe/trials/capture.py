"""What a trial says while it runs: Python's `logging`, warnings and prints, as lines for its log file."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

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


class _Writer(io.TextIOBase):
    """A text stream that keeps whole lines.

    Libraries that the trial has imported may hold on to it, as log handlers do. So it lets go of the trial
    at the end, and is then the stream beneath. It is never closed: what is said later is the trial's too.
    """

    encoding = "utf-8"
    errors = "backslashreplace"  # as the log file is written
    mode = "w"
    line_buffering = True
    write_through = False
    closed = False

    def __init__(self, name: str, lines: Lines, beneath: TextIO) -> None:
        self.name = name
        self.buffer = _Bytes(self)
        self._lines: Lines | None = lines
        self._beneath = beneath
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._lines is None:
            return self._beneath.write(text)
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._lines.add(line.rsplit("\r", 1)[-1])
        return len(text)

    def flush(self) -> None:
        """Nothing: lines are handed on when they end."""

    def close(self) -> None:
        """Nothing, as for `flush`."""

    def reconfigure(self, **options: object) -> None:
        """Nothing: what a trial says is UTF-8, line by line, whatever its code would like."""

    def detach(self) -> _Bytes:  # type: ignore[override]  # a BinaryIO in all that it has
        return self.buffer

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._beneath.fileno()

    def finish(self) -> None:
        self.buffer.finish()
        if self._rest and self._lines is not None:
            self._lines.add(self._rest)
        self._rest, self._lines = "", None


class _Bytes(io.BufferedIOBase):
    """The bytes beneath a `_Writer`: UTF-8, with a replacement character for what is none."""

    mode = "wb"
    closed = False

    def __init__(self, text: _Writer) -> None:
        self.name = text.name
        self._text = text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        given = memoryview(data).tobytes()
        self._text.write(self._decoder.decode(given))
        return len(given)

    def flush(self) -> None:
        """Nothing, as for the text."""

    def close(self) -> None:
        """Nothing, as for the text."""

    def fileno(self) -> int:
        return self._text.fileno()

    def finish(self) -> None:
        self._text.write(self._decoder.decode(b"", final=True))


@contextmanager
def captured(lines: Lines) -> Iterator[None]:
    """Sends `logging` records (INFO and above), warnings and prints to `lines` while inside."""
    root = logging.getLogger()
    handler, level = _Handler(lines), root.level
    out, err = _Writer("<stdout>", lines, sys.stdout), _Writer("<stderr>", lines, sys.stderr)
    root.addHandler(handler)
    if level > logging.INFO:
        root.setLevel(logging.INFO)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                yield
            finally:
                _flush(sys.stdout)
                _flush(sys.stderr)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        out.finish()
        err.finish()


def _flush(stream: object) -> None:
    """Hands on what lies in a wrapper that the trial has put around a stream, such as one for an encoding."""
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError, ValueError):  # the trial may have closed it
            stream.flush()
