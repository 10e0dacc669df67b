"""What a trial costs beside its work: 8 and 200 trivial trials on each local executor.

    python benchmarks/executor_overhead.py

Four columns, in milliseconds for each trial: a bare loop that builds the object and calls its steps; the
whole trial without an executor (its folder is written and synced to disk); `InProcess`; `Pool`, with the
start of its workers and its end. The last line says whether a trial costs at most 20 ms beside its work.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flambe.executors.in_process import InProcess
from flambe.executors.pool import Pool
from flambe.executors.protocol import Executor
from flambe.executors.workshop import TrialChannel, equip, run_trial
from flambe.language.nodes import Build
from flambe.trials.protocol import Failed, Finished, Left, Setting, TrialKey, TrialTask

LIMIT_MS = 20
DEVICES = {"cpu": 2.0}


class Trivial:
    """One step that does nothing."""

    def step(self) -> bool:
        return False

    def metric(self) -> float:
        return 1.0


def tasks(count: int, folder: str) -> Iterator[TrialTask]:
    for index in range(count):
        yield TrialTask(
            key=TrialKey("trivial", str(index)),
            node=Build("executor_overhead:Trivial"),
            exports=(),
            imports={},
            seed=index,
            devices={"cpu": 1},
            threads=1,
            folder=f"{folder}/trivial/{index}",
            fingerprint="0",
        )


@contextmanager
def setting() -> Iterator[Setting]:
    with tempfile.TemporaryDirectory() as folder:
        yield Setting(name="overhead", folder=folder, seed=0)


def bare(count: int) -> None:
    for _ in range(count):
        trivial = Trivial()
        trivial.step()
        trivial.metric()


class Silent(TrialChannel):
    """Hands events to nobody."""

    def send(self, event: object) -> None: ...

    def stop_requested(self) -> bool:
        return False

    def interrupt_requested(self) -> bool:
        return False


def without_executor(count: int) -> None:
    from flambe.executors.handover import HandOver

    with setting() as common:
        workshop = equip(common)
        for task in tasks(count, common.folder):
            run_trial(workshop.run, task, Silent(task, HandOver()))


def with_executor(make: Callable[[], Executor]) -> Callable[[int], None]:
    def run(count: int) -> None:
        ended = 0

        def deliver(event: object) -> None:
            nonlocal ended
            assert not isinstance(event, Failed), event
            ended += isinstance(event, Finished | Left)

        with setting() as common:
            executor = make()
            executor.start(common, DEVICES)
            for task in tasks(count, common.folder):
                executor.submit(task)
            while ended < count:
                executor.wait(None, deliver)
            executor.close()

    return run


def milliseconds(run: Callable[[int], None], count: int) -> float:
    """For each trial, the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        run(count)
        best = min(best, time.perf_counter() - began)
    return 1000 * best / count


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["executor_overhead"] = sys.modules["__main__"]
    ways = {
        "bare loop": bare,
        "trial alone": without_executor,
        "InProcess": with_executor(InProcess),
        "Pool": with_executor(Pool),
    }
    print(f"{'trials':>8}" + "".join(f"{name:>14}" for name in ways) + "   ms for each trial")
    worst = 0.0
    for count in (8, 200):
        took = {name: milliseconds(run, count) for name, run in ways.items()}
        print(f"{count:>8}" + "".join(f"{each:>14.3f}" for each in took.values()))
        worst = max(worst, took["InProcess"] - took["bare loop"], took["Pool"] - took["bare loop"])
    print(f"at most {worst:.1f} ms beside the work; the limit is {LIMIT_MS} ms")
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
