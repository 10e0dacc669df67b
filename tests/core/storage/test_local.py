"""Local folders when things go wrong: kills, full disks, permissions, two owners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import BinaryIO

import pytest

from flambe.errors import OutputLockedError, SavingError
from flambe.storage import lock
from flambe.storage.local import LocalStorage

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_that_appears_while_it_is_written_keeps_what_it_holds(tmp_path: Path) -> None:
    def meanwhile(stream: BinaryIO) -> None:
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f/trial.json").write_bytes(b"{}")
        stream.write(b"1")

    LocalStorage(tmp_path).write_folder("f", {"a": meanwhile, "seal": b"2"}, keep=True)
    assert files_below(tmp_path) == ["f/a", "f/seal", "f/trial.json"]


@posix
def test_a_file_is_written_while_its_empty_folder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, place = LocalStorage(str(tmp_path)), tmp_path / "trial"
    opened, misses = os.open, []

    def open_late(file: Path, *arguments: int) -> int:
        if not misses and Path(file).parent == place:
            misses.append(file)
            place.rmdir()  # as a folder that another process renames to it does to the one found before
        return opened(file, *arguments)

    monkeypatch.setattr(os, "open", open_late)
    storage.write("trial/trial.json", b"{}")
    assert misses
    assert files_below(tmp_path) == ["trial/trial.json"]


def test_a_write_beyond_the_limit_leaves_the_old_file(tmp_path: Path) -> None:
    code = """
        import resource, signal, sys
        from flambe.storage.local import LocalStorage
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        storage = LocalStorage(sys.argv[1])
        storage.write("a", b"old")
        storage.append("j", b"1\\n")
        for action in (
            lambda: storage.write("a", b"x" * 9000),
            lambda: storage.write_folder("f", {"x": b"x" * 9000, "seal": b""}),
            lambda: storage.append("j", b"y" * 9000 + b"\\n"),
        ):
            try:
                action()
            except Exception as error:
                print(type(error).__name__, error)
        storage.append("j", b"2\\n")
    """
    done = run(code, tmp_path)
    where = "the file is larger than this system allows"
    assert done.stdout.splitlines() == [
        f"SavingError cannot write {tmp_path}/a: {where}",
        f"SavingError cannot write {tmp_path}/f/x: {where}",
        f"SavingError cannot write {tmp_path}/j: {where}",
    ], done.stderr
    assert files_below(tmp_path) == ["a", "j"]
    assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "j").read_bytes() == b"1\n2\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_named_and_nothing_half_written_stays(small_disk: Path) -> None:
    storage = LocalStorage(small_disk)
    storage.write("a", b"old")
    storage.append("j", b"1\n")
    for place, action in [
        ("a", lambda: storage.write("a", b"x" * 100_000)),
        ("f/x", lambda: storage.write_folder("f", {"x": b"x" * 100_000, "seal": b""})),
        ("j", lambda: storage.append("j", b"y" * 100_000 + b"\n")),
    ]:
        with pytest.raises(SavingError) as caught:
            action()
        advice = "the disk is full; free some space and try again"
        assert str(caught.value) == f"cannot write {small_disk}/{place}: {advice}"
    assert files_below(small_disk) == ["a", "j"]
    assert (small_disk / "a").read_bytes() == b"old"
    assert (small_disk / "j").read_bytes() == b"1\n"
    storage.close()


@posix
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SavingError) as caught:
            LocalStorage(tmp_path).write("a", b"1")
    finally:
        tmp_path.chmod(0o700)
    advice = "permission denied; change the permissions or choose another folder"
    assert str(caught.value) == f"cannot write {tmp_path}/a: {advice}"


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(SavingError) as caught:
        LocalStorage(small_disk).write("a", b"1")
    advice = "the file system is read-only; choose another folder"
    assert str(caught.value) == f"cannot write {small_disk}/a: {advice}"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(SavingError) as caught:
        LocalStorage(tmp_path).write("a/b", b"1")
    advice = "a file is where a folder should be; remove it or choose another folder"
    assert str(caught.value) == f"cannot write {tmp_path}/a/b: {advice}"


def test_an_unfinished_line_is_dropped_by_the_next_append(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"x" * 5000 + b"\n" + b"y" * 9000)
    storage = LocalStorage(tmp_path)
    storage.append("j", b"z\n")
    assert (tmp_path / "j").read_bytes() == b"x" * 5000 + b"\nz\n"
    storage.close()


def test_many_files_are_appended_to_with_few_open(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for turn in range(2):
        for number in range(200):
            storage.append(str(number), b"%d\n" % turn)
    assert all((tmp_path / str(number)).read_bytes() == b"0\n1\n" for number in range(200))
    assert len(storage._appending) <= 64
    storage.close()


@posix
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_leaves_old_or_new(tmp_path: Path, seed: int) -> None:
    code = """
        import sys, time
        from flambe.storage.local import LocalStorage
        storage = LocalStorage(sys.argv[1])
        storage.lock()
        print("ready", flush=True)
        for number in range(10**6):
            text = str(number).encode()
            storage.write("file", text * 100, durable=False)
            storage.write_folder("folder", {"a": text, "b/c": text, "seal": text}, durable=False)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(OutputLockedError):
            LocalStorage(tmp_path).lock()
        try:
            writer.wait(0.05 + 0.037 * seed)
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
    storage = LocalStorage(tmp_path)
    with storage.lock():  # the system let go of the dead owner's lock
        text = storage.read("file")
        assert text == text[: len(text) // 100] * 100
        assert storage.read("folder/seal") == storage.read("folder/a") == storage.read("folder/b/c")
        assert [path for path in files_below(tmp_path) if path != ".lock"] == [
            "file",
            "folder/a",
            "folder/b/c",
            "folder/seal",
        ]


def test_a_replacement_that_a_kill_interrupted_is_undone(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write_folder("x/f", {"seal": b"1"})
    os.rename(tmp_path / "x" / "f", tmp_path / "x" / ".f.0a1b2c3d.replaced")
    (tmp_path / "x" / ".f.99999999.aside").mkdir()
    with storage.lock():
        assert storage.list("x") == ["f"]
        assert storage.read("x/f/seal") == b"1"
    assert files_below(tmp_path) == ["x/f/seal"]


@posix
def test_who_only_looks_refuses_nobody(tmp_path: Path) -> None:
    code = """
        import sys
        from flambe.storage.local import LocalStorage
        storage = LocalStorage(sys.argv[1])
        storage.lock()._drop()  # as a kill does: the file stays
        print("ready", flush=True)
        while True:
            storage.is_locked()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as looker:
        assert looker.stdout is not None
        looker.stdout.readline()
        try:
            for _ in range(300):
                with LocalStorage(tmp_path).lock():
                    assert LocalStorage(tmp_path).is_locked()
                (tmp_path / ".lock").touch()
        finally:
            looker.kill()


@posix
def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last owner may let go, and remove the file, between our finding it and our locking it."""
    take, tries = lock._take, []

    def take_late(descriptor: int) -> bool:
        if not tries:
            (tmp_path / ".lock").unlink()
        tries.append(descriptor)
        return take(descriptor)

    monkeypatch.setattr(lock, "_take", take_late)
    with LocalStorage(tmp_path).lock():
        assert len(tries) == 2
        with pytest.raises(OutputLockedError):
            LocalStorage(tmp_path).lock()


@posix
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_every_file_of_a_durable_folder_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool, keep: bool
) -> None:
    storage, synced = LocalStorage(tmp_path), set()
    storage.write_folder("f", {"old": b"0", "seal": b""})
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    storage.write_folder("f", {"a": b"1", "b/c": b"2", "seal": b""}, keep=keep, durable=durable)
    for name in ("a", "b/c", "b", "seal", ""):
        assert ((tmp_path / "f" / name).stat().st_ino in synced) is durable, name


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from flambe.storage.local import LocalStorage
        lock = LocalStorage(sys.argv[1]).lock()
        if os.fork() == 0:
            print("child", flush=True)
            time.sleep(30)
            os._exit(0)
        time.sleep(30)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(OutputLockedError):
            LocalStorage(tmp_path).lock()
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        with LocalStorage(tmp_path).lock():
            pass
        os.killpg(owner.pid, signal.SIGKILL)


@posix
def test_a_link_is_not_followed_when_a_stream_is_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "state").symlink_to(tmp_path / "secret")
    with pytest.raises(SavingError) as caught, LocalStorage(tmp_path / "s").open("state"):
        pass
    assert str(caught.value) == f"cannot read {tmp_path}/s/state: it is a link to another file"
