"""Drives one run: from events to records and files, until nothing is left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from flambe.experiment.control.control import Control
from flambe.experiment.expanding import Expanding
from flambe.experiment.failures import Failures
from flambe.experiment.flow import Flow
from flambe.experiment.ingredients import Change, Ingredients, Update
from flambe.experiment.journal import TrialRecord
from flambe.experiment.patience import Patience
from flambe.experiment.roster import Roster
from flambe.experiment.showing import Showing
from flambe.experiment.syncing import Syncing
from flambe.trials.protocol import (
    Changed,
    Event,
    Failed,
    Finished,
    Handle,
    HandlesLost,
    Left,
    Logged,
    Paused,
    Started,
    Stepped,
    TrialKey,
)

_TICK_S = 0.2


class Engine:
    """Drives one run. `records` tells what became of every trial, `problems` what went wrong beside them."""

    def __init__(self, ingredients: Ingredients) -> None:
        self._in = ingredients
        self._roster = Roster(ingredients)
        self._values = self._roster.values
        self._flow = Flow(ingredients, self._roster)
        self._expanding = Expanding(ingredients, self._roster, self._flow)
        self._control = Control(ingredients, self._roster, self._flow, self._expanding)
        self._patience = Patience(ingredients.executor, ingredients.settings.trial_timeout_s)
        self._failures = Failures(ingredients.settings.max_failures)
        self._showing = Showing(ingredients.sinks, ingredients.folder.logged)
        self._idle = False
        self.interrupted = False

    @property
    def records(self) -> Mapping[TrialKey, TrialRecord]:
        return self._roster.records

    @property
    def reused(self) -> set[TrialKey]:
        return self._roster.reused

    @property
    def problems(self) -> list[str]:
        return self._roster.problems

    def left_out(self) -> dict[str, list[str]]:
        """The earlier run's trials, by stage, that are none of this run's; nothing where it was cut short."""
        found: dict[str, list[str]] = {}
        if not self._roster.stopping:
            for key in self._in.reuse.earlier.keys() - self.records.keys():
                found.setdefault(key.stage, []).append(key.variant)
        return {stage: sorted(found[stage]) for stage in sorted(found)}

    # -- the loop -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until every trial that can run has ended, or an interrupt has been carried out."""
        syncing = Syncing(self._in.folder.storage, self._in.folder.journal)
        try:
            self._expanding.expand()
            while self._goes_on():
                if self._roster.active:
                    self._in.executor.wait(_TICK_S, self.handle)
                else:
                    time.sleep(_TICK_S)
                self._patience.check()
                self._in.folder.journal.flush()
                syncing.poll()
            syncing.finish()
        finally:
            syncing.abandon()

    def _goes_on(self) -> bool:
        """Whether there is anything left to do, or to be asked for."""
        self._control.poll(now=not self._roster.active and not self._idle)
        if self._roster.active:
            self._idle = False
            return True
        paused = [] if self._roster.stopping else self._flow.paused()
        if paused and not self._idle:
            self._in.observe(Update("idle", paused[0].key.stage, paused=paused))
        self._idle = bool(paused)
        return self._idle

    def interrupt(self) -> None:
        """Let running trials write a checkpoint and leave, and start no more. Safe in a signal handler."""
        self.interrupted = True
        self._roster.stop()

    def handle(self, event: Event) -> None:
        """Take in what an executor reports."""
        self._patience.heard(event.key)
        self._take_in(event)
        self._control.poll()  # an executor may run a whole trial before it returns

    def _take_in(self, event: Event) -> None:
        restoring = self._values.is_restoring(event.key)
        match event:
            case Started(key=key, step=step) if not restoring:
                self._started(key, step)
            case Logged(key=key, records=logged) if not restoring:
                self._showing.add(key, logged)
            case Stepped():
                self._stepped(event)
            case Paused(key=key, step=step, checkpoint=stored):
                self._paused(key, step, stored=stored)
            case Changed():
                self._changed(event)
            case Finished(key=key) if restoring:
                self._restored(key, event.handle)
            case Finished():
                self._finished(event)
            case Left(key=key, step=step):
                self._left(key, step)
            case Failed():
                self._failed(event)
            case HandlesLost(key=key, handles=handles):
                self._without_values(key, handles)

    # -- a trial that runs ----------------------------------------------------------------------------------

    def _started(self, key: TrialKey, step: int) -> None:
        record = self.records[key]
        record.status, record.step = "running", step
        if key in self._roster.waiting:
            self._roster.waiting.discard(key)
            self._roster.note("resumed", key, step=step)
            self._control.started(record)
            self._tell("started", record)
            return
        again = record.attempts > 0 or key in self._in.reuse.earlier
        self._showing.begin(key, self._roster.variants[key], again_after=step if again else None)
        record.attempts += 1
        self._roster.note("started", key, step=step)
        record.started = record.started or self._in.folder.journal.last_time
        self._in.folder.write_trial(record)
        self._control.started(record)
        self._tell("started", record)

    def _stepped(self, event: Stepped) -> None:
        record = self.records[event.key]
        record.step, record.metric, record.proven = event.step, event.metric, None
        record.seconds += event.seconds
        if event.checkpoint:
            record.checkpoint = event.step
        self._roster.note(
            "step",
            event.key,
            step=event.step,
            metric=event.metric,
            checkpoint=event.checkpoint,
            seconds=round(event.seconds, 6),
            **({"lower_is_better": True} if event.lower_is_better else {}),
        )
        record.lower_is_better = event.lower_is_better
        if (searching := self._in.stages[event.key.stage].searching) is not None:
            searching.note(record)
        self._tell("stepped", record)

    def _paused(self, key: TrialKey, step: int, *, stored: bool) -> None:
        record = self.records[key]
        if self._control.waits(record):
            return
        record.status, record.step = "paused", step
        if stored:
            record.checkpoint, record.proven = step, None
            self._roster.note("left", key, step=step)
        elif key not in self._roster.waiting:
            self._roster.note("waits", key, step=step)
        self._roster.waiting.add(key)
        self._tell("stepped", record)
        self._expanding.expand()

    def _changed(self, event: Changed) -> None:
        """The executor has changed a trial, and it goes on so."""
        record = self.records[event.key]
        record.step = event.step
        if event.donor is not None:
            record.checkpoint = event.step
        self._roster.change(record, event.values, origin=event.origin, donor=event.donor)
        self._tell("changed", record)

    # -- a trial that ends ----------------------------------------------------------------------------------

    def _finished(self, event: Finished) -> None:
        key, record = event.key, self.records[event.key]
        self._roster.active.discard(key)
        if event.status == "stopped" and record.started is None:
            self._flow.withdraw(record)
            self._end(record)
            return
        record.status, record.metric, record.step = event.status, event.metric, event.step
        record.lower_is_better, record.error = event.lower_is_better, None
        self._roster.note(
            "finished",
            key,
            status=record.status,
            metric=record.metric,
            step=record.step,
            lower_is_better=record.lower_is_better,
        )
        record.ended = self._in.folder.journal.last_time
        if (searching := self._in.stages[key.stage].searching) is not None:
            searching.tell(record)
        self._values.keep(key, event.handle)
        self._in.folder.drop_checkpoints(key)
        self._in.folder.write_trial(record)
        self._end(record)

    def _end(self, record: TrialRecord) -> None:
        self._control.ended(record)
        self._tell("ended", record)
        if record.ended_well:
            self._flow.ended(record.key)
            self._flow.outrun(record)
        self._expanding.expand()

    def _restored(self, key: TrialKey, handle: Handle) -> None:
        self._roster.active.discard(key)
        for waiting in self._values.restored(key, handle):
            if self._roster.may_go(waiting):
                self._roster.submit(waiting)

    def _without_values(self, key: TrialKey, lost: Mapping[str, Handle]) -> None:
        """A trial could not begin for want of linked values: they are loaded again, then it is submitted."""
        self._roster.active.discard(key)
        for stage, handle in lost.items():
            self._values.lost(TrialKey(stage, self.records[key].upstream[stage]), handle)
        if not self._values.is_restoring(key):
            if self._control.tried_again(self.records[key]):
                self._roster.ready(key)
        elif not self._roster.stopping and self._values.are_there(key):
            self._roster.submit(key, restore="finished")

    def _left(self, key: TrialKey, step: int | None) -> None:
        self._roster.active.discard(key)
        self._roster.waiting.discard(key)
        record = self.records[key]
        if record.ended_well:
            return
        if step is not None:
            record.status, record.step, record.checkpoint = "paused", step, step
            self._roster.note("left", key, step=step)
            self._in.folder.write_trial(record)
        if not self._control.left(record, step) and step is not None:
            self._tell("ended", record)
        if record.paused_by is not None:
            self._expanding.expand()  # its place is free

    def _failed(self, event: Failed) -> None:
        key, restoring = event.key, self._values.is_restoring(event.key)
        record = self.records[key]
        self._roster.active.discard(key)
        self._roster.waiting.discard(key)
        if event.lost and not restoring:
            story = [line for line in event.traceback.splitlines() if line.strip() not in ("", event.error)]
            self._in.folder.add_lines(key, [event.error, *story])
        if not restoring and not self._roster.stopping and self._control.failed(record, event):
            return
        if self._failures.may_try_again(event, record) and not self._roster.stopping:
            self._roster.note("retry", key, error=event.error)
            if restoring:
                self._roster.submit(key, restore="finished")
            elif self._control.tried_again(record):
                self._roster.submit(key, restore="checkpoint")
        elif restoring:
            self._cannot_restore(key, event.error)
        else:
            self._roster.note("failed", key, error=event.error, traceback=event.traceback)
            self._give_up(key, event.error)
            if self._in.settings.stop_on_failure:
                self._roster.stop()
            self._expanding.expand()

    def _cannot_restore(self, key: TrialKey, error: str) -> None:
        problem = f"{key.stage}/{key.variant} could not be loaded: {error}"
        self.problems.append(problem)
        for stuck in self._values.cannot_restore(key):
            self._give_up(stuck, problem)
        self._expanding.expand()

    def _give_up(self, key: TrialKey, error: str) -> None:
        self._flow.give_up(self.records[key], error)
        self._control.gave_up(self.records[key])
        self._tell("failed", self.records[key])

    def _tell(self, change: Change, record: TrialRecord) -> None:
        self._in.observe(Update(change, record.key.stage, record))
