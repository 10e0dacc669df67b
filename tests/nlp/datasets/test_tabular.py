from __future__ import annotations

import gzip
from pathlib import Path

import fsspec
import pytest

from flambe_nlp.datasets import TabularDataset
from flambe_torch.errors import DataError, MissingDataError


@pytest.fixture
def csv_file(tmp_path: Path) -> str:
    path = tmp_path / "data.csv"
    path.write_text('id,label,text\n1,HUM,"Who, then?"\n2,LOC,"Where\nis it?"\n3,NUM,"""How"" many?"\n')
    return str(path)


def numbered(path: Path, count: int) -> str:
    path.write_text("".join(f"question {number}\tNUM\n" for number in range(count)))
    return str(path)


def test_columns_are_chosen_by_name(csv_file: str) -> None:
    data = TabularDataset(csv_file, columns=["text", "label"])
    assert data.train == [("Who, then?", "HUM"), ("Where\nis it?", "LOC"), ('"How" many?', "NUM")]
    assert (data.dev, data.test) == ([], [])


def test_columns_are_chosen_by_position(csv_file: str) -> None:
    data = TabularDataset(csv_file, columns=[2, 1], header=True)
    assert data.train[0] == ("Who, then?", "HUM")
    assert TabularDataset(csv_file, columns=[2, 1]).train[0] == ("text", "label")


def test_tsv_files_keep_quotes_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    path.write_text('5" of rain\tNUM\n')
    assert TabularDataset(str(path)).train == [('5" of rain', "NUM")]


def test_packed_files_and_urls_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "data.tsv.gz"
    packed.write_bytes(gzip.compress(b"Who?\tHUM\n"))
    with fsspec.open("memory://nlp/dev.csv", "wb") as stream:
        stream.write("Où?,LOC\n".encode("latin-1"))
    assert TabularDataset(str(packed)).train == [("Who?", "HUM")]
    assert TabularDataset("memory://nlp/dev.csv", encoding="latin-1").train == [("Où?", "LOC")]


def test_a_relative_path_is_found_below_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    numbered(tmp_path / "mine" / "train.tsv", 3)
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    assert len(TabularDataset("mine/train.tsv").train) == 3


def test_three_files_make_three_parts(tmp_path: Path) -> None:
    train, dev, test = (
        numbered(tmp_path / f"{name}.tsv", size) for name, size in (("a", 5), ("b", 2), ("c", 3))
    )
    data = TabularDataset(train, dev, test)
    assert [len(data.train), len(data.dev), len(data.test)] == [5, 2, 3]


def test_one_file_is_split_by_ratios_and_seed(tmp_path: Path) -> None:
    path = numbered(tmp_path / "data.tsv", 100)
    data = TabularDataset(path, dev_ratio=0.1, test_ratio=0.2, seed=1)
    assert [len(data.train), len(data.dev), len(data.test)] == [70, 10, 20]
    assert sorted([*data.train, *data.dev, *data.test]) == sorted(TabularDataset(path).train)
    more_dev = TabularDataset(path, dev_ratio=0.3, test_ratio=0.2, seed=1)
    assert more_dev.test == data.test
    assert TabularDataset(path, dev_ratio=0.1, test_ratio=0.2, seed=2).test != data.test


def test_a_short_row_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('"two\nlines",a\nalone\n')
    with pytest.raises(DataError) as caught:
        _ = TabularDataset(str(path)).train
    assert str(caught.value) == f"{path}:3: 1 columns, expected at least 2"


def test_an_open_quote_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('"never closed,a\n')
    with pytest.raises(DataError) as caught:
        _ = TabularDataset(str(path)).train
    assert str(caught.value) == f"{path}:1: unexpected end of data"


def test_a_missing_column_is_named_with_those_there_are(csv_file: str) -> None:
    with pytest.raises(DataError) as caught:
        _ = TabularDataset(csv_file, columns=["text", "class"]).train
    assert str(caught.value) == f"{csv_file} has no column 'class'; its columns are id, label, text"


def test_a_wrong_encoding_says_what_to_set(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("Où?,LOC\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"data\.csv is no utf-8 text \(.*\); set encoding$"):
        _ = TabularDataset(str(path)).train


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.touch()
    with pytest.raises(DataError) as caught:
        _ = TabularDataset(str(path)).train
    assert str(caught.value) == f"{path} holds no rows"


def test_a_missing_file_names_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        _ = TabularDataset("no.csv").train
    assert str(caught.value).startswith(f"there is no file 'no.csv' (looked for no.csv, {tmp_path}/no.csv, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dev": "b.csv", "dev_ratio": 0.1}, "give dev or dev_ratio, not both"),
        ({"dev_ratio": 0.5, "test_ratio": 0.5}, "dev_ratio and test_ratio leave no training rows: 0.5 + 0.5"),
        ({"columns": ["text"], "header": False}, "columns are asked by name, so header cannot be false"),
        ({"columns": []}, "columns must name at least one column"),
    ],
)
def test_arguments_that_contradict_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r"^" + message.replace("+", r"\+") + "$"):
        TabularDataset("a.csv", **arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("url", [False, True])
def test_a_folder_stands_for_its_files_in_order(tmp_path: Path, url: bool) -> None:
    folder = tmp_path / "many"
    (folder / "inner").mkdir(parents=True)
    for name in ("b", "a", "c"):
        (folder / f"{name}.csv").write_text(f"text,label\n{name}1,x\n{name}2,y\n", encoding="utf-8")
    (folder / ".hidden.csv").write_text("no", encoding="utf-8")
    data = TabularDataset(f"{folder.as_uri()}/" if url else str(folder), columns=["text", "label"])
    assert [text for text, _ in data.train] == ["a1", "a2", "b1", "b2", "c1", "c2"]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^{tmp_path} holds no rows$"):
        _ = TabularDataset(str(tmp_path)).train
