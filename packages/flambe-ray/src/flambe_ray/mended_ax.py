"""Ax's search, for an Ax that is newer than Ray knows."""

from __future__ import annotations

from ray.tune.search.ax import AxSearch


class MendedAxSearch(AxSearch):  # type: ignore[misc]  # Ray comes without types
    """`AxSearch` that reads nothing back from the experiment which it has itself set up.

    Ray's own asks it for the metric's name in a way that Ax has given up (1.3: an objective has no
    `metric` any more), after everything else is done.
    """

    _metric: str | None
    _mode: str | None

    def _setup_experiment(self) -> None:
        metric, mode = self._metric, self._mode
        try:
            super()._setup_experiment()
        except AttributeError as error:
            if type(error.obj).__name__ != "Objective":
                raise
            self._metric, self._mode = metric, mode
            self._parameters = list(self._ax.experiment.parameters)
