"""HyperBand that works for the stage it is on: one bracket, sized to the stage's trials."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandForBOHB, HyperBandScheduler
from ray.tune.schedulers.hyperband import _Bracket


class SizedHyperBand(HyperBandScheduler):  # type: ignore[misc]  # Ray comes without types
    """Successive halving of all trials of a stage; each rung is `reduction_factor` times as far as the last.

    Ray's own scheduler fills its brackets with as many trials as HyperBand's formula wants, the one that
    never stops a trial first; few trials are then never stopped. Here the trials make up one bracket with
    as many halvings as leave one of them, or as many as `max_t` has room for. It waits for all of them,
    and its last rung is `max_t` exactly.

    Source: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", 2018,
    algorithm 1, one bracket with s = log_eta(n).
    """

    expected = 1

    def expect(self, trials: int) -> None:
        """How many trials the bracket is for; said before the first is added."""
        self.expected = trials
        self._s_max_1 = 1

    def no_more(self, controller: Any) -> None:
        """No trial will be added to those there are: decide about them."""
        for bracket in list(self._open_brackets()):
            bracket.expected = len(bracket.current_trials())
            if bracket.current_trials() and bracket.cur_iter_done():
                self._process_bracket(controller, bracket)

    def _create_bracket(self, s: int) -> _SizedBracket:
        first = not any(band for band in self._hyperbands[:-1]) and not self._hyperbands[-1]
        expected = self.expected if first else 1
        halvings = int(math.log(expected) / math.log(self._eta) + 1e-9)
        while halvings and self._max_t_attr * self._eta**-halvings < 1:
            halvings -= 1
        return _SizedBracket(
            time_attr=self._time_attr,
            max_trials=expected,
            init_t_attr=max(1, int(self._max_t_attr * self._eta**-halvings)),
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=halvings,
            stop_last_trials=self._stop_last_trials,
        )

    def _process_bracket(self, tune_controller: Any, bracket: _SizedBracket) -> str:
        try:
            action: str = super()._process_bracket(tune_controller, bracket)
            return action
        finally:
            bracket.is_being_processed = False  # or a trial that ends later would never be noticed

    def _open_brackets(self) -> Iterator[_SizedBracket]:
        for band in self._hyperbands:
            yield from (bracket for bracket in band if bracket is not None)


class BOHBHyperBand(HyperBandForBOHB):  # type: ignore[misc]  # as above
    """Ray's HyperBand for BOHB, for searches that an executor of ours asks.

    Ray's own tells the search algorithm which trials wait, so that it suggests more meanwhile; here the
    engine sees to that. What a trial has reached the algorithm is told after each of its steps. The last
    rung is `max_t` exactly.
    """

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(_Unheard(tune_controller), trial, result)
        return decision

    def _create_bracket(self, s: int) -> _WholeBracket:
        return _WholeBracket(
            time_attr=self._time_attr,
            max_trials=self._get_n0(s),
            init_t_attr=self._get_r0(s),
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=s,
            stop_last_trials=self._stop_last_trials,
        )

    def _unpause_trial(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing, as above."""

    def _process_bracket(self, tune_controller: Any, bracket: _Bracket) -> str:
        try:
            action: str = super()._process_bracket(tune_controller, bracket)
            return action
        finally:
            bracket.is_being_processed = False  # or a trial that ends later would never be noticed


class _Unheard:
    """A controller whose search algorithm takes no notice of trials that wait."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self.search_alg = self.searcher = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)

    def on_pause(self, trial_id: str) -> None:
        """Nothing."""


class _WholeBracket(_Bracket):  # type: ignore[misc]  # as above
    """A bracket whose last rung is the end."""

    def successive_halving(self, metric: str, metric_op: float) -> tuple[list[Trial], list[Trial]]:
        good, bad = super().successive_halving(metric, metric_op)
        if self._halves == 0:
            self._r = self._cumul_r = self._max_t_attr
        return good, bad


class _SizedBracket(_WholeBracket):
    """A bracket that waits for all its trials."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._n: int = self._n0
        self.expected = self._n

    def cur_iter_done(self) -> bool:
        return len(self._all_trials) >= self.expected and bool(super().cur_iter_done())

    def successive_halving(self, metric: str, metric_op: float) -> tuple[list[Trial], list[Trial]]:
        self._n = min(self._n, len(self._live_trials))
        return super().successive_halving(metric, metric_op)
