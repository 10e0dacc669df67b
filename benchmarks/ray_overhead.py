"""What a further trial and a further step cost: raw Tune as its docs write it, Tune tuned, and Flambé on Ray.

Trials that do nothing, on a Ray of two processors that is started once. Each figure is the difference of two
runs, divided by how many trials or steps the second had more: starting actors takes seconds and varies, so on
a busy machine small figures are noise.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flambe import Experiment, grid, stage
from flambe.testing.stages import Counter
from flambe_ray.session import Session, prepare_environment

FEW = 10
"""Trials of one step; the second run has more of them."""
SHORT, LONG = 1, 2001
"""Steps of two trials."""


def tune_run(folder: Path, trials: int, steps: int, *, tuned: bool) -> None:
    from ray import tune

    class Nothing(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.done = 0

        def step(self) -> dict[str, Any]:
            self.done += 1
            return {"metric": self.done, "done": self.done >= steps}

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.done = 0
            return True

        def save_checkpoint(self, folder: str) -> None:
            """Nothing to keep."""

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1" if tuned else "0"
    os.environ["TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S"] = "0"
    results = tune.Tuner(
        Nothing,
        param_space={"n": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=tuned),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    assert not results.errors


def flambe_run(folder: Path, trials: int, steps: int, *, scheduled: bool) -> None:
    # with a scheduler each step is decided upon, so steps go to and fro one by one
    settings = {"schedulers": {"count": stage("tune.FIFOScheduler")}} if scheduled else {}
    count = stage(Counter, steps=steps, seconds=grid([index * 1e-9 for index in range(trials)]))
    experiment = Experiment("overhead", pipeline={"count": count}, save_path=str(folder), **settings)
    assert experiment.run(backend="ray", force=True).exit_code == 0


def seconds(run: Callable[[Path, int, int], None], trials: int, steps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run(Path(folder), trials, steps)
        return time.perf_counter() - began


WAYS: dict[str, tuple[int, Callable[[Path, int, int], None]]] = {
    "raw Tune": (30, lambda *a: tune_run(*a, tuned=False)),
    "Tune, actors reused, loggers off": (210, lambda *a: tune_run(*a, tuned=True)),
    "Flambé on Ray": (510, lambda *a: flambe_run(*a, scheduled=False)),
    "Flambé on Ray, with a scheduler": (510, lambda *a: flambe_run(*a, scheduled=True)),
}
"""How many trials the second run has, and the run."""


def main() -> None:
    prepare_environment()
    session = Session({"cpu": 2})
    flambe_run(Path(tempfile.mkdtemp()), 2, 1, scheduled=False)
    print(f"{'':34}{'ms a trial':>12}{'ms a step':>12}")
    for name, (many, run) in WAYS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        trial = (seconds(run, many, 1) - seconds(run, FEW, 1)) / (many - FEW)
        step = (seconds(run, 2, LONG) - seconds(run, 2, SHORT)) / (2 * (LONG - SHORT))
        print(f"{name:34}{trial * 1e3:12.1f}{step * 1e3:12.2f}", flush=True)
    session.close()


if __name__ == "__main__":
    main()
