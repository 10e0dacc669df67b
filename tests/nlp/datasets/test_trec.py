from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from flambe_nlp.datasets import TrecDataset, split_off
from flambe_nlp.datasets.dataset import said
from flambe_torch.errors import DataError, MissingDataError


def folder(tmp_path: Path, train: str, test: str = "LOC:city Where is Rome ?\n") -> str:
    (tmp_path / "train_5500.label").write_bytes(train.encode("latin-1"))
    (tmp_path / "TREC_10.label").write_bytes(test.encode("latin-1"))
    return str(tmp_path)


def lines(count: int) -> str:
    return "".join(f"NUM:count How many are {number} ?\n" for number in range(count))


def test_questions_have_coarse_or_fine_labels(tmp_path: Path) -> None:
    path = folder(tmp_path, "HUM:ind Who sang ?\nLOC:city Where is São Paulo ?\n")
    assert TrecDataset(path=path, dev_ratio=0).train == [
        ("Who sang ?", "HUM"),
        ("Where is São Paulo ?", "LOC"),
    ]
    fine = TrecDataset(labels="fine", path=path, dev_ratio=0)
    assert [label for _, label in fine.train] == ["HUM:ind", "LOC:city"]


def test_dev_is_a_tenth_chosen_by_the_seed(tmp_path: Path) -> None:
    path = folder(tmp_path, lines(200))
    one, same, other = (TrecDataset(path=path, seed=seed) for seed in (3, 3, 4))
    assert len(one.dev) == 20
    assert one.dev == same.dev
    assert one.dev != other.dev
    assert sorted([*one.train, *one.dev]) == sorted(TrecDataset(path=path, dev_ratio=0).train)


def test_copies_of_a_question_stay_in_one_part(tmp_path: Path) -> None:
    train = "".join(f"NUM:count How many are {n % 50} {mark}\n" for n in range(150) for mark in "?.")
    data = TrecDataset(path=folder(tmp_path, train), dev_ratio=0.3)
    assert {said(text) for text, _ in data.train} & {said(text) for text, _ in data.dev} == set()
    assert len(data.dev) == 90


def test_the_split_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [(f"question {number}", "NUM") for number in range(60)]
    assert sorted(split_off(rows, 0.2, 1)[1]) == sorted(split_off(rows[::-1], 0.2, 1)[1])


def test_a_line_without_a_label_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path, "HUM:ind Who sang ?\nWho sang ?\n")
    with pytest.raises(DataError) as caught:
        _ = TrecDataset(path=path).train
    found = f"{path}/train_5500.label:2: expected 'COARSE:fine question', found 'Who sang ?'"
    assert str(caught.value) == found


def test_characters_that_look_like_line_ends_do_not_end_a_line(tmp_path: Path) -> None:
    path = folder(tmp_path, "HUM:ind Who said x\x85y ?\n")
    assert TrecDataset(path=path, dev_ratio=0).train == [("Who said x\x85y ?", "HUM")]


def test_labels_must_be_coarse_or_fine() -> None:
    with pytest.raises(ValueError, match=r"^labels must be 'coarse' or 'fine', not 'rough'$"):
        TrecDataset(labels="rough")  # type: ignore[arg-type]  # what a config may hold


def test_a_folder_at_a_url_is_read() -> None:
    for name in ("train_5500.label", "TREC_10.label"):
        with fsspec.open(f"memory://trec-copy/{name}", "wb") as stream:
            stream.write(b"HUM:ind Who sang ?\n")
    assert TrecDataset(path="memory://trec-copy/").test == [("Who sang ?", "HUM")]


def test_a_folder_without_the_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        _ = TrecDataset(path=str(tmp_path)).train
    path = tmp_path / "train_5500.label"
    assert str(caught.value) == f"there is no file {str(path)!r} (looked for {path})"
