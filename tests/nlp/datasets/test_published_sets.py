"""The published data sets themselves; skipped where `FLAMBE_DATA` names no folder that holds them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from flambe_nlp.classification import SSTDataset, TCProcessor, TRECDataSet, TRECDataset, TrecDataset
from flambe_nlp.vectors import WordVectors
from flambe_nlp.vocabulary import Vocabulary

DATA = Path(os.environ.get("FLAMBE_DATA", "nowhere"))
GLOVE = "glove/glove.6B.50d.trec-sst2.partial.txt.gz"


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).is_file(), reason=f"FLAMBE_DATA holds no {name}")


@needs("trec/train_5500.label")
def test_trec_is_whole() -> None:
    data = TrecDataset()
    assert [len(data.train), len(data.dev), len(data.test)] == [4907, 545, 500]
    counts = Counter(label for _, label in [*data.train, *data.dev])
    assert counts == {"ABBR": 86, "DESC": 1162, "ENTY": 1250, "HUM": 1223, "LOC": 835, "NUM": 896}
    assert len({label for _, label in TrecDataset(labels="fine", dev_ratio=0).train}) == 50
    assert TRECDataset is TRECDataSet is TrecDataset


@needs("trec/train_5500.label")
def test_trec_is_turned_into_tables() -> None:
    processor = TCProcessor(TrecDataset())
    assert [len(processor.train), len(processor.dev), len(processor.test)] == [4907, 545, 500]
    assert processor.labels == ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


@needs("sst2/stsa.binary.train")
def test_sst_is_whole() -> None:
    data = SSTDataset()
    assert [len(data.train), len(data.dev), len(data.test)] == [6920, 872, 1821]
    assert Counter(label for _, label in data.test) == {"negative": 912, "positive": 909}


@needs(GLOVE)
def test_glove_gives_words_their_vectors() -> None:
    vocabulary = Vocabulary(["<pad>", "<unk>", "the", "The"], unknown="<unk>")
    matrix = WordVectors(GLOVE).matrix(vocabulary)
    assert matrix.shape == (4, 50)
    assert matrix[2, :3].tolist() == pytest.approx([0.418, 0.24968, -0.41242])
    assert (matrix[2] == matrix[3]).all()
    assert not matrix[0].any()
    assert matrix[1].any()
