from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from flambe.executors.pool import Pool
from flambe.testing import Driver
from flambe.trials.protocol import Event, Failed, Finished, Left, Logged, Setting, Started, Stepped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    started = []

    def start(**devices: float) -> Driver:
        pool = Pool()
        pool.start(Setting(name="pool", folder=str(tmp_path), seed=1), devices)
        started.append(pool)
        return Driver(pool, tmp_path)

    yield start
    for pool in started:
        pool.close()


def process_of(driver: Driver, variant: str, **arguments: object) -> int:
    """The process that ran a trial."""
    key = driver.submit("where", variant, build="Interval", arguments={"seconds": 0, **arguments})
    driver.run()
    return int(driver.logged(key)["process"])


def wait_for(condition: Callable[[], object], timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# -- workers --------------------------------------------------------------------------------------------


def test_workers_are_reused_and_no_more_than_needed(start: Callable[..., Driver]) -> None:
    driver = start(cpu=2)
    keys = [
        driver.submit("hold", f"v{index}", build="Interval", arguments={"seconds": 0.01})
        for index in range(20)
    ]
    driver.run()
    processes = {driver.logged(key)["process"] for key in keys}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes


def test_a_killed_worker_fails_its_trial_at_once_and_is_replaced(start: Callable[..., Driver]) -> None:
    driver = start(cpu=2)
    others = [driver.submit("count", f"v{i}", build="Counter", arguments={"seconds": 0.01}) for i in range(4)]
    killed = driver.submit("kill", "v", build="Killed", arguments={"at": 2})
    others += [
        driver.submit("count", f"w{i}", build="Counter", arguments={"seconds": 0.01}) for i in range(4)
    ]
    driver.run()
    assert [event.step for event in driver.of(killed, Stepped)] == [1]
    failed = driver.ending(killed)
    assert isinstance(failed, Failed)
    assert failed.lost
    assert re.fullmatch(r"the worker process \d+ was killed by SIGKILL \(out of memory\?\)", failed.error)
    assert failed.traceback == f"{failed.error}\n\nWhat it wrote last:\nthe last word"
    assert all(isinstance(driver.ending(key), Finished) for key in others)


def test_a_worker_killed_between_trials_is_replaced_silently(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    for index in range(5):
        first = process_of(driver, f"a{index}")
        os.kill(first, signal.SIGKILL)
        assert process_of(driver, f"b{index}") != first
    assert not driver.of(driver.events[0].key, Failed)


def test_a_killed_zygote_is_replaced(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    worker = process_of(driver, "a")
    zygote = int(Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1])
    assert zygote != os.getpid()
    os.kill(zygote, signal.SIGKILL)
    wait_for(lambda: not is_alive(worker))
    assert process_of(driver, "b") != worker


def test_what_a_worker_started_goes_with_it(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    key = driver.submit("parent", "v", build="Parent")
    driver.run()
    child = int(driver.logged(key)["child"])
    assert is_alive(child)
    driver.executor.close()
    wait_for(lambda: not is_alive(child))


def test_ctrl_c_in_the_terminal_does_not_reach_workers(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    worker = process_of(driver, "v")
    assert os.getpgid(worker) != os.getpgid(0)
    os.kill(worker, signal.SIGINT)
    assert process_of(driver, "w") == worker


def test_a_driver_with_threads_still_gets_workers(start: Callable[..., Driver]) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        driver = start(cpu=1)
        assert process_of(driver, "v") != os.getpid()
    finally:
        end.set()
        thread.join()


def test_an_interrupt_wakes_a_waiting_driver(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    key = driver.submit("count", "v", build="Counter", arguments={"steps": 1000, "seconds": 0.01})

    def alarm(number: int, frame: object) -> None:
        driver.executor.interrupt()

    def react(event: object) -> None:
        if isinstance(event, Stepped) and event.step == 2:
            signal.setitimer(signal.ITIMER_REAL, 0.1)

    driver.react = react
    before = signal.signal(signal.SIGALRM, alarm)
    driver.run()
    signal.signal(signal.SIGALRM, before)
    assert 1 < driver.ending(key).step < 1000  # type: ignore[operator]


def test_what_is_written_beneath_python_becomes_lines_too(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    for variant in ("v", "w"):
        key = driver.submit("talk", variant, build="Talker")
        driver.run()
        assert sorted(driver.lines(key)) == [
            "said beneath Python",
            "said by a thread",
            "said by print",
            "said on stderr",
        ]


# -- devices --------------------------------------------------------------------------------------------


def test_a_worker_sees_its_own_gpus_only(
    start: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    driver = start(cpu=8, gpu=2)
    shares = {"none": 0, "half": 0.5, "other half": 0.5, "whole": 1.0}
    keys = {
        name: driver.submit("gpu", name, build="Interval", devices={"cpu": 1, "gpu": share})
        for name, share in shares.items()
    }
    driver.run()
    assert {name: driver.logged(key)["gpus"] for name, key in keys.items()} == {
        "none": "",
        "half": "3",
        "other half": "3",
        "whole": "5",
    }
    both = driver.submit("gpu", "both", build="Interval", devices={"gpu": 2})
    driver.run()
    assert driver.logged(both)["gpus"] == "3,5"


def test_other_devices_are_used_while_a_trial_waits(start: Callable[..., Driver]) -> None:
    driver = start(cpu=2, gpu=0, tpu=1)
    tpu = {"cpu": 1.0, "tpu": 1.0}
    driver.submit("hold", "first", build="Interval", arguments={"seconds": 0.4}, devices=tpu)
    waiting = driver.submit("hold", "waiting", build="Interval", devices={"tpu": 1.0})
    beside = driver.submit("hold", "beside", build="Interval", devices={"cpu": 1.0})
    driver.run()
    assert driver.logged(beside)["ended"] < driver.logged(waiting)["began"]


# -- linked values --------------------------------------------------------------------------------------


def test_a_large_array_is_in_memory_once(start: Callable[..., Driver]) -> None:
    driver = start(cpu=8)

    def take(name: str, size: int, times: int) -> list[int]:
        made = driver.submit("make", name, build="Maker", arguments={"size": size}, exports=("make.numbers",))
        driver.run()
        arguments = {"numbers": "@make.numbers", "wait_s": 0.3}
        keys = [
            driver.submit(
                "take",
                f"{name}{i}",
                build="Taker",
                arguments=arguments,
                imports={"make": driver.handle(made)},
            )
            for i in range(times)
        ]
        driver.run()
        driver.executor.release(driver.handle(made))
        assert [driver.logged(key)["sum"] for key in keys] == [size * (size - 1) / 2] * times
        return [driver.logged(key)["own_bytes"] for key in keys]

    (without,) = take("small", 10_000, 1)
    assert max(take("large", 8_000_000, 8)) - without < 32_000_000, "64 MB, each taker for itself"


def test_a_value_that_cannot_travel_fails_its_trial(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    key = driver.submit("make", "v", build="Maker", exports=("make.lock", "make.size"))
    driver.run()
    ending = driver.ending(key)
    assert isinstance(ending, Failed)
    assert ending.error.startswith("stage 'make': make.lock cannot be handed to another process, it holds")


# -- what stays behind ----------------------------------------------------------------------------------


def test_closing_leaves_nothing_behind(start: Callable[..., Driver], tmp_path: Path) -> None:
    before = belongings()
    for _ in range(3):
        driver = start(cpu=2)
        made = driver.submit("make", "v", build="Maker", exports=("make.numbers",))
        driver.run()
        imports = {"make": driver.handle(made)}
        for index in range(3):  # of which some run, and one waits, when the pool is closed
            driver.submit("take", f"v{index}", build="Taker", arguments={"wait_s": 60}, imports=imports)
        driver.executor.wait(0.2, driver.deliver)
        driver.executor.close()
        assert belongings() == before


def belongings() -> dict[str, object]:
    """What this process holds: children, descriptors, threads, shared memory, temporary files."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "children": children,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "shared memory": sorted(os.listdir("/dev/shm")),
    }


DRIVER = """
import sys, tempfile, time
from pathlib import Path
from flambe.executors.pool import Pool
from flambe.trials.protocol import Finished, Setting
from flambe.testing import Driver

folder = Path(sys.argv[1])
pool = Pool()
pool.start(Setting(name="killed", folder=str(folder), seed=1), {"cpu": 3})
driver = Driver(pool, folder)
def follow(event):
    if isinstance(event, Finished) and event.key.stage == "make":
        print("made", flush=True)
        for index in range(2):
            driver.submit("take", f"{index}-{event.key.variant}", build="Taker",
                arguments={"numbers": "@make.numbers", "wait_s": 0.2}, imports={"make": event.handle})
driver.react = follow
for index in range(1000):
    driver.submit("make", str(index), build="Maker", arguments={"size": 1_000_000}, exports=("make.numbers",))
print("go", flush=True)
driver.run(600)
"""


def test_a_killed_driver_takes_everything_with_it(tmp_path: Path) -> None:
    kill_drivers(tmp_path, times=3)


@pytest.mark.slow
def test_a_driver_killed_at_any_instant_takes_everything_with_it(tmp_path: Path) -> None:
    kill_drivers(tmp_path, times=40)


def kill_drivers(folder: Path, *, times: int) -> None:
    shared, seed = sorted(os.listdir("/dev/shm")), random.randrange(10**9)
    instants = random.Random(seed)
    for index in range(times):
        mark = f"FLAMBE_TEST_MARK={os.getpid()}-{index}-{seed}"
        environment = {**os.environ, **dict([mark.split("=")]), "TMPDIR": str(folder)}
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder / str(index))], env=environment, stdout=subprocess.PIPE
        )
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"go\n"
        time.sleep(instants.random() * 0.8)
        assert driver.poll() is None
        driver.kill()
        driver.wait()
        wait_for(lambda mark=mark: not marked(mark))
        driver.stdout.close()
    assert sorted(os.listdir("/dev/shm")) == shared, f"seed {seed}"
    assert not [path for path in folder.iterdir() if not path.name.isdigit()], f"seed {seed}"


def marked(mark: str) -> list[int]:
    """The processes that a marked process has started."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def test_no_event_is_lost_when_workers_are_killed_at_random(start: Callable[..., Driver]) -> None:
    driver = start(cpu=2)
    instants = random.Random(7)
    running: set[int] = set()

    def note(event: Event) -> None:
        if isinstance(event, Started) and instants.random() < 0.3:
            victim = instants.choice([w.pid for w in driver.executor._workers if w.pid])  # type: ignore[attr-defined]
            running.add(victim)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)

    driver.react = note
    keys = [
        driver.submit("count", f"v{index}", build="Counter", arguments={"steps": 2, "seconds": 0.005})
        for index in range(40)
    ]
    driver.run()
    endings = [driver.ending(key) for key in keys]
    assert all(isinstance(e, Finished) or (isinstance(e, Failed) and e.lost) for e in endings)
    assert sum(isinstance(ending, Failed) for ending in endings) <= len(running)


def test_who_was_told_to_leave_does_so_even_if_its_worker_died_before_it_began(
    start: Callable[..., Driver],
) -> None:
    driver = start(cpu=1)
    worker = process_of(driver, "a")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not is_alive(worker))
    leaving = driver.submit("count", "leaving", build="Counter")
    driver.executor.wait(0, driver.deliver)  # it is given to the dead worker
    driver.executor.leave(leaving)
    driver.run()
    assert driver.of(leaving) == [Left(leaving, None)]


def test_what_a_killed_trial_started_goes_with_it(start: Callable[..., Driver]) -> None:
    driver = start(cpu=1)
    key = driver.submit("parent", "v", build="Parent", arguments={"seconds": 600})
    driver.until(lambda: driver.of(key, Logged))
    child = int(driver.logged(key)["child"])
    assert is_alive(child)
    driver.executor.kill(key, "enough")
    driver.run()
    wait_for(lambda: not is_alive(child))
