"""A save and a journal on a real S3 server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from flambe import saving
from flambe.component import Component
from flambe.errors import DamagedSaveError, OutputLockedError
from flambe.storage.remote import RemoteStorage
from flambe.storage.storage import open_storage

pytestmark = pytest.mark.slow

moto_server = pytest.importorskip("moto.server")
pytest.importorskip("s3fs")


class Counter(Component):
    def __init__(self, start: int) -> None:
        self.count = start

    def custom_state(self) -> dict[str, int]:
        return {"count": self.count}

    def load_custom_state(self, state: dict[str, int]) -> None:
        self.count = state["count"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


def test_a_save_on_s3_is_loaded_at_every_level_and_checked(bucket: str) -> None:
    counter = Counter(3)
    counter.count = 5
    saving.save(counter, f"{bucket}/models/counter")
    assert saving.load(f"{bucket}/models/counter").count == 5
    saving.save(counter, f"{bucket}/models/counter")
    storage = open_storage(f"{bucket}/models/counter")
    assert storage.list() == ["checksums.json", "config.yaml", "state.json", "version.txt"]
    storage.write("state.json", b'{"count": 6}\n')
    with pytest.raises(DamagedSaveError) as caught:
        saving.load(f"{bucket}/models/counter")
    assert str(caught.value) == (
        f"{bucket}/models/counter/state.json was altered (its checksum does not fit); "
        "restore it from a copy, or save again"
    )


def test_lines_appended_by_two_owners_one_after_the_other_keep_their_order(bucket: str) -> None:
    for owner in range(2):
        storage = RemoteStorage(f"{bucket}/run")
        with storage.lock():
            with pytest.raises(OutputLockedError):
                RemoteStorage(f"{bucket}/run").lock()
            for number in range(3):
                storage.append("a/journal.jsonl", b"%d-%d\n" % (owner, number), durable=number == 1)
            storage.close()
    again = RemoteStorage(f"{bucket}/run")
    assert again.read("a/journal.jsonl") == b"0-0\n0-1\n0-2\n1-0\n1-1\n1-2\n"
    assert again.list("a") == ["journal-000001.jsonl", "journal-000002.jsonl"]
