"""`TensorBoard`: what trials log, as event files; all variants of a stage in one plot."""

from __future__ import annotations

import os
import re
import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flambe.logs import Record

if TYPE_CHECKING:
    from flambe.storage.storage import Storage

MAX_BUFFER_BYTES = 2**20
"""How much a URL's event file waits for, as files there can only be written whole."""


class TensorBoard:
    """A metric sink: `<folder>/tensorboard/<stage>/<variant>/`, the same tags for all variants.

    Implements `flambe.logs.MetricSink`. A folder on this machine is up to date after each `write`; at a URL,
    files are written when a megabyte is full and at the end.

    Example:
        >>> import tempfile, time
        >>> sink = TensorBoard()
        >>> folder = tempfile.mkdtemp()
        >>> sink.open(folder, merge_plot=True)
        >>> sink.write("train", "lr=0.1", [Record("scalar", "dev/loss", 0.5, 1, time.time())])
        >>> sink.close()
        >>> len(os.listdir(f"{folder}/tensorboard/train/lr=0.1"))
        1
    """

    def __init__(self) -> None:
        self._folder = ""
        self._merge_plot = True
        self._files: dict[str, _EventFile] = {}
        self._unnumbered: Counter[tuple[str, str]] = Counter()

    def open(self, folder: str, *, merge_plot: bool) -> None:
        """Begin a run. Without `merge_plot`, tags begin with the stage, so that stages have plots apart."""
        self._folder = folder.rstrip("/")
        self._merge_plot = merge_plot

    def write(self, stage: str, variant: str, records: Sequence[Record]) -> None:
        """Write what a trial logged. `scalars` are runs below the variant's, which share its plot."""
        from flambe_torch import events

        run = f"{stage}/{variant}"
        added: dict[str, list[bytes]] = {}
        for logged in records:
            name = logged.name if self._merge_plot else f"{stage}/{logged.name}"
            step = self._step(run, logged)
            if logged.kind == "scalars":
                parts = [(f"{run}/{_safe(curve)}", "scalar", value) for curve, value in logged.value.items()]
            else:
                parts = [(run, logged.kind, logged.value)]
            for place, kind, value in parts:
                made = events.record(kind, name, value, step=step, time=logged.time)
                added.setdefault(place, []).append(made)
        for place, made_records in added.items():
            if place not in self._files:
                self._files[place] = self._create(place)
                made_records.insert(0, events.header(time.time()))
            self._files[place].add(b"".join(made_records))

    def restart(self, stage: str, variant: str, records: Sequence[Record]) -> None:
        """Write the variant's event files anew, with `records` alone."""
        from flambe.storage.storage import open_storage

        run = f"{stage}/{variant}"
        for place in [place for place in self._files if f"{place}/".startswith(f"{run}/")]:
            del self._files[place]
        for name in [name for name in self._unnumbered if name[0] == run]:
            del self._unnumbered[name]
        open_storage(self._folder).remove(f"tensorboard/{run}")
        self.write(stage, variant, records)

    def close(self) -> None:
        """End the run: everything is written."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _step(self, run: str, logged: Record) -> int:
        """The record's step, or its number among those that have none."""
        if logged.step is not None:
            return logged.step
        self._unnumbered[run, logged.name] += 1
        return self._unnumbered[run, logged.name]

    def _create(self, run: str) -> _EventFile:
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        if "://" in self._folder:
            from flambe.storage.storage import open_storage

            return _AtUrl(open_storage(self._folder), f"tensorboard/{run}/{name}")
        return _OnDisk(Path(self._folder, "tensorboard", *run.split("/"), name))


class _EventFile(Protocol):
    def add(self, records: bytes) -> None: ...

    def close(self) -> None: ...


class _OnDisk:
    """Opened for each addition only: a run of many variants would run out of open files."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def add(self, records: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(records)

    def close(self) -> None: ...


class _AtUrl:
    """Kept until it is long enough for a file; TensorBoard reads the files of a run in order."""

    def __init__(self, storage: Storage, path: str) -> None:
        self._storage, self._path = storage, path
        self._records: list[bytes] = []
        self._written = 0

    def add(self, records: bytes) -> None:
        self._records.append(records)
        if sum(map(len, self._records)) > MAX_BUFFER_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._records:
            self._storage.write(f"{self._path}.{self._written:04}", b"".join(self._records))
            self._records, self._written = [], self._written + 1


def _safe(name: str) -> str:
    return re.sub(r"[^\w.=,-]", "_", str(name))
