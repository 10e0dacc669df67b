"""ZOOpt's search, for trials that end before the next is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher
from ray.tune.search.zoopt import ZOOptSearch

_MOST_TRIES = 20
"""How often it is asked again that has found nothing new near the best."""


class MendedZOOptSearch(ZOOptSearch):  # type: ignore[misc]  # Ray comes without types
    """`ZOOptSearch` that neither comes to a halt nor forgets the points it is to try first.

    Ray's own waits for good if its first samples have all ended before it is asked for the next, and tries
    at most four of `points_to_evaluate`, as long as none has ended.
    """

    def __init__(self, *, points_to_evaluate: Sequence[Mapping[str, Any]] = (), **arguments: Any) -> None:
        self._first = list(points_to_evaluate)
        super().__init__(**arguments)

    def suggest(self, trial_id: str) -> Any:
        if self._first:
            return self._given(trial_id, dict(self._first.pop(0)))
        if self.optimizer.semaphore == 0 and not self._live_trial_mapping:
            self.optimizer.semaphore = 1
        for _ in range(_MOST_TRIES):
            suggested: Any = super().suggest(trial_id)
            if suggested != Searcher.FINISHED:
                break
        return suggested

    def _given(self, trial_id: str, point: dict[str, Any]) -> dict[str, Any]:
        values = [point[key] for key in self._dim_keys]
        self.solution_dict[trial_id] = self.optimizer.get_objective().construct_solution(values)
        self._live_trial_mapping[trial_id] = point
        self.optimizer.init_num += 1
        self.optimizer.live_num += 1
        return point
