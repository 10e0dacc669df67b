"""What a further trial and a further step cost on Ray, side by side on one Ray of two processors.

    python benchmarks/ray_overhead.py             # about four minutes on two cores
    python benchmarks/ray_overhead.py --quick     # fewer trials and steps: a first look

Trials that do nothing, driven in four ways: Tune as its documentation writes it (a fresh actor for each
trial, its loggers on, every trial's results in files); Tune tuned (actors reused, loggers off, nothing
kept); Flambé on Ray, with its journal, folders, metrics and checkpoints; and the same with a scheduler,
which is asked after each step, so that steps go to and fro one by one.

Each figure is the difference of two runs, divided by how many trials or steps the second had more: starting
actors takes seconds and varies, so on a busy machine small figures are noise. The last lines say whether a
trial of ours costs at most 40 ms, and a step at most twice that of tuned Tune.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from flambe import Experiment, grid, stage
from flambe.testing.stages import Counter
from flambe_ray.session import Session, prepare_environment

QUICK = "--quick" in sys.argv[1:]
FEW = 10
"""Trials of one step; the second run has more of them."""
SHORT, LONG = 1, 301 if QUICK else 2001
"""Steps of two trials."""
MOST_MS = 40
MOST_STEPS = 2


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
    tuner = tune.Tuner(
        Nothing,
        param_space={"n": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=tuned),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    with redirect_stdout(StringIO()):  # it prints tables even so
        results = tuner.fit()
    assert not results.errors


def flambe_run(folder: Path, trials: int, steps: int, *, scheduled: bool) -> None:
    settings = {"schedulers": {"count": stage("tune.FIFOScheduler")}} if scheduled else {}
    count = stage(Counter, steps=steps, seconds=grid([index * 1e-9 for index in range(trials)]))
    experiment = Experiment("overhead", pipeline={"count": count}, save_path=str(folder), **settings)
    assert experiment.run(backend="ray", force=True).exit_code == 0


def seconds(run: Callable[[Path, int, int], None], trials: int, steps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run(Path(folder), trials, steps)
        return time.perf_counter() - began


RAW, TUNED, OURS, SCHEDULED = (
    "Tune as its docs write it",
    "Tune, actors reused, loggers off",
    "Flambé on Ray",
    "Flambé on Ray, with a scheduler",
)
WAYS: Mapping[str, tuple[int, Callable[[Path, int, int], None]]] = {
    RAW: (20 if QUICK else 40, lambda *a: tune_run(*a, tuned=False)),
    TUNED: (60 if QUICK else 210, lambda *a: tune_run(*a, tuned=True)),
    OURS: (60 if QUICK else 510, lambda *a: flambe_run(*a, scheduled=False)),
    SCHEDULED: (60 if QUICK else 510, lambda *a: flambe_run(*a, scheduled=True)),
}
"""How many trials the second run has, and the run."""


def main() -> None:
    prepare_environment()
    session = Session({"cpu": 2})
    flambe_run(Path(tempfile.mkdtemp()), 2, 1, scheduled=False)  # what is slow only once is not counted
    print(f"{'':36}{'ms a trial':>12}{'ms a step':>12}")
    figures: dict[str, tuple[float, float]] = {}
    for name, (many, run) in WAYS.items():
        trial = (seconds(run, many, 1) - seconds(run, FEW, 1)) / (many - FEW) * 1e3
        step = (seconds(run, 2, LONG) - seconds(run, 2, SHORT)) / (2 * (LONG - SHORT)) * 1e3
        figures[name] = trial, step
        print(f"{name:36}{trial:12.1f}{step:12.2f}", flush=True)
    session.close()
    most = max(figures[OURS][0], figures[SCHEDULED][0])
    ratio = max(figures[OURS][1], figures[SCHEDULED][1]) / figures[TUNED][1]
    print(f"a trial of ours: {most:.1f} ms, at most {MOST_MS}: {_answer(most <= MOST_MS)}")
    print(f"a step of ours: {ratio:.2f} × tuned Tune's, at most {MOST_STEPS}: {_answer(ratio <= MOST_STEPS)}")


def _answer(good: bool) -> str:
    return "yes" if good else "no"


if __name__ == "__main__":
    main()
