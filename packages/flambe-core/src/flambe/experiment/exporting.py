"""Copying a saved object out of a run's folder."""

from __future__ import annotations

from flambe.errors import RunError
from flambe.experiment.journal import TrialRecord
from flambe.experiment.ranking import best_first
from flambe.experiment.reading import Run, read_run
from flambe.saving import copy_save


def export(run: str, stage: str, destination: str, *, variant: str | None = None, force: bool = False) -> str:
    """Copies what a variant saved to `destination`; returns the folder to load it from.

    What it needs of other stages is copied with it.

    Args:
        run: The run's folder.
        stage: A stage, or a part of one such as `stage1.model`.
        destination: A path or URL.
        variant: The variant's id; the best one unless given.
        force: Replace what `destination` holds.

    Raises:
        RunError: there is no such run, stage or variant, or it has not ended.
        SavingError: the part has no save, or `destination` holds something.
    """
    found = read_run(run)
    name, *parts = stage.split(".")
    record = _chosen(found, name, variant)
    return copy_save(found.folder, "/".join([name, record.key.variant, *parts]), destination, replace=force)


def _chosen(run: Run, stage: str, variant: str | None) -> TrialRecord:
    ended = {r.key.variant: r for key, r in run.records.items() if key.stage == stage and r.ended_well}
    if not ended:
        known = ", ".join(run.stages)
        raise RunError(f"{run.folder}: no variant of a stage {stage!r} has ended; the stages are {known}")
    if variant is not None:
        if variant not in ended:
            raise RunError(f"{run.folder}: stage {stage} has no ended variant {variant!r}")
        return ended[variant]
    return min(ended.values(), key=lambda record: (record.key in run.outdated, best_first(record)))
