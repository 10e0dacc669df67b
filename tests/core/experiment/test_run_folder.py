"""The folder of a run: what is done to all of it."""

import uuid
from pathlib import Path

import pytest

from flambe.experiment.journal import JOURNAL
from flambe.experiment.run_folder import RunFolder
from flambe.storage.storage import Storage, open_storage


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_a_folder_is_cleared_with_its_journal_last(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a clearing that was killed is still known as a run's folder, and can be cleared again."""
    folder = RunFolder(storage)
    folder.journal.write("run", durable=True, stages=[])
    folder.write_json("a/v/trial.json", {})
    folder.write_json("z/v/trial.json", {})
    storage.write(".own/of-an-executor", b"")
    remove, known = storage.remove, []

    def noted(path: str) -> None:
        known.append(storage.exists(JOURNAL))
        remove(path)

    monkeypatch.setattr(storage, "remove", noted)
    folder.clear()
    assert known == [True] * 3
    assert storage.list("") == [".own"]
