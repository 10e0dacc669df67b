"""What runs next: from variants to trials, from events to the run's folder, until nothing is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flambe.errors import DamagedSaveError, ReduceError
from flambe.executors.protocol import Executor
from flambe.experiment.journal import TrialRecord
from flambe.experiment.linked_values import LinkedValues
from flambe.experiment.reuse import Reuse
from flambe.experiment.run_folder import RunFolder, folder_of
from flambe.experiment.searching import NewSearch, Searching
from flambe.experiment.settings import Settings
from flambe.experiment.showing import Showing
from flambe.experiment.stage_run import StageRun, upstream_keys
from flambe.experiment.syncing import Syncing
from flambe.logs import MetricSink
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Handle,
    HandlesLost,
    Left,
    Logged,
    Paused,
    Recollection,
    Started,
    Stepped,
    TrialKey,
    TrialTask,
)
from flambe.variants.variant import Variant

_TICK_S = 0.2

Restore = Literal["fresh", "checkpoint", "finished"]
Change = Literal["expanded", "reused", "started", "stepped", "ended", "failed"]


@dataclass(frozen=True)
class Update:
    """Something a display may want to show: what happened to which trial."""

    change: Change
    stage: str
    record: TrialRecord | None = None


@dataclass(frozen=True)
class Ingredients:
    """What the engine works on; made by `Experiment`."""

    settings: Settings
    stages: Mapping[str, StageRun]
    executor: Executor
    folder: RunFolder
    reuse: Reuse
    devices_of: Mapping[str, Mapping[str, float]]
    at_once: Callable[[str], int]
    threads_of: Mapping[str, int]
    new_search: NewSearch | None = None
    sinks: Sequence[MetricSink] = ()
    observe: Callable[[Update], None] = lambda update: None


class Engine:
    """Drives one run. `records` tells what became of every trial, `problems` what went wrong beside them."""

    def __init__(self, ingredients: Ingredients) -> None:
        self._in = ingredients
        self._stages = ingredients.stages
        self.records: dict[TrialKey, TrialRecord] = {}
        self.reused: set[TrialKey] = set()
        self.problems: list[str] = []
        self.interrupted = False
        self._variants: dict[TrialKey, Variant] = {}
        self._waits: dict[TrialKey, int] = {}
        self._dependants: dict[TrialKey, list[TrialKey]] = {}
        self._values = LinkedValues(
            self._stages,
            self._variants,
            ingredients.executor,
            restore=lambda key: self._submit(key, restore="finished"),
        )
        self._showing = Showing(ingredients.sinks, ingredients.folder.logged)
        self._active: set[TrialKey] = set()
        self._waiting: set[TrialKey] = set()
        self._failures: Counter[TrialKey] = Counter()
        self._machine_lost_at: dict[TrialKey, int | None] = {}
        self._stopping = False

    # -- the loop -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until every trial that can run has ended, or an interrupt has been carried out."""
        syncing = Syncing(self._in.folder.storage, self._in.folder.journal)
        try:
            self._expand()
            while self._active:
                self._in.executor.wait(_TICK_S, self.handle)
                self._in.folder.journal.flush()
                syncing.poll()
            syncing.finish()
        finally:
            syncing.abandon()

    def interrupt(self) -> None:
        """Let running trials write a checkpoint and leave, and start no more. Safe in a signal handler."""
        self.interrupted = True
        self._stop()

    def handle(self, event: Event) -> None:
        """Take in what an executor reports."""
        match event:
            case Started(key=key, step=step):
                self._started(key, step)
            case Logged(key=key, records=logged):
                if not self._values.is_restoring(key):
                    self._showing.add(key, logged)
            case Stepped():
                self._stepped(event)
            case Paused(key=key, step=step, checkpoint=stored):
                self._paused(key, step, stored=stored)
            case Finished(key=key) if self._values.is_restoring(key):
                self._restored(key, event.handle)
            case Finished():
                self._finished(event)
            case Left(key=key, step=step):
                self._left(key, step)
            case Failed():
                self._failed(event)
            case HandlesLost(key=key, handles=handles):
                self._without_values(key, handles)

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._in.executor.interrupt()

    # -- from variants to trials ----------------------------------------------------------------------------

    def _expand(self) -> None:
        """Makes the trials of every stage whose upstream variants are known."""
        for stage in self._stages.values():
            if stage.variants is None and all(self._stages[name].settled for name in stage.space.needs):
                self._add_trials(stage)
            self._suggest(stage)
            self._choose(stage)

    def _add_trials(self, stage: StageRun) -> None:
        upstream = {name: self._stages[name].flowing() for name in stage.space.needs}
        if stage.samples is not None:
            self._search(stage, upstream)
            return
        stage.variants = {variant.id: variant for variant in stage.space.expand(upstream)}
        stage.open = set(stage.variants)
        self._recall(stage, stage.variants.values())
        self._in.observe(Update("expanded", stage.name))
        for variant in stage.variants.values():
            self._add_trial(stage, variant)
        for name in stage.space.needs:
            self._release_unused(self._stages[name])

    def _search(self, stage: StageRun, upstream: Mapping[str, Sequence[Variant]]) -> None:
        """Begins the stage's searches, with what an earlier run has found."""
        assert stage.samples is not None
        assert self._in.new_search is not None
        stage.searching = Searching.over(stage.space, upstream, stage.samples, self._in.new_search)
        stage.variants = {}
        earlier = (record for key, record in self._in.reuse.earlier.items() if key.stage == stage.name)
        earlier_variants = list(stage.searching.replay(earlier))
        self._recall(stage, earlier_variants)
        for variant in earlier_variants:
            self._add_suggested(stage, variant)

    def _recall(self, stage: StageRun, variants: Collection[Variant]) -> None:
        """Tells the stage's scheduler what an earlier run has done of what still fits."""
        steps = [step for step in self._in.folder.steps if step.key.stage == stage.name]
        recall: Callable[[Recollection], None] | None = getattr(self._in.executor, "recall", None)
        if not steps or recall is None:
            return
        records = [self._in.reuse.record(stage, variant) for variant in variants]
        fitting = {record.key: record for record in records if not self._in.reuse.is_new(record)}
        recall(
            Recollection(
                stage=stage.name,
                steps=[step for step in steps if step.key in fitting],
                ended={key: record.status for key, record in fitting.items() if record.ended_well},
                siblings=len(records) + stage.unsuggested,
            )
        )

    def _suggest(self, stage: StageRun) -> None:
        """Tries as many variants of a searched stage at once as there is room for."""
        searching = stage.searching
        while searching is not None and searching.left and not self._stopping:
            tried = [self.records[TrialKey(stage.name, id_)].status for id_ in stage.open]
            if len(tried) - tried.count("paused") >= self._in.at_once(stage.name):
                return
            variant = searching.next(waiting=bool(tried))
            if variant is None:
                return
            self._add_suggested(stage, variant)

    def _add_suggested(self, stage: StageRun, variant: Variant) -> None:
        assert stage.variants is not None
        stage.variants[variant.id] = variant
        stage.open.add(variant.id)
        self._in.observe(Update("expanded", stage.name))
        self._add_trial(stage, variant)

    def _add_trial(self, stage: StageRun, variant: Variant) -> None:
        key = TrialKey(stage.name, variant.id)
        self._variants[key] = variant
        record = self._record(stage, variant)
        self.records[key] = record
        if record.ended_well:
            self.reused.add(key)
            self._in.folder.settle(record)
            self._in.observe(Update("reused", stage.name, record))
            self._ended(key)
            return
        waits = 0
        for upstream in upstream_keys(variant):
            if not self.records[upstream].ended_well:
                waits += 1
                if upstream not in self._active and upstream not in self._waits:
                    record.error = _blocked(upstream)
            self._dependants.setdefault(upstream, []).append(key)
        self._waits[key] = waits
        if record.error is not None and record.status == "pending" and waits:
            self._block(key, record.error)
        elif not waits:
            self._ready(key)

    def _record(self, stage: StageRun, variant: Variant) -> TrialRecord:
        """What is known of the trial; one that is new to the folder, or changed, is noted there."""
        record = self._in.reuse.record(stage, variant)
        if record.ended_well and not self._is_whole(record):
            record = self._in.reuse.anew(record)
        if not self._in.reuse.is_new(record):
            if not record.ended_well:
                record.error = None
                record.status = "pending" if record.started is None else "paused"
            return record
        if record.key in self._in.reuse.earlier:
            self._in.folder.storage.remove(folder_of(record.key))
        self._note(
            "trial",
            record.key,
            fingerprint=record.fingerprint,
            seed=record.seed,
            upstream=record.upstream,
            choices=record.choices,
            **({} if stage.searching is None else {"suggestion": stage.searching.suggestions[variant.id]}),
        )
        return record

    def _is_whole(self, record: TrialRecord) -> bool:
        """Whether a finished trial's files are all there; damage that no power cut explains is an error."""
        try:
            self._in.folder.verify(record.key)
        except DamagedSaveError:
            if record.safe:
                raise
            return False
        return True

    def _ready(self, key: TrialKey) -> None:
        """All upstream trials have ended well: get their values, then go."""
        if self._stopping:
            return
        if self._values.are_there(key):
            self._submit(key)

    def _submit(self, key: TrialKey, restore: Restore | None = None) -> None:
        variant, record, stage = self._variants[key], self.records[key], self._stages[key.stage]
        self._active.add(key)
        self._in.executor.submit(
            TrialTask(
                key=key,
                node=stage.space.resolve(variant),
                exports=stage.exports,
                imports=self._values.imports(key),
                seed=record.seed,
                devices=self._in.devices_of[key.stage],
                threads=self._in.threads_of[key.stage],
                folder=self._in.folder.storage.join(folder_of(key)),
                fingerprint=record.fingerprint,
                upstream=record.upstream,
                restore=restore or ("fresh" if record.status == "pending" else "checkpoint"),
                attempt=record.attempts,
                siblings=len(stage.open) + stage.unsuggested,
            )
        )

    # -- from events to records -----------------------------------------------------------------------------

    def _started(self, key: TrialKey, step: int) -> None:
        if self._values.is_restoring(key):
            return
        record = self.records[key]
        record.status, record.step = "running", step
        if key in self._waiting:
            self._waiting.discard(key)
            self._note("resumed", key, step=step)
            self._in.observe(Update("started", key.stage, record))
            return
        again = record.attempts > 0 or key in self._in.reuse.earlier
        self._showing.begin(key, self._variants[key], again=again)
        record.attempts += 1
        self._note("started", key, step=step)
        record.started = record.started or self._in.folder.journal.last_time
        self._in.folder.write_trial(record)
        self._in.observe(Update("started", key.stage, record))

    def _stepped(self, event: Stepped) -> None:
        record = self.records[event.key]
        record.step, record.metric = event.step, event.metric
        record.seconds += event.seconds
        if event.checkpoint:
            record.checkpoint = event.step
        self._note(
            "step",
            event.key,
            step=event.step,
            metric=event.metric,
            checkpoint=event.checkpoint,
            seconds=round(event.seconds, 6),
            **({"lower_is_better": True} if event.lower_is_better else {}),
        )
        record.lower_is_better = event.lower_is_better
        if (searching := self._stages[event.key.stage].searching) is not None:
            searching.note(record)
        self._in.observe(Update("stepped", event.key.stage, record))

    def _paused(self, key: TrialKey, step: int, *, stored: bool) -> None:
        record = self.records[key]
        record.status, record.step = "paused", step
        if stored:
            record.checkpoint = step
            self._note("left", key, step=step)
        elif key not in self._waiting:
            self._note("waits", key, step=step)
        self._waiting.add(key)
        self._in.observe(Update("stepped", key.stage, record))
        self._expand()

    def _finished(self, event: Finished) -> None:
        key, record = event.key, self.records[event.key]
        self._active.discard(key)
        record.status, record.metric, record.step = event.status, event.metric, event.step
        record.lower_is_better, record.error = event.lower_is_better, None
        self._note(
            "finished",
            key,
            status=record.status,
            metric=record.metric,
            step=record.step,
            lower_is_better=record.lower_is_better,
        )
        record.ended = self._in.folder.journal.last_time
        self._tell(record)
        self._values.keep(key, event.handle)
        self._in.folder.drop_checkpoints(key)
        self._in.folder.write_trial(record)
        self._in.observe(Update("ended", key.stage, record))
        self._ended(key)
        outrun = self._stages[key.stage].outrun(record)
        if outrun is not None:
            self._values.free(TrialKey(key.stage, outrun))
        self._expand()

    def _restored(self, key: TrialKey, handle: Handle) -> None:
        self._active.discard(key)
        for waiting in self._values.restored(key, handle):
            if not self._stopping:
                self._submit(waiting)

    def _without_values(self, key: TrialKey, lost: Mapping[str, Handle]) -> None:
        """A trial could not begin for want of linked values: they are loaded again, then it is submitted."""
        self._active.discard(key)
        for stage, handle in lost.items():
            self._values.lost(TrialKey(stage, self.records[key].upstream[stage]), handle)
        if not self._values.is_restoring(key):
            self._ready(key)
        elif not self._stopping and self._values.are_there(key):
            self._submit(key, restore="finished")

    def _left(self, key: TrialKey, step: int | None) -> None:
        self._active.discard(key)
        record = self.records[key]
        if record.ended_well or step is None:
            return
        record.status, record.step, record.checkpoint = "paused", step, step
        self._note("left", key, step=step)
        self._in.folder.write_trial(record)
        self._in.observe(Update("ended", key.stage, record))

    def _failed(self, event: Failed) -> None:
        key, restoring = event.key, self._values.is_restoring(event.key)
        self._active.discard(key)
        self._waiting.discard(key)
        if event.lost and not restoring:
            self._in.folder.add_line(key, event.error)
        self._failures[key] += self._counts(event)
        if self._failures[key] <= self._in.settings.max_failures and not self._stopping:
            self._note("retry", key, error=event.error)
            self._submit(key, restore="finished" if restoring else "checkpoint")
            return
        if restoring:
            self._cannot_restore(key, event.error)
            return
        self._note("failed", key, error=event.error, traceback=event.traceback)
        self._give_up(key, event.error)
        if self._in.settings.stop_on_failure:
            self._stop()
        self._expand()

    def _counts(self, event: Failed) -> bool:
        """Whether a failure counts among those that are allowed.

        Machines come and go, and a trial is not to blame; unless it has got no further since it lost the
        one before: then it may be what brings them down.
        """
        if not event.machine:
            return True
        reached = self.records[event.key].checkpoint
        again = event.key in self._machine_lost_at and self._machine_lost_at[event.key] == reached
        self._machine_lost_at[event.key] = reached
        return again

    def _cannot_restore(self, key: TrialKey, error: str) -> None:
        problem = f"{key.stage}/{key.variant} could not be loaded: {error}"
        self.problems.append(problem)
        for stuck in self._values.cannot_restore(key):
            self._give_up(stuck, problem)
        self._expand()

    # -- endings --------------------------------------------------------------------------------------------

    def _give_up(self, key: TrialKey, error: str) -> None:
        record = self.records[key]
        record.status, record.error = "failed", error
        record.ended = self._in.folder.journal.last_time
        self._in.folder.write_trial(record)
        self._tell(record)
        self._in.observe(Update("failed", key.stage, record))
        self._stages[key.stage].open.discard(key.variant)
        self._block_dependants(key)

    def _tell(self, record: TrialRecord) -> None:
        if (searching := self._stages[record.key.stage].searching) is not None:
            searching.tell(record)

    def _block(self, key: TrialKey, error: str) -> None:
        """A trial that cannot run because one before it failed stays pending; a resume tries it again."""
        record = self.records[key]
        record.error = error
        self._tell(record)
        self._stages[key.stage].open.discard(key.variant)
        self._block_dependants(key)

    def _block_dependants(self, key: TrialKey) -> None:
        for dependant in self._dependants.get(key, ()):
            self._block(dependant, _blocked(key))

    def _ended(self, key: TrialKey) -> None:
        stage = self._stages[key.stage]
        stage.open.discard(key.variant)
        for dependant in self._dependants.get(key, ()):
            if self.records[dependant].ended_well:
                continue
            self._waits[dependant] -= 1
            if not self._waits[dependant]:
                self._ready(dependant)
        self._choose(stage)
        for upstream in upstream_keys(self._variants[key]):
            self._release_if_unused(upstream)
        self._release_if_unused(key)

    def _choose(self, stage: StageRun) -> None:
        """Picks the variants that flow on, once a reduced stage has ended."""
        if stage.reduce is None or stage.chosen is not None or not stage.ended or self._stopping:
            return
        assert stage.variants is not None
        try:
            stage.choose({id_: self.records[TrialKey(stage.name, id_)] for id_ in stage.variants})
        except ReduceError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return
        self._in.folder.journal.write(
            "reduced", stage=stage.name, kept=[variant.id for variant in stage.flowing()]
        )
        self._release_unused(stage)

    def _release_unused(self, stage: StageRun) -> None:
        for variant in stage.variants or ():
            self._release_if_unused(TrialKey(stage.name, variant))

    def _release_if_unused(self, key: TrialKey) -> None:
        """Frees a trial's linked values once no later trial can ask for them."""
        if not self._values.has_handle(key):
            return
        stage = self._stages[key.stage]
        out = stage.chosen is not None and all(variant.id != key.variant for variant in stage.chosen)
        if not out:
            if not all(self._stages[name].known for name in stage.consumers):
                return
            if any(self._needs_values(dependant) for dependant in self._dependants.get(key, ())):
                return
        self._values.free(key)

    def _needs_values(self, key: TrialKey) -> bool:
        record = self.records[key]
        return (
            not record.ended_well
            and record.status != "failed"
            and key.variant in self._stages[key.stage].open
        )

    def _note(self, event: str, key: TrialKey, **values: Any) -> None:
        self._in.folder.journal.write(event, stage=key.stage, variant=key.variant, **values)


def _blocked(key: TrialKey) -> str:
    return f"not run: {key.stage}/{key.variant}, which it links to, has not ended well"
