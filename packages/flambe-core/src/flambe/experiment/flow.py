"""What follows from the end of a trial: who may go now or never will, what flows on, what can be freed."""

from __future__ import annotations

from collections.abc import Iterator

from flambe.errors import ReduceError
from flambe.experiment.ingredients import Ingredients
from flambe.experiment.journal import TrialRecord
from flambe.experiment.roster import Roster
from flambe.experiment.stage_run import StageRun, upstream_keys
from flambe.trials.protocol import TrialKey
from flambe.variants.variant import Variant


class Flow:
    """Keeps who links to whom."""

    def __init__(self, ingredients: Ingredients, roster: Roster) -> None:
        self._in = ingredients
        self._stages = ingredients.stages
        self._roster = roster
        self._waits: dict[TrialKey, int] = {}
        self._dependants: dict[TrialKey, list[TrialKey]] = {}
        self._too_few: dict[str, str] = {}

    def add(self, key: TrialKey) -> None:
        """A trial that is to be run: now, when all it links to has ended well, or never."""
        record = self._roster.records[key]
        waits = 0
        variant = self._roster.variants[key]
        for upstream in dict.fromkeys((*upstream_keys(variant), *self._behind(variant))):
            if not self._roster.records[upstream].ended_well:
                waits += 1
                if self._will_not_end(upstream):
                    record.error = _blocked(upstream)
            self._dependants.setdefault(upstream, []).append(key)
        self._waits[key] = waits
        if record.error is not None and waits:
            self._block(key, record.error)
        elif not waits:
            self._roster.ready(key)

    def may_go(self, key: TrialKey) -> bool:
        """Whether all that the trial links to has ended well."""
        return self._waits.get(key) == 0

    def paused(self) -> list[TrialRecord]:
        """The trials that would run if nobody had paused them."""
        records = self._roster.records
        return [records[key] for key, waits in self._waits.items() if not waits and records[key].paused_by]

    def ended(self, key: TrialKey) -> None:
        """A trial has ended well."""
        stage = self._stages[key.stage]
        stage.open.discard(key.variant)
        for dependant in self._dependants.get(key, ()):
            if self._roster.records[dependant].ended_well or dependant not in self._waits:
                continue
            self._waits[dependant] -= 1
            if not self._waits[dependant]:
                self._roster.ready(dependant)
        self.choose(stage)
        for upstream in upstream_keys(self._roster.variants[key]):
            self._release_if_unused(upstream)
        self._release_if_unused(key)

    def outrun(self, record: TrialRecord) -> None:
        """Frees the values of a variant that cannot be chosen any more, now that the record's has ended."""
        outrun = self._stages[record.key.stage].outrun(record)
        if outrun is not None:
            self._roster.values.free(TrialKey(record.key.stage, outrun))

    def give_up(self, record: TrialRecord, error: str) -> None:
        """A trial has failed for good, and what links to it cannot run."""
        record.status, record.error = "failed", error
        record.ended = self._in.folder.journal.last_time
        self._in.folder.write_trial(record)
        self._tell(record)
        self._stages[record.key.stage].open.discard(record.key.variant)
        self._waits.pop(record.key, None)
        for dependant in self._dependants.get(record.key, ()):
            self._block(dependant, _blocked(record.key))

    def withdraw(self, record: TrialRecord) -> None:
        """A trial is not to be run at all, and what links to it cannot."""
        if not record.withdrawn:
            record.status, record.error = "stopped", None
            self._roster.note(
                "finished", record.key, status="stopped", metric=None, step=0, lower_is_better=False
            )
            record.ended = self._in.folder.journal.last_time
            self._in.folder.write_trial(record)
        self._tell(record)
        self._stages[record.key.stage].open.discard(record.key.variant)
        self._waits.pop(record.key, None)
        for dependant in self._dependants.get(record.key, ()):
            self._block(dependant, _blocked(record.key))

    def choose(self, stage: StageRun) -> None:
        """Picks the variants that flow on, once a reduced stage has ended."""
        if stage.reduce is None or stage.chosen is not None or not stage.ended or self._roster.stopping:
            return
        assert stage.variants is not None
        try:
            stage.choose({id_: self._roster.records[TrialKey(stage.name, id_)] for id_ in stage.variants})
        except ReduceError as error:
            self._note_too_few(stage, str(error))
            return
        self._note_too_few(stage, None)
        self._in.folder.journal.write(
            "reduced", stage=stage.name, kept=[variant.id for variant in stage.flowing()]
        )
        self.release_unused(stage)

    def _note_too_few(self, stage: StageRun, problem: str | None) -> None:
        """What hinders a `reduce`, in the place of what did before the stage was extended."""
        earlier = self._too_few.pop(stage.name, None)
        if earlier is not None:
            self._roster.problems.remove(earlier)
        if problem is not None:
            self._too_few[stage.name] = problem
            self._roster.problems.append(problem)

    def release_unused(self, stage: StageRun) -> None:
        """Frees what no later trial can ask for, now that more is known of those."""
        for variant in stage.variants or ():
            self._release_if_unused(TrialKey(stage.name, variant))

    def _behind(self, variant: Variant) -> Iterator[TrialKey]:
        """Trials that are to run again, and must have ended before what `variant` links to can be loaded."""
        records = self._roster.records
        for upstream in variant.upstream.values():
            if records[_key(upstream)].ended_well:
                behind = map(_key, upstream.lineage.values())
                yield from (key for key in behind if not records[key].ended_well)

    def _will_not_end(self, key: TrialKey) -> bool:
        return key not in self._roster.active and key not in self._waits

    def _block(self, key: TrialKey, error: str) -> None:
        """A trial that cannot run because one before it failed stays pending; a resume tries it again."""
        record = self._roster.records[key]
        record.error = error
        self._tell(record)
        self._stages[key.stage].open.discard(key.variant)
        self._waits.pop(key, None)
        for dependant in self._dependants.get(key, ()):
            self._block(dependant, _blocked(key))

    def _tell(self, record: TrialRecord) -> None:
        if (searching := self._stages[record.key.stage].searching) is not None:
            searching.tell(record)

    def _release_if_unused(self, key: TrialKey) -> None:
        """Frees a trial's linked values once no later trial can ask for them."""
        if not self._roster.values.has_handle(key):
            return
        stage = self._stages[key.stage]
        out = stage.chosen is not None and all(variant.id != key.variant for variant in stage.chosen)
        if not out:
            if not all(self._stages[name].known for name in stage.consumers):
                return
            if any(self._needs_values(dependant) for dependant in self._dependants.get(key, ())):
                return
        self._roster.values.free(key)

    def _needs_values(self, key: TrialKey) -> bool:
        record = self._roster.records[key]
        return (
            not record.ended_well
            and record.status != "failed"
            and key.variant in self._stages[key.stage].open
        )


def _key(variant: Variant) -> TrialKey:
    return TrialKey(variant.stage, variant.id)


def _blocked(key: TrialKey) -> str:
    return f"not run: {key.stage}/{key.variant}, which it links to, has not ended well"
