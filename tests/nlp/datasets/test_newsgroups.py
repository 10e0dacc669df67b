from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from flambe_nlp.classification import TCProcessor
from flambe_nlp.datasets import NewsGroupsDataset, newsgroups
from flambe_torch.errors import DataError

MESSAGE = """From: ada@example.org
Subject: Orbits

In article <7@x> bob@example.org writes:
> what is an orbit ?
| and where

An orbit is a caf\xe9 round .

--
Ada, London
"""


def archive(path: Path, names: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, text in names.items():
            member = tarfile.TarInfo(name)
            content = text.encode("latin-1")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        for name, kind in (("20news-bydate-train/sci.space", tarfile.DIRTYPE), ("link", tarfile.SYMTYPE)):
            special = tarfile.TarInfo(name)
            special.type, special.linkname = kind, "/etc/passwd"
            packed.addfile(special)
    return path


def messages() -> dict[str, str]:
    train = {
        f"20news-bydate-train/{group}/{n}": f"\n\n{group} {n} x" for group in ("b", "a") for n in range(20)
    }
    return {**train, "20news-bydate-test/a/7": MESSAGE, "../evil/a/1": "no", "readme": "no"}


def test_messages_are_labelled_by_their_group(
    cache: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    path = archive(folder / "20news-bydate.tar.gz", messages())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = replace(newsgroups.ARCHIVE, sha256=digest, urls=(f"{address}/{path.name}",))
    monkeypatch.setattr(newsgroups, "ARCHIVE", file)
    data = NewsGroupsDataset()
    assert [len(part) for part in data.parts] == [36, 4, 1]
    assert data.test == [(MESSAGE, "a")]
    together = sorted([*data.train, *data.dev])
    assert together == sorted((f"\n\n{group} {n} x", group) for group in ("a", "b") for n in range(20))
    assert [label for _, label in data.train] == sorted(label for _, label in data.train)
    assert TCProcessor(data).labels == ("a", "b")
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == ["20news-bydate.tar.gz"]


def test_the_dev_part_is_the_same_each_time_and_another_with_another_seed(tmp_path: Path) -> None:
    path = str(archive(tmp_path / "some.tar.gz", messages()))
    first, again = NewsGroupsDataset(path=path), NewsGroupsDataset(path=path)
    assert first.dev == again.dev
    assert NewsGroupsDataset(path=path, seed=1).dev != first.dev
    assert NewsGroupsDataset(path=path, dev_ratio=0).dev == []


@pytest.mark.parametrize(
    ("remove", "expected"),
    [
        (["headers"], MESSAGE.partition("\n\n")[2]),
        (["footers"], MESSAGE.partition("--\n")[0].rstrip("\n") + "\n"),
        (["headers", "footers", "quotes"], "\nAn orbit is a caf\xe9 round .\n"),
    ],
)
def test_what_gives_the_group_away_can_be_left_out(tmp_path: Path, remove: list[str], expected: str) -> None:
    path = str(archive(tmp_path / "some.tar.gz", messages()))
    ((text, _),) = NewsGroupsDataset(remove, path=path).test  # type: ignore[arg-type]  # of these three
    assert text == expected


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "some.tar.gz", messages())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is no whole tar archive"):
        _ = NewsGroupsDataset(path=str(path)).train
    empty = archive(tmp_path / "other.tar.gz", {"readme": "no"})
    with pytest.raises(DataError) as caught:
        _ = NewsGroupsDataset(path=str(empty)).train
    assert str(caught.value) == (
        f"{empty} holds no train message, expected some named 20news-bydate-train/<group>/<number>"
    )


def test_only_known_parts_can_be_left_out() -> None:
    with pytest.raises(ValueError, match="remove must be a list of headers, footers, quotes, not 'headers'"):
        NewsGroupsDataset("headers")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"remove must be a list of .*, not \['header'\]"):
        NewsGroupsDataset(["header"])  # type: ignore[list-item]
