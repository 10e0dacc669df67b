"""What an earlier run left that still fits: for a resume, and for the plan that foretells it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from flambe.experiment.fingerprint import fingerprint, trial_seed
from flambe.experiment.journal import TrialRecord
from flambe.experiment.settings import Settings
from flambe.experiment.stage_run import StageRun
from flambe.trials.protocol import TrialKey
from flambe.variants.variant import Variant, choice_values


@dataclass(frozen=True)
class Reuse:
    """Compares trials with what an earlier run left.

    Attributes:
        earlier: What became of the earlier run's trials.
        versions: For each stage, the versions of the distributions that provide its tags.
        resources: For each stage, the locations of the resources it links to.
        keep: The stages whose finished trials are kept even if they changed.
    """

    settings: Settings
    earlier: Mapping[TrialKey, TrialRecord]
    versions: Mapping[str, Mapping[str, str]]
    resources: Mapping[str, Mapping[str, str]]
    keep: frozenset[str] = frozenset()
    _seen: dict[TrialKey, str] = field(default_factory=dict, init=False)

    def record(self, stage: StageRun, variant: Variant) -> TrialRecord:
        """What is known of the variant's trial: what was left if it still fits, else a new record.

        The trials of its upstream variants were asked for before.
        """
        key = TrialKey(stage.name, variant.id)
        seed = trial_seed(self.settings.seed, stage.name, variant.id)
        upstream = {name: up.id for name, up in variant.upstream.items()}
        mark = fingerprint(
            stage.space.resolve(variant),
            seed=seed,
            upstream={name: self._seen[TrialKey(name, id_)] for name, id_ in upstream.items()},
            resources=self.resources[stage.name],
            versions=self.versions[stage.name],
        )
        left = self.earlier.get(key)
        if left is not None and self._fits(left, mark):
            self._seen[key] = left.fingerprint
            return left
        self._seen[key] = mark
        return TrialRecord(
            key, fingerprint=mark, seed=seed, upstream=upstream, choices=choice_values(variant)
        )

    def anew(self, record: TrialRecord) -> TrialRecord:
        """The record of the same trial when nothing of it can be used."""
        return replace(
            TrialRecord(record.key),
            fingerprint=record.fingerprint,
            seed=record.seed,
            upstream=record.upstream,
            choices=record.choices,
            suggestion=record.suggestion,
        )

    def is_new(self, record: TrialRecord) -> bool:
        """Whether nothing of an earlier run is used for the trial."""
        return self.earlier.get(record.key) is not record

    def _fits(self, left: TrialRecord, mark: str) -> bool:
        return left.fingerprint == mark or (left.ended_well and left.key.stage in self.keep)


def foresee(
    stages: Mapping[str, StageRun], reuse: Reuse, *, unlisted: Collection[str] = ()
) -> dict[tuple[str, str], str]:
    """What a resume would do with each variant that is known now: `reused`, `continued` or nothing said.

    Also settles the variants of reduced stages whose results are all there. Of stages that are `unlisted`,
    which have more variants than can be run, nothing is known.
    """
    said: dict[tuple[str, str], str] = {}
    for stage in stages.values():
        known = stage.samples is None and stage.name not in unlisted
        if not known or not all(stages[name].settled for name in stage.space.needs):
            continue
        upstream = {name: stages[name].flowing() for name in stage.space.needs}
        stage.variants = {variant.id: variant for variant in stage.space.expand(upstream)}
        found = {id_: reuse.record(stage, variant) for id_, variant in stage.variants.items()}
        for id_, record in found.items():
            if record.ended_well:
                said[stage.name, id_] = "reused"
            elif record.started is not None:
                said[stage.name, id_] = "continued"
        stage.choose_if_known(found)
    return said
