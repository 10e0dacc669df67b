"""What a killed driver leaves behind is cleaned up by the next run, and only that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flambe.storage.lock import FolderLock
from flambe_ray.leftovers import OwnFolder, sweep

sys.path.insert(0, str(Path(__file__).parent))
from clusters import Run, said

sys.path.pop(0)

CONFIG = """
my: travelling
---
name: killed
save_path: {folder}
pipeline:
  walk: !my.Walk {{slope: !g [1, 2], numbers: [1], max_steps: 40, pause_s: 0.05, diary: {folder}/diary}}
"""

MORTAL = """
my: climbing
---
name: mortal
save_path: {folder}
pipeline:
  train: !my.Mortal {{slope: !g [1, 2, 3], max_steps: 9, once: {folder}}}
"""

OWNER = """
import sys, time
from collections.abc import Iterator
from pathlib import Path
from flambe_ray.leftovers import OwnFolder
folder = OwnFolder(Path(sys.argv[1]))
folder.note([int(sys.argv[2])])
print(folder.path.name, flush=True)
time.sleep(100)
"""


def test_a_folder_goes_with_what_works_in_it_when_its_owner_is_dead(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "100"])
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), str(sleeper.pid)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert sleeper.poll() is None
        owner.kill()
        owner.communicate()
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert sleeper.wait(10) == -signal.SIGKILL
    finally:
        owner.kill()
        sleeper.kill()


def test_what_others_may_have_put_there_is_left_alone(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "100"])
    try:
        started = int(Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[19])
        valuable = tmp_path / "valuable"
        valuable.write_text("kept")
        trap = tmp_path / "flambe-ray-trap"
        trap.mkdir()
        trap.chmod(0o777)
        (trap / "owner").symlink_to(valuable)
        (trap / "processes.json").write_text(json.dumps({str(sleeper.pid): started}))
        (tmp_path / "flambe-ray-link").symlink_to(trap)
        sweep(tmp_path)
        assert valuable.read_text() == "kept"
        assert sleeper.poll() is None
        assert len(list(tmp_path.iterdir())) == 3
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_process_that_only_has_the_id_of_an_earlier_one_lives_on(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "100"])
    try:
        folder = OwnFolder(tmp_path)
        folder.note([sleeper.pid])
        noted = folder.path / "processes.json"
        ((pid, started),) = json.loads(noted.read_text()).items()
        noted.write_text(json.dumps({pid: started - 1}))
        folder._lock.release()
        (folder.path / "owner").touch()
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_folder_whose_maker_died_before_it_owned_it_goes_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderLock, "take", died)
        with pytest.raises(KeyboardInterrupt):
            OwnFolder(tmp_path)
    (left,) = tmp_path.iterdir()
    others = tmp_path / ".flambe-ray-others"
    others.mkdir()
    others.chmod(0o777)
    taken = tmp_path / ".flambe-ray-taken"
    taken.mkdir(mode=0o700)
    lock = FolderLock.take(taken / "owner")
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {left.name, others.name, taken.name}
    for folder in (left, others, taken):
        os.utime(folder, (0, 0))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {others.name, taken.name}
    lock.release()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path, as Ray needs it for its sockets."""
    folder = Path(f"/tmp/f{os.getpid()}")
    folder.mkdir()
    yield folder
    folder.rmdir()


@pytest.mark.slow
def test_a_killed_driver_takes_ray_with_it_and_the_next_run_cleans_up(
    tmp_path: Path, temporary: Path
) -> None:
    config = CONFIG.format(folder=tmp_path)
    run = Run(config, tmp_path, "--backend", "ray", TMPDIR=str(temporary))
    run.until((tmp_path / "diary").exists)
    (left,) = temporary.glob("flambe-ray-*")
    pids = [int(pid) for pid in json.loads((left / "processes.json").read_text())]
    workers = {int(line.split()[2]) for line in (tmp_path / "diary").read_text().splitlines()}
    os.kill(run.pid, signal.SIGKILL)
    run.end()
    again = Run(config, tmp_path, "--backend", "ray", "--resume", TMPDIR=str(temporary))
    code, _, err = again.end()
    assert code == 0, err
    assert list(temporary.iterdir()) == []
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in (*pids, *workers)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_worker_is_told_of_in_our_words_only(tmp_path: Path, temporary: Path) -> None:
    run = Run(MORTAL.format(folder=tmp_path), tmp_path, "--backend", "ray", TMPDIR=str(temporary))
    code, out, err = run.end()
    assert code == 0, err
    assert (tmp_path / "died-2").exists()
    assert all(line.startswith(("run folder", "train/")) for line in said(err)), err
    assert "ray" not in out.replace(str(tmp_path), "").lower()
    assert list(run.home.rglob("*")) == []
    assert list((tmp_path / "output__mortal/ray-logs").glob("*")) != []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
