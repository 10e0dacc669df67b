from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import flambe
from flambe_distill.processor import DistillationProcessor
from flambe_nlp.classification import TabularDataset, TCProcessor
from flambe_nlp.fields import LabelField, TextField
from flambe_nlp.tokenizers import CharTokenizer
from flambe_torch.data import ArrayColumn, Rows
from flambe_torch.errors import DataError


class Data(NamedTuple):
    train: Sequence[Sequence[str]]
    dev: Sequence[Sequence[str]] = ()
    test: Sequence[Sequence[str]] = ()


DATA = Data(
    [("who is it", "HUM"), ("where", "LOC"), ("who was it", "HUM")],
    [("who", "HUM")],
    [("where is it", "LOC")],
)


def processor(data: Data = DATA, labels: Sequence[str] | None = None, *, chars: bool = False) -> TCProcessor:
    field = TextField(CharTokenizer()) if chars else TextField()
    return TCProcessor(data, field, LabelField(labels=labels))


def test_a_table_holds_both_views_of_each_row_and_the_label() -> None:
    both = DistillationProcessor(processor(), processor(chars=True))
    assert both.train.names == ("student", "teacher", "label")
    assert [len(row[0]) for row in both.train] == [3, 1, 3]
    assert [len(row[1]) for row in both.train] == [9, 5, 10]
    assert [row[2] for row in both.train] == [0, 1, 0]
    assert (len(both.dev), len(both.test)) == (1, 1)
    assert (both.labels, both.num_labels, both.n_labels) == (("HUM", "LOC"), 2, 2)


def test_nothing_is_processed_twice() -> None:
    student, teacher = processor(), processor(chars=True)
    both = DistillationProcessor(student, teacher)
    assert both.train.columns["student"] is student.train.columns["text"]
    assert both.train.columns["teacher"] is teacher.train.columns["text"]
    assert both.train is both.train


def test_parts_are_processed_when_they_are_asked_for() -> None:
    class Bomb:
        train = DATA.train

        @property
        def dev(self) -> Sequence[Sequence[str]]:
            raise AssertionError("nobody asked")

        test = dev

    both = DistillationProcessor(TCProcessor(Bomb()), TCProcessor(Bomb()))
    assert len(both.train) == 3


def test_processors_that_number_labels_differently_are_refused() -> None:
    both = DistillationProcessor(processor(), processor(labels=["LOC", "HUM"]))
    message = (
        "student and teacher number the labels differently: 0 is 'HUM' for the student's processor and 'LOC' "
        "for the teacher's; give both the same data set and label field"
    )
    for wish in ("train", "num_labels"):
        with pytest.raises(DataError) as error:
            getattr(both, wish)
        assert str(error.value) == message


def test_a_label_that_only_one_of_them_has_is_told() -> None:
    other = Data([*DATA.train, ("how many", "NUM")])
    with pytest.raises(
        DataError, match="2 is 'none' for the student's processor and 'NUM' for the teacher's"
    ):
        DistillationProcessor(processor(), processor(other)).train


def test_processors_of_different_rows_are_refused() -> None:
    fewer, swapped = Data(DATA.train[:2]), Data([DATA.train[1], DATA.train[0], DATA.train[2]])
    with pytest.raises(DataError, match="the train part has 3 rows for the student and 2 for the teacher"):
        DistillationProcessor(processor(), processor(fewer)).train
    with pytest.raises(DataError, match="row 0 of the train part has another label for the student"):
        DistillationProcessor(processor(), processor(swapped)).train


class Wide(TCProcessor):
    """Has two columns for a text."""

    @property
    def train(self) -> Rows:
        table = super().train
        kinds = ArrayColumn.of([1] * len(table))
        return Rows({"text": table.columns["text"], "kind": kinds, "label": table.columns["label"]})


def test_of_many_columns_each_is_named_by_its_view() -> None:
    both = DistillationProcessor(processor(), Wide(DATA))
    assert both.train.names == ("student", "teacher_text", "teacher_kind", "label")


def test_unlabelled_texts_are_seen_by_both() -> None:
    more = Data([("who was where",), ("is it",)])
    both = DistillationProcessor(processor(), processor(chars=True), unlabelled=more)
    assert both.unlabelled.names == ("student", "teacher")
    assert [[len(view) for view in row] for row in both.unlabelled] == [[3, 13], [2, 5]]


def test_a_row_of_unlabelled_texts_is_no_bare_text() -> None:
    both = DistillationProcessor(processor(), processor(), unlabelled=Data(["who was where"]))
    message = "^a row of the unlabelled texts must be a list that begins with a text, not 'who was where'$"
    with pytest.raises(DataError, match=message):
        both.unlabelled


def test_there_may_be_no_unlabelled_texts() -> None:
    assert len(DistillationProcessor(processor(), processor(), unlabelled=Data([])).unlabelled) == 0


def test_unlabelled_texts_that_were_not_given_are_missed() -> None:
    with pytest.raises(ValueError, match="was given no unlabelled texts: set `unlabelled`"):
        DistillationProcessor(processor(), processor()).unlabelled


def test_both_processors_are_saved(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("".join(f"{text},{label}\n" for text, label in DATA.train))
    data = TabularDataset(str(tmp_path / "data.csv"))
    both = DistillationProcessor(TCProcessor(data), TCProcessor(data, TextField(CharTokenizer())))
    assert len(both.train) == 3
    flambe.save(both, tmp_path / "saved")
    (tmp_path / "data.csv").unlink()
    loaded = flambe.load(tmp_path / "saved")
    assert loaded.labels == ("HUM", "LOC")
    assert loaded.student_processor.process(["who was it"]).shape == (1, 3)
    assert loaded.teacher_processor.process(["who was it"]).shape == (1, 10)
