"""How often a trial may fail before it is given up."""

from __future__ import annotations

from collections import Counter

from flambe.experiment.journal import TrialRecord
from flambe.trials.protocol import Failed, TrialKey


class Failures:
    """Counts the failures of each trial; `most` of them are tried again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counted: Counter[TrialKey] = Counter()
        self._machine_lost_at: dict[TrialKey, int | None] = {}

    def may_try_again(self, event: Failed, record: TrialRecord) -> bool:
        """Takes in a failure of the record's trial."""
        self._counted[event.key] += self._counts(event, record)
        return self._counted[event.key] <= self._most

    def _counts(self, event: Failed, record: TrialRecord) -> bool:
        """Whether a failure counts among those that are allowed.

        Machines come and go, and a trial is not to blame; unless it has got no further since it lost the
        one before: then it may be what brings them down.
        """
        if not event.machine:
            return True
        reached = record.checkpoint
        again = event.key in self._machine_lost_at and self._machine_lost_at[event.key] == reached
        self._machine_lost_at[event.key] = reached
        return again
