from __future__ import annotations

import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import flambe
from flambe_nlp.classification import QuestionsDataset, TabularDataset, TCProcessor
from flambe_nlp.datasets import Row
from flambe_nlp.fields import LabelField, TextField
from flambe_torch.errors import DataError


class Sets(NamedTuple):
    train: list[Row]
    dev: list[Row]
    test: list[Row]


SETS = Sets(
    train=[("Who sang ?", "HUM"), ("Where is it ?", "LOC"), ("Who was it ?", "HUM")],
    dev=[("Who is it ?", "HUM")],
    test=[("Where was zebra ?", "LOC"), ("Who ?", "HUM")],
)


def saved(tmp_path: Path, **fields: object) -> Path:
    """A processor saved to a folder; its data set's file is gone by then."""
    data = tmp_path / "train.tsv"
    data.write_text("".join(f"{text}\t{label}\n" for text, label in SETS.train))
    processor = TCProcessor(TabularDataset(str(data)), **fields)  # type: ignore[arg-type]  # as given
    flambe.save(processor, str(tmp_path / "saved"))
    data.unlink()
    return tmp_path / "saved"


def test_parts_are_tables_of_text_and_label() -> None:
    processor = TCProcessor(SETS)
    assert processor.vocab.tokens == ("<pad>", "<unk>", "?", "Who", "it", "Where", "is", "sang", "was")
    assert processor.labels == ("HUM", "LOC")
    assert (processor.vocab_size, processor.n_labels, processor.num_labels) == (9, 2, 2)
    assert processor.train.names == ("text", "label")
    tokens, labels = processor.test.batch([0, 1])
    assert tokens.tolist() == [[5, 8, 1, 2], [3, 2, 0, 0]]
    assert labels.tolist() == [1, 0]
    assert len(processor.dev) == 1


def test_the_vocabulary_is_that_of_the_training_part_alone() -> None:
    other = SETS._replace(dev=[("new words", "LOC")], test=[("newer words", "LOC")])
    assert TCProcessor(other).vocab == TCProcessor(SETS).vocab


def test_nothing_is_read_before_it_is_needed() -> None:
    processor = TCProcessor(TabularDataset("nowhere.csv"))
    with pytest.raises(DataError, match=r"^there is no file 'nowhere\.csv'"):
        _ = processor.vocab_size


def test_raw_texts_become_a_padded_batch() -> None:
    batch = TCProcessor(SETS).process(["Where is Ada ?", "Who"])
    assert batch.tolist() == [[5, 6, 1, 2], [3, 0, 0, 0]]
    assert batch.dtype == torch.int64


def test_numbers_become_names() -> None:
    assert TCProcessor(SETS).names(torch.tensor([1, 0])) == ["LOC", "HUM"]


def test_vectors_may_be_given_to_the_processor(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("who 1 2\n")
    for processor in (
        TCProcessor(SETS, embeddings=str(path)),
        TCProcessor(SETS, TextField(), embeddings=str(path)),
        TCProcessor(SETS, TextField(embeddings=str(path))),
    ):
        assert processor.embeddings is not None
        assert processor.embeddings.shape == (9, 2)
        assert processor.embeddings[3].tolist() == [1, 2]
    assert TCProcessor(SETS).embeddings is None
    with pytest.raises(
        ValueError, match=r"^embeddings are given twice: to the processor and to its text field$"
    ):
        TCProcessor(SETS, TextField(embeddings=str(path)), embeddings=str(path))


def test_an_empty_part_is_an_empty_table_unless_it_is_train() -> None:
    assert len(TCProcessor(SETS._replace(dev=[])).dev) == 0
    with pytest.raises(DataError, match=r"^the data set has no training rows$"):
        _ = TCProcessor(SETS._replace(train=[])).train


def test_a_label_that_training_does_not_have_is_named_with_its_part() -> None:
    processor = TCProcessor(SETS._replace(test=[("How ?", "NUM")]))
    with pytest.raises(DataError) as caught:
        _ = processor.test
    assert str(caught.value) == (
        "the test part: row 0 has the label 'NUM', which the training part does not have; it has HUM, LOC"
    )


def test_rows_that_are_no_pairs_are_an_error() -> None:
    processor = TCProcessor(SETS._replace(train=[("a", "b", "c")]))
    with pytest.raises(DataError) as caught:
        _ = processor.train
    assert str(caught.value) == "a row of the train part holds 3 values, expected a text and a label"


def test_a_processor_is_handed_on_with_its_arrays_out_of_band() -> None:
    processor = TCProcessor(QuestionsDataset())
    _ = processor.train
    buffers: list[pickle.PickleBuffer] = []
    sent = pickle.dumps(processor, protocol=5, buffer_callback=buffers.append)
    received = pickle.loads(sent, buffers=buffers)
    assert received.vocab == processor.vocab
    assert np.array_equal(received.train.columns["text"].values, processor.train.columns["text"].values)
    assert sum(len(buffer.raw()) for buffer in buffers) > 100_000


@pytest.mark.parametrize("fields", [{}, {"text_field": TextField(max_len=9), "label_field": LabelField()}])
def test_a_saved_processor_takes_raw_text_without_its_data(tmp_path: Path, fields: dict[str, object]) -> None:
    loaded = flambe.load(str(saved(tmp_path, **fields)))
    assert loaded.labels == ("HUM", "LOC")
    assert loaded.process(["Who ?"]).tolist() == [[3, 2]]
    with pytest.raises(DataError, match=r"^there is no file"):
        _ = loaded.train
