"""Whether a search algorithm is as good through Flambé as it is alone, on functions whose optimum is known.

    pip install optuna
    python benchmarks/search.py             # ten seeds of 60 trials each: about five minutes on two cores
    python benchmarks/search.py --quick     # three seeds of 25 trials

Branin's function (two dimensions, optimum 0.397887) and Hartmann's (six, −3.32237), minimized in three ways
with the same budget: Optuna alone, its sampler asked in a bare loop; Optuna through Flambé on Ray
(`!tune.OptunaSearch`), one trial after the other; random search through Flambé. A figure is how far the best
value found lies above the optimum, the mean over the seeds. The margin is by how much Optuna beats random
search: through Flambé it should be what it is alone, and with equal seeds Optuna should try equal values.

Source: Dixon and Szegö, "The Global Optimization Problem: an Introduction", 1978, for both functions.
"""

from __future__ import annotations

import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from statistics import mean

from flambe import Component, Experiment
from flambe.executors.devices import available
from flambe.language.read import read_text

SEEDS, TRIALS = (3, 25) if "--quick" in sys.argv[1:] else (10, 60)
CPUS = available()["cpu"]
"""Each trial has them all, so that one comes after the other."""

_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)
_C = (1.0, 1.2, 3.0, 3.2)


def branin(x: float, y: float) -> float:
    return (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2 + (
        10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
    )


def hartmann(**at: float) -> float:
    point = tuple(at.values())
    inside = (
        sum(a * (x - p) ** 2 for a, x, p in zip(a, point, p, strict=True))
        for a, p in zip(_A, _P, strict=True)
    )
    return -sum(c * math.exp(-each) for c, each in zip(_C, inside, strict=True))


class Branin(Component):
    lower_is_better = True

    def __init__(self, x: float, y: float) -> None:
        self.value = branin(x, y)

    def metric(self) -> float:
        return self.value


class Hartmann(Component):
    lower_is_better = True

    def __init__(self, a: float, b: float, c: float, d: float, e: float, f: float) -> None:
        self.value = hartmann(a=a, b=b, c=c, d=d, e=e, f=f)

    def metric(self) -> float:
        return self.value


FUNCTIONS: Mapping[str, tuple[Callable[..., float], Mapping[str, tuple[float, float]], float]] = {
    "Branin": (branin, {"x": (-5.0, 10.0), "y": (0.0, 15.0)}, 0.397887),
    "Hartmann": (hartmann, dict.fromkeys("abcdef", (0.0, 1.0)), -3.32237),
}
"""The function, its box and its optimum."""


def optuna_alone(name: str, seed: int) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    function, box, _ = FUNCTIONS[name]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(
        lambda trial: function(**{key: trial.suggest_float(key, *ends) for key, ends in box.items()}), TRIALS
    )
    return float(study.best_value)


def through_flambe(name: str, search: str, seed: int) -> float:
    _, box, _ = FUNCTIONS[name]
    arguments = "".join(f"    {key}: !uniform [{low}, {high}]\n" for key, (low, high) in box.items())
    with tempfile.TemporaryDirectory() as folder:
        text = (
            f"b: search\n---\nname: {name}\nsave_path: {folder}\nseed: {seed}\ndevices: {{cpu: {CPUS}}}\n"
            f"pipeline:\n  try: !b.{name}\n{arguments}"
            f"search:\n  try: {search.format(trials=TRIALS, seed=seed)}\n"
        )
        outcome = Experiment.from_document(read_text(text, "search.yaml")).run()
    found = [record.metric for record in outcome.records.values() if record.metric is not None]
    assert len(found) == TRIALS
    return min(found)


WAYS: Mapping[str, Callable[[str, int], float]] = {
    "Optuna alone": optuna_alone,
    "Optuna through Flambé": lambda name, seed: through_flambe(
        name, "!tune.OptunaSearch {{num_samples: {trials}, seed: {seed}}}", seed
    ),
    "random through Flambé": lambda name, seed: through_flambe(
        name, "!tune.BasicVariantGenerator {{num_samples: {trials}}}", seed
    ),
}


def main() -> None:
    from flambe_ray.session import Session

    session = Session({"cpu": CPUS})
    print(f"mean distance to the optimum after {TRIALS} trials, {SEEDS} seeds")
    print(f"{'':10}{''.join(f'{way:>24}' for way in WAYS)}{'margin alone':>16}{'through':>10}{'equal':>8}")
    for name, (_, _, optimum) in FUNCTIONS.items():
        found = {way: [run(name, seed) - optimum for seed in range(SEEDS)] for way, run in WAYS.items()}
        alone, through, at_random = (found[way] for way in WAYS)
        equal = sum(math.isclose(one, other) for one, other in zip(alone, through, strict=True))
        print(
            f"{name:10}{''.join(f'{mean(found[way]):24.4f}' for way in WAYS)}"
            f"{mean(at_random) - mean(alone):16.4f}{mean(at_random) - mean(through):10.4f}"
            f"{f'{equal}/{SEEDS}':>8}",
            flush=True,
        )
    session.close()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
