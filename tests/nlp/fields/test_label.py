from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from flambe_nlp.fields import LabelField
from flambe_torch.errors import DataError


def test_labels_are_numbered_by_the_alphabet() -> None:
    field = LabelField()
    field.setup(["LOC", "HUM", "LOC", "NUM"])
    assert field.labels == ("HUM", "LOC", "NUM")
    assert field.process(["NUM", "HUM"]).values.tolist() == [2, 0]
    assert field.label_count.tolist() == [1, 2, 1]
    assert field.label_freq.tolist() == [0.25, 0.5, 0.25]
    assert field.label_inv_freq.tolist() == [4, 2, 4]


def test_frequencies_are_weights_of_a_loss() -> None:
    field = LabelField(labels=["HUM", "LOC", "NUM"])
    field.setup(["LOC", "HUM", "LOC"])
    assert field.label_inv_freq.tolist() == [3, 1.5, 0]
    scores, target = torch.randn(4, 3).log_softmax(dim=1), torch.tensor([1, 0, 1, 2])
    weights = [[3, 1.5, 0][label] for label in target]
    surprises = [-weight * scores[row, target[row]] for row, weight in enumerate(weights)]
    for loss in (
        torch.nn.NLLLoss(weight=field.label_inv_freq),
        torch.nn.CrossEntropyLoss(field.label_inv_freq),
    ):
        torch.testing.assert_close(loss(scores, target), sum(surprises) / sum(weights))


def test_given_labels_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = LabelField(labels=["NUM", "HUM"])
    field.setup(["HUM"])
    assert field.process(["NUM", "HUM"]).values.tolist() == [0, 1]
    assert field.label_count.tolist() == [0, 1]
    listed = tmp_path / "labels.txt"
    listed.write_text("NUM\nHUM\n")
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    for path in (str(listed), "labels.txt", listed.as_uri()):
        field = LabelField(labels=path)
        field.setup(["HUM"])
        assert field.labels == ("NUM", "HUM")


def test_one_hot_labels_are_rows() -> None:
    field = LabelField(one_hot=True)
    field.setup(["a", "b", "c"])
    column = field.process(["c", "a"])
    assert column.values.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert column.values.dtype == np.float32


def test_several_labels_of_a_text_are_one_row() -> None:
    field = LabelField(multilabel_sep=",")
    field.setup(["b, a", "c"])
    assert field.process(["a,c", "", "b"]).values.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_a_label_that_training_does_not_have_is_named() -> None:
    field = LabelField()
    field.setup(["HUM", "LOC"])
    with pytest.raises(DataError) as caught:
        field.process(["HUM", "NUM"])
    message = "row 1 has the label 'NUM', which the training part does not have; it has HUM, LOC"
    assert str(caught.value) == message


def test_a_training_label_that_is_not_listed_is_an_error() -> None:
    field = LabelField(labels=["HUM"])
    with pytest.raises(DataError) as caught:
        field.setup(["HUM", "HUM", "LOC"])
    assert str(caught.value) == "row 2 has the label 'LOC', which is none of those given: HUM"
    assert not field.is_ready


def test_the_state_brings_labels_and_counts_back() -> None:
    field, loaded = LabelField(), LabelField()
    assert field.custom_state() is None
    field.setup(["LOC", "HUM", "LOC"])
    state = field.custom_state()
    assert state is not None
    loaded.load_custom_state(state)
    assert loaded.is_ready
    assert loaded.labels == field.labels
    assert loaded.label_count.tolist() == [1, 2]


def test_a_field_that_learned_nothing_says_what_to_do() -> None:
    message = "^the label field has no labels yet: call setup with the training labels$"
    with pytest.raises(ValueError, match=message):
        LabelField().process(["HUM"])
    with pytest.raises(ValueError, match=message):
        _ = LabelField().label_inv_freq
