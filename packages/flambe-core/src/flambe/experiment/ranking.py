"""The order in which people want to see a stage's variants."""

from __future__ import annotations

from flambe.experiment.journal import TrialRecord


def best_first(record: TrialRecord) -> tuple[int, float, str]:
    """Sorts the variants of a stage: those with a metric first, by what is better, then by id."""
    if record.metric is None or record.status == "failed":
        return 1, 0.0, record.key.variant
    return 0, record.metric if record.lower_is_better else -record.metric, record.key.variant
