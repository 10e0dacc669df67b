from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flambe.errors import ExtensionError
from flambe.language.header import Git
from flambe.registry.checkouts import check_out


class Repository:
    """A git repository on this machine, reached by `file://`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, text: str, path: str = "sub/text.txt") -> str:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", text)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Repository(tmp_path / "origin")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def text_of(source: Git, cache: Path) -> str:
    return (check_out(source, cache).folder / "text.txt").read_text()


def test_branch_tag_commit_and_subfolder(repository: Repository, cache: Path):
    first = repository.commit("one")
    repository.git("tag", "v1")
    repository.git("checkout", "--quiet", "-b", "feature/x")
    second = repository.commit("two")
    repository.git("checkout", "--quiet", "main")
    found = {
        ref: text_of(Git(repository.url, ref, "sub"), cache)
        for ref in (None, "main", "v1", "feature/x", first, second, second[:8])
    }
    assert found == {
        None: "one",
        "main": "one",
        "v1": "one",
        "feature/x": "two",
        first: "one",
        second: "two",
        second[:8]: "two",
    }
    assert check_out(Git(repository.url, "v1"), cache).commit == first


def test_branch_that_moved_is_updated(repository: Repository, cache: Path):
    repository.commit("one")
    assert text_of(Git(repository.url, None, "sub"), cache) == "one"
    repository.commit("two")
    assert text_of(Git(repository.url, None, "sub"), cache) == "two"
    repository.commit("three")
    assert text_of(Git(repository.url, "main", "sub"), cache) == "three"


def test_default_branch_may_change_its_name(repository: Repository, cache: Path):
    repository.commit("one")
    text_of(Git(repository.url, None, "sub"), cache)
    repository.git("checkout", "--quiet", "-b", "trunk")
    repository.commit("two")
    assert text_of(Git(repository.url, None, "sub"), cache) == "two"


def test_tags_and_commits_are_not_fetched_again(repository: Repository, cache: Path):
    first = repository.commit("one")
    repository.git("tag", "v1")
    check_out(Git(repository.url), cache)
    repository.folder.rename(repository.folder.with_name("gone"))
    assert text_of(Git(repository.url, "v1", "sub"), cache) == "one"
    assert text_of(Git(repository.url, first[:10], "sub"), cache) == "one"
    with pytest.raises(ExtensionError, match="git fetch"):
        check_out(Git(repository.url, "main"), cache)


def test_folder_part_of_a_branch_name_with_a_slash_is_understood(repository: Repository, cache: Path):
    repository.commit("one")
    repository.git("checkout", "--quiet", "-b", "feature/x")
    repository.commit("two")
    assert text_of(Git(repository.url, "feature", "x/sub"), cache) == "two"


def test_what_was_changed_in_the_clone_is_thrown_away(repository: Repository, cache: Path):
    repository.commit("one")
    source = Git(repository.url, "main", "sub")
    folder = check_out(source, cache).folder
    (folder / "text.txt").write_text("changed")
    (folder / "build.txt").write_text("left behind")
    assert [file.name for file in check_out(source, cache).folder.iterdir()] == ["text.txt"]
    assert text_of(source, cache) == "one"


def test_interrupted_clone_is_cloned_again(repository: Repository, cache: Path):
    repository.commit("one")
    clone = check_out(Git(repository.url), cache).folder
    clone.rename(clone.with_name(f"{clone.name}.part"))
    assert text_of(Git(repository.url, None, "sub"), cache) == "one"
    assert [folder.name for folder in cache.iterdir()] == [clone.name]


@pytest.mark.parametrize(
    ("ref", "subfolder", "message"),
    [
        ("v9", None, "{url} has no branch, tag or commit 'v9'"),
        ("--upload-pack=x", None, "{url} has no branch, tag or commit '--upload-pack=x'"),
        ("main", "nowhere", "{url} has no folder 'nowhere' at 'main'"),
        ("main", "../..", "{url} has no folder '../..' at 'main'"),
        (None, "link", "{url} has no folder 'link' at its default branch"),
    ],
)
def test_what_is_not_there_is_named(repository: Repository, cache: Path, ref, subfolder, message):
    (repository.folder / "link").symlink_to("/")
    repository.commit("one")
    with pytest.raises(ExtensionError) as caught:
        check_out(Git(repository.url, ref, subfolder), cache)
    assert str(caught.value) == message.format(url=repository.url)


def test_git_that_fails_is_quoted(cache: Path, tmp_path: Path):
    url = (tmp_path / "nothing").as_uri()
    with pytest.raises(ExtensionError) as caught:
        check_out(Git(url), cache)
    assert f"-- {url}" in str(caught.value)
    assert "does not exist" in str(caught.value) or "does not appear to be" in str(caught.value)


def test_url_that_would_run_a_command_is_refused(cache: Path, tmp_path: Path):
    with pytest.raises(ExtensionError, match="transport 'ext' not allowed"):
        check_out(Git(f"ext::touch {tmp_path}/ran"), cache)
    assert not (tmp_path / "ran").exists()


def test_missing_git_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExtensionError) as caught:
        check_out(Git("file:///x"), cache)
    assert str(caught.value) == "git is not installed, and the header names a git repository"
