"""From variants to trials: listed from the config, or suggested by a search, as soon as they can be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from flambe.errors import DamagedSaveError
from flambe.experiment.flow import Flow
from flambe.experiment.ingredients import Ingredients, Update
from flambe.experiment.journal import TrialRecord, waiting_status
from flambe.experiment.roster import Roster
from flambe.experiment.run_folder import folder_of
from flambe.experiment.searching import Searching
from flambe.experiment.stage_run import StageRun
from flambe.trials.protocol import Recollection, TrialKey
from flambe.variants.variant import Variant


class Expanding:
    """Makes the trials of a run, those that an earlier run has finished too."""

    def __init__(self, ingredients: Ingredients, roster: Roster, flow: Flow) -> None:
        self._in = ingredients
        self._stages = ingredients.stages
        self._roster = roster
        self._flow = flow

    def expand(self) -> None:
        """Makes the trials of every stage whose upstream variants are known."""
        for stage in self._stages.values():
            outdated = stage.variants is None or stage.stale
            if outdated and all(self._stages[name].settled for name in stage.space.needs):
                self._add_trials(stage)
            self._suggest(stage)
            self._flow.choose(stage)

    def extend(self, stage: StageRun, samples: int) -> None:
        """Draws or searches for so many variants more than the config says."""
        stage.extend(samples)
        if stage.searching is not None:
            stage.searching.extend(samples)
            self._outdate_consumers(stage)
        elif stage.variants is not None:
            stage.stale = True
        self.expand()

    def _add_trials(self, stage: StageRun) -> None:
        upstream = {name: self._stages[name].flowing() for name in stage.space.needs}
        stage.stale = False
        if stage.samples is not None:
            self._search(stage, upstream)
            return
        known = stage.variants or {}
        more = [variant for variant in stage.space.expand(upstream) if variant.id not in known]
        stage.variants = {**known, **{variant.id: variant for variant in more}}
        stage.open.update(variant.id for variant in more)
        if not known:
            self._recall(stage, more)
        self._in.observe(Update("expanded", stage.name))
        for variant in more:
            self._add_trial(stage, variant)
        self._outdate_consumers(stage)
        for name in stage.space.needs:
            self._flow.release_unused(self._stages[name])

    def _outdate_consumers(self, stage: StageRun) -> None:
        """Stages whose variants are listed already get more, from those that `stage` has more."""
        for name in stage.consumers:
            self._stages[name].stale = self._stages[name].variants is not None

    # -- searches -------------------------------------------------------------------------------------------

    def _search(self, stage: StageRun, upstream: Mapping[str, Sequence[Variant]]) -> None:
        """Begins the stage's searches, with what an earlier run has found."""
        assert stage.samples is not None
        assert self._in.new_search is not None
        if stage.searching is not None:
            stage.searching.widen(upstream, stage.samples, self._in.new_search)
            return
        stage.searching = Searching.over(stage.space, upstream, stage.samples, self._in.new_search)
        stage.variants = {}
        earlier = (record for key, record in self._in.reuse.earlier.items() if key.stage == stage.name)
        earlier_variants = list(stage.searching.replay(earlier, lambda variant: self._fits(stage, variant)))
        self._recall(stage, earlier_variants)
        self._add_suggested(stage, earlier_variants)

    def _fits(self, stage: StageRun, variant: Variant) -> bool:
        return not self._in.reuse.is_new(self._in.reuse.record(stage, variant))

    def _suggest(self, stage: StageRun) -> None:
        """Tries as many variants of a searched stage at once as there is room for."""
        searching = stage.searching
        while searching is not None and searching.left and not self._roster.stopping:
            tried = [self._roster.records[TrialKey(stage.name, id_)].status for id_ in stage.open]
            if len(tried) - tried.count("paused") >= self._in.at_once(stage.name):
                return
            variant = searching.next(waiting=bool(tried))
            if variant is None:
                return
            self._add_suggested(stage, [variant])

    def _add_suggested(self, stage: StageRun, variants: Collection[Variant]) -> None:
        """All are listed before the first is looked at: it may have ended, and a `reduce` waits for all."""
        assert stage.variants is not None
        stage.variants.update({variant.id: variant for variant in variants})
        stage.open.update(variant.id for variant in variants)
        self._in.observe(Update("expanded", stage.name))
        for variant in variants:
            self._add_trial(stage, variant)

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

    # -- one trial ------------------------------------------------------------------------------------------

    def _add_trial(self, stage: StageRun, variant: Variant) -> None:
        key = TrialKey(stage.name, variant.id)
        self._roster.variants[key] = variant
        record = self._record(stage, variant)
        self._roster.records[key] = record
        if record.withdrawn:
            self._flow.withdraw(record)
            return
        if not record.ended_well:
            self._flow.add(key)
            return
        self._roster.reused.add(key)
        self._in.folder.settle(record)
        self._in.observe(Update("reused", stage.name, record))
        self._flow.ended(key)

    def _record(self, stage: StageRun, variant: Variant) -> TrialRecord:
        """What is known of the trial; one that is new to the folder, or changed, is noted there."""
        record = self._in.reuse.record(stage, variant)
        if record.ended_well and not self._is_whole(record):
            record = self._in.reuse.anew(record)
        if not self._in.reuse.is_new(record):
            if not record.ended_well and not record.withdrawn:
                record.error = None
                record.status = "paused" if record.paused_by else waiting_status(record)
            return record
        if record.key in self._in.reuse.earlier:
            self._in.folder.storage.remove(folder_of(record.key))
        self._roster.note(
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
