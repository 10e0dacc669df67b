"""Whether a run grows with its trials alone: 250, 500 and 1,000 trivial trials through three stages.

    python benchmarks/scale.py             # about three minutes on two cores
    python benchmarks/scale.py --quick     # 50, 100 and 200 trials

Half of the trials are variants of the first stage; each has one of the second stage, which links to it; the
best of these flows on to the third. Run with worker processes (`local`) and on Ray (`ray`), each in a process
of its own: the time of the whole run with its start, the time of each trial after the first size, and the
most memory that the driver ever held.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time

from flambe import Component, Experiment, grid, link, stage

SIZES = (50, 100, 200) if "--quick" in sys.argv[1:] else (250, 500, 1000)


class First(Component):
    def __init__(self, number: int) -> None:
        self.number = number

    def step(self) -> bool:
        return False


class Second(First):
    def metric(self) -> float:
        return float(self.number)


def run(trials: int, backend: str) -> None:
    """Prints the run's seconds and the driver's peak memory in MiB."""
    import scale  # by this name the workers find its classes too

    began = time.perf_counter()
    half = trials // 2
    with tempfile.TemporaryDirectory() as folder:
        outcome = Experiment(
            "scale",
            pipeline={
                "first": stage(scale.First, number=grid(list(range(half)))),
                "second": stage(scale.Second, number=link("first.number")),
                "third": stage(scale.Second, number=link("second.number")),
            },
            reduce={"second": 1},
            save_path=folder,
        ).run(backend=backend)
    assert outcome.exit_code == 0
    assert len(outcome.records) == 2 * half + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - began} {peak}")


def measure(trials: int, backend: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(trials), backend], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    print(f"{'backend':10}{'trials':>8}{'seconds':>10}{'ms a further trial':>20}{'driver, MiB':>14}")
    for backend in ("local", "ray"):
        first: tuple[int, float] | None = None
        for trials in SIZES:
            seconds, peak = measure(trials, backend)
            first = first or (trials, seconds)
            more = trials - first[0]
            further = f"{(seconds - first[1]) / more * 1e3:.1f}" if more else ""
            print(f"{backend:10}{trials:>8}{seconds:>10.1f}{further:>20}{peak:>14.0f}", flush=True)


if __name__ == "__main__":
    if "--one" in sys.argv:
        run(int(sys.argv[2]), sys.argv[3])
    else:
        main()
