"""Live progress of a run: a table that renews itself in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from flambe.cli.table import changes, duration, number
from flambe.experiment.ranking import best_first

if TYPE_CHECKING:
    from rich.table import Table

    from flambe.experiment.ingredients import Update
    from flambe.experiment.journal import TrialRecord
    from flambe.experiment.stage_run import StageRun


class Display(Protocol):
    """What `flambe run` shows while it runs."""

    def started(self, folder: str, stages: Mapping[str, StageRun]) -> None: ...

    def update(self, update: Update) -> None: ...


@contextmanager
def display(*, verbose: bool) -> Iterator[Display]:
    """The display that fits stderr."""
    if not sys.stderr.isatty() or verbose:
        yield PlainLines()
        return
    live = LiveTable()
    try:
        yield live
    finally:
        live.close()


class PlainLines:
    """One line for each variant that starts or ends."""

    def __init__(self) -> None:
        self._out = sys.stderr  # a trial in this process captures what is printed to sys.stderr

    def started(self, folder: str, stages: Mapping[str, StageRun]) -> None:
        self._say(f"run folder: {folder}")

    def update(self, update: Update) -> None:
        record = update.record
        if update.change == "idle":
            self._say(waiting_for(update.paused))
        if update.change in {"expanded", "reused", "stepped"} or record is None:
            return
        name = f"{record.key.stage}/{record.key.variant}"
        if update.change == "started":
            anew = "started again" if record.attempts > 1 else "started"
            self._say(f"{name}: " + (f"goes on from step {record.step}" if record.step else anew))
        elif update.change == "failed":
            self._say(f"{name}: failed: {record.error}")
        elif update.change == "paused":
            self._say(f"{name}: paused by {record.paused_by}{_after(record)}")
        elif update.change == "resumed":
            self._say(f"{name}: may go on")
        elif update.change == "changed":
            self._say(f"{name}: changed: {changes(record)}")
        elif update.change == "unchanged":
            self._say(f"{name}: goes on without its new values: {update.why}")
        else:
            metric = "" if record.metric is None else f", metric {number(record.metric)}"
            self._say(f"{name}: {record.status}{_after(record)}{metric}")

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {line}", file=self._out, flush=True)


def _after(record: TrialRecord) -> str:
    if not record.step:
        return ""
    return f" after {record.step} step{'s' * (record.step != 1)}, {duration(record.seconds)}"


def waiting_for(paused: Sequence[TrialRecord]) -> str:
    """What a run says of which nothing is left but trials that somebody has paused."""
    names = ", ".join(f"{record.key.stage}/{record.key.variant}" for record in paused[:3])
    more = f" and {len(paused) - 3} more" if len(paused) > 3 else ""
    return (
        f"everything else is done; paused: {names}{more}; "
        "go on with `flambe resume`, or leave with Ctrl-C and --resume later"
    )


@dataclass
class _Progress:
    """What the live table knows of one stage."""

    total: int | None = None
    records: dict[str, TrialRecord] = field(default_factory=dict)

    def counts(self) -> Counter[str]:
        return Counter(record.status for record in self.records.values())

    def best(self) -> TrialRecord | None:
        ranked = min(self.records.values(), key=best_first, default=None)
        return ranked if ranked is not None and ranked.metric is not None else None

    def seconds_left(self) -> float | None:
        """From the mean time of ended variants; None before the first has ended."""
        ended = [r for r in self.records.values() if r.ended_well and r.seconds]
        running = self.counts()["running"]
        if not ended or self.total is None:
            return None
        mean = sum(record.seconds for record in ended) / len(ended)
        open_seconds = sum(
            max(0.0, mean - record.seconds) for record in self.records.values() if record.status == "running"
        )
        waiting = self.total - len(ended) - running - self.counts()["failed"]
        return (open_seconds + mean * max(0, waiting)) / max(1, running)


class LiveTable:
    """Stages with their variants done, running, failed, the best metric and the time left."""

    def __init__(self) -> None:
        self._stages: dict[str, _Progress] = {}
        self._runs: Mapping[str, StageRun] = {}
        self._live: object | None = None
        self._began = time.monotonic()
        self._paused: Sequence[TrialRecord] = ()

    def started(self, folder: str, stages: Mapping[str, StageRun]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._runs = stages
        self._stages = {name: _Progress() for name in stages}
        console = Console(file=sys.stderr)
        console.print(f"[dim]run folder: {folder}[/dim]", highlight=False)
        live = Live(console=console, refresh_per_second=4, get_renderable=self._table, transient=True)
        live.start()
        self._live = live

    def update(self, update: Update) -> None:
        stage = self._stages[update.stage]
        self._paused = update.paused
        if update.change == "expanded":
            stage.total = len(self._runs[update.stage].variants or ())
        if update.record is not None:
            stage.records[update.record.key.variant] = update.record

    def close(self) -> None:
        from rich.live import Live

        if isinstance(self._live, Live):
            self._live.stop()

    def _table(self) -> Table:
        from flambe.cli.terminal import plain_table

        counted = ("variants", "done", "running", "pruned", "failed", "best metric", "left")
        table = plain_table("stage", right=counted)
        for name, stage in self._stages.items():
            counts, best, left = stage.counts(), stage.best(), stage.seconds_left()
            done = counts["done"] + counts["stopped"]
            open_ = stage.total is None or done + counts["pruned"] + counts["failed"] < stage.total
            table.add_row(
                name,
                "?" if stage.total is None else str(stage.total),
                f"[green]{done}[/green]" if done else "0",
                f"[cyan]{counts['running']}[/cyan]" if counts["running"] else "0",
                str(counts["pruned"]),
                f"[red]{counts['failed']}[/red]" if counts["failed"] else "0",
                number(best.metric) if best else "",
                duration(left) if open_ and left is not None else "",
            )
        table.caption = f"{duration(time.monotonic() - self._began)} so far; Ctrl-C stops after a checkpoint"
        held = sum(
            record.paused_by is not None for s in self._stages.values() for record in s.records.values()
        )
        if held:
            table.caption += f"; {held} paused"
        if self._paused:
            table.caption += f"\n{waiting_for(self._paused)}"
        table.caption_justify = "left"
        return table
