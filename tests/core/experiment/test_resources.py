"""Files that an experiment names once and links to."""

from pathlib import Path

import fsspec
import pytest

from flambe.errors import RunError
from flambe.trials.resources import local_path

USES = """
pipeline:
  use: !my.Length {path: !@ words}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def length(outcome) -> float | None:
    [record] = outcome.records.values()
    return record.metric


def test_a_local_file_is_linked_by_name(run, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("seven!!")
    assert length(run(f"resources: {{words: {tmp_path}/words.txt}}" + USES)) == 7


def test_a_relative_path_is_looked_up_in_the_working_folder(run, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "words.txt").write_text("four")
    monkeypatch.chdir(tmp_path)
    assert length(run("resources: {words: words.txt}" + USES)) == 4


def test_a_file_that_is_not_there_is_named(run) -> None:
    with pytest.raises(RunError) as raised:
        run("resources: {words: no/words.txt}" + USES)
    assert str(raised.value) == "resources.words: there is no file no/words.txt; give its path, or a URL"


def test_a_url_is_fetched_once_until_it_changes(run) -> None:
    with fsspec.open("memory://shelf/words.txt", "w") as file:
        file.write("12345")
    first = local_path("memory://shelf/words.txt")
    assert Path(first).read_text() == "12345"
    assert local_path("memory://shelf/words.txt") == first
    with fsspec.open("memory://shelf/words.txt", "w") as file:
        file.write("123456789")
    assert Path(local_path("memory://shelf/words.txt")).read_text() == "123456789"


def test_a_url_as_a_resource_reaches_the_stage_as_a_path(run) -> None:
    with fsspec.open("memory://shelf/other.txt", "w") as file:
        file.write("123")
    assert length(run("resources: {words: 'memory://shelf/other.txt'}" + USES)) == 3


def test_a_folder_can_be_a_resource(tmp_path: Path) -> None:
    with fsspec.open("memory://shelves/a/b.txt", "w") as file:
        file.write("deep")
    assert (Path(local_path("memory://shelves")) / "a/b.txt").read_text() == "deep"


def test_a_url_that_cannot_be_fetched_is_named() -> None:
    with pytest.raises(RunError, match="the resource memory://nothing/here cannot be fetched"):
        local_path("memory://nothing/here")


def test_a_cluster_path_is_left_alone(run) -> None:
    outcome = run("resources: {words: !cluster /data/words}\npipeline: {use: !@ words}")
    assert outcome.exit_code == 0
