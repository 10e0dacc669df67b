"""What every storage keeps, shown on a local folder and on fsspec's memory."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from flambe.errors import MissingFileError, OutputLockedError, SavingError
from flambe.storage.local import LocalStorage
from flambe.storage.remote import LOCK_SECONDS, RemoteStorage
from flambe.storage.storage import Storage, clean_path, open_storage, protocol_of

Open = Callable[[], Storage]


@pytest.fixture(params=["local", "memory"])
def open_it(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    url = str(tmp_path / "run") if request.param == "local" else f"memory://{uuid.uuid4().hex}/run"
    return lambda: open_storage(url)


@pytest.fixture
def storage(open_it: Open) -> Storage:
    return open_it()


def test_a_written_file_is_read_back(storage: Storage) -> None:
    storage.write("a/b.txt", b"one")
    storage.write("a/b.txt", b"two")
    assert storage.read("a/b.txt") == b"two"
    assert storage.list("a") == ["b.txt"]
    assert storage.exists("a/b.txt")
    with storage.open("a/b.txt") as stream:
        assert stream.read() == b"two"


def test_the_root_of_a_protocol_keeps_its_slashes() -> None:
    name = uuid.uuid4().hex
    root = open_storage("memory://")
    root.within(name).write("a.txt", b"one")
    assert open_storage(root.join(name)).read("a.txt") == b"one"
    assert open_storage(root.within(name).url).read("a.txt") == b"one"
    assert (root.url, root.join("")) == ("memory://", "memory://")
    assert open_storage("memory://a//").url == "memory://a"


def test_a_name_that_is_too_long_is_an_error_that_says_so(tmp_path: Path) -> None:
    place = tmp_path / ("a" * 300)
    with pytest.raises(SavingError) as caught:
        open_storage(place).exists("journal.jsonl")
    assert str(caught.value) == f"cannot read {place}/journal.jsonl: File name too long"


def test_a_missing_file_is_named(storage: Storage) -> None:
    where = storage.join("a/b.txt")
    with pytest.raises(MissingFileError) as caught:
        storage.read("a/b.txt")
    assert str(caught.value) == f"cannot read {where}: there is no such file or folder"
    assert not storage.exists("a/b.txt")
    assert storage.list("a") == []


def test_a_folder_is_replaced_as_a_whole(storage: Storage) -> None:
    storage.write_folder("f", {"old": b"1", "x/y": b"2", "seal": b"3"})
    storage.write_folder("f", {"x/z": lambda out: write(out, b"4"), "seal": b"5"})
    assert list(storage.list("f")) == ["seal", "x"]
    assert storage.list("f/x") == ["z"]
    assert storage.read("f/x/z") == b"4"
    assert storage.read("f/seal") == b"5"


def test_other_files_stay_when_asked(storage: Storage) -> None:
    storage.write("f/note", b"mine")
    storage.write_folder("f", {"x/y": b"1", "seal": b"2"}, keep=True)
    assert storage.list("f") == ["note", "seal", "x"]


@pytest.mark.parametrize("keep", [False, True])
def test_a_folder_whose_writer_fails_has_no_last_file(storage: Storage, *, keep: bool) -> None:
    storage.write("f/note", b"mine")

    def fail(out: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        storage.write_folder("f", {"a": b"1", "b": fail, "seal": b"2"}, keep=keep)
    assert not storage.exists("f/seal")


def test_appended_lines_come_back_in_order(open_it: Open) -> None:
    first = open_it()
    for number in range(3):
        first.append("j.jsonl", b"%d\n" % number)
    first.close()
    second = open_it()
    second.append("j.jsonl", b"3\n4\n")
    second.append("j.jsonl", b"5\n", durable=True)
    assert second.read("j.jsonl") == b"0\n1\n2\n3\n4\n5\n"
    assert second.exists("j.jsonl")


def test_writing_an_appended_file_anew_replaces_it(storage: Storage) -> None:
    storage.append("j.jsonl", b"1\n2\n")
    storage.flush()
    storage.write("j.jsonl", b"1\n")
    storage.append("j.jsonl", b"3\n")
    storage.flush()
    assert storage.read("j.jsonl") == b"1\n3\n"


def test_a_removed_file_can_be_appended_to_again(storage: Storage) -> None:
    storage.append("a/j.jsonl", b"1\n")
    storage.flush()
    storage.remove("a")
    storage.append("a/j.jsonl", b"2\n")
    storage.flush()
    assert storage.read("a/j.jsonl") == b"2\n"


def test_removing_what_is_not_there_does_nothing(storage: Storage) -> None:
    storage.remove("nothing")


def test_clear_leaves_only_the_lock(open_it: Open) -> None:
    storage = open_it()
    with storage.lock():
        storage.write("a/b", b"1")
        storage.append("j.jsonl", b"1\n")
        storage.flush()
        storage.clear()
        assert storage.list() == []
        with pytest.raises(OutputLockedError):
            open_it().lock()


def test_a_lock_names_its_owner_and_can_be_taken_again(open_it: Open) -> None:
    import os
    import re
    import socket

    with open_it().lock(), pytest.raises(OutputLockedError) as caught:
        open_it().lock()
    expected = (
        f"{re.escape(open_it().url)} is in use by process {os.getpid()} on {re.escape(socket.gethostname())} "
        r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; wait until it ends or stop it, or choose another folder"
    )
    assert re.fullmatch(expected, str(caught.value))
    lock = open_it().lock()
    lock.release()
    lock.release()
    with open_it().lock():
        pass


def test_a_lock_at_a_url_that_nobody_renews_is_over() -> None:
    storage = RemoteStorage(f"memory://{uuid.uuid4().hex}/run")
    owner = {"pid": 1, "host": "gone", "owner": "someone"}
    for age, locked in [(LOCK_SECONDS / 2, True), (LOCK_SECONDS + 1, False)]:
        storage.write(".lock", json.dumps({**owner, "time": time.time() - age}).encode())
        assert storage.is_locked() is locked
    with storage.lock():
        assert storage.is_locked()


def test_a_folder_that_is_written_over_does_not_count_meanwhile(open_it: Open) -> None:
    storage = open_it()
    storage.write_folder("f", {"a": b"1", "seal": b"old"})
    storage.write("f/other", b"2")
    seen = []

    def content(stream: BinaryIO) -> None:
        seen.append(open_it().exists("f/seal"))
        stream.write(b"3")

    storage.write_folder("f", {"a": content, "seal": b"new"}, keep=True)
    assert seen == [False]
    assert [storage.read(f"f/{name}") for name in storage.list("f")] == [b"3", b"2", b"new"]


def test_whether_it_is_locked_is_seen_without_taking_the_lock(open_it: Open) -> None:
    assert not open_it().is_locked()
    assert open_it().list() == []
    with open_it().lock():
        assert open_it().is_locked()
    assert not open_it().is_locked()


def test_within_and_join_name_the_same_place(storage: Storage) -> None:
    storage.write("a/b/c", b"1")
    assert storage.within("a").read("b/c") == b"1"
    assert storage.within("a").join("b") == storage.join("a/b")


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "C:/x", "a\0b", "\\x"])
def test_a_path_that_leads_out_is_refused(storage: Storage, path: str) -> None:
    with pytest.raises(SavingError) as caught:
        storage.write(path, b"1")
    assert str(caught.value) == f"{path!r} is not a path inside the storage"


def test_a_path_is_cleaned() -> None:
    assert clean_path("a//./b/") == "a/b"
    assert clean_path("") == ""


def test_protocols() -> None:
    assert protocol_of("a/b") == "file"
    assert protocol_of("file:///a") == "file"
    assert protocol_of("s3://bucket/a") == "s3"
    assert isinstance(open_storage("memory://x"), RemoteStorage)
    assert isinstance(open_storage("file:///x"), LocalStorage)


def test_a_plugin_serves_its_protocol(tmp_path: Path) -> None:
    made = LocalStorage(tmp_path)
    asked: list[str] = []

    def find(protocol: str) -> Callable[[str], Storage] | None:
        asked.append(protocol)
        return (lambda url: made) if protocol == "own" else None

    assert open_storage("own://x", find) is made
    assert isinstance(open_storage("memory://x", find), RemoteStorage)
    assert asked == ["own", "memory"]


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(SavingError) as caught:
        open_storage("nosuch://x/y")
    assert str(caught.value) == "cannot open nosuch://x/y: Protocol not known: nosuch"


def write(out: object, data: bytes) -> None:
    out.write(data)  # type: ignore[attr-defined]  # a stream
