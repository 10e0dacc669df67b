from __future__ import annotations

from pathlib import Path

import pytest

import flambe
from flambe_nlp.classification import TabularProcessor
from flambe_nlp.datasets import TextDataset
from flambe_nlp.datasets.dataset import Parts
from flambe_nlp.fields import BoWField, LabelField, TextField
from flambe_torch.errors import DataError


class Pairs(TextDataset):
    """A premise, a conclusion, a label, a topic."""

    def read(self) -> Parts:
        train = [("a b", "b c c", "yes", "x"), ("b", "d", "no", "y"), ("a", "a b", "yes", "x")]
        return Parts(train, [("d e", "a", "no", "x")], [])


def make() -> TabularProcessor:
    text = {"field": TextField(), "columns": [0, 1]}
    bag = {"field": BoWField(min_freq=1), "columns": 1}
    topic = {"field": LabelField(), "columns": 3}
    return TabularProcessor(
        Pairs(),
        {"text": text, "bag": bag, "topic": topic, "label": {**topic, "columns": 2, "field": LabelField()}},
    )  # type: ignore[dict-item]


def test_columns_go_through_their_fields() -> None:
    processor = make()
    assert processor.train.names == ("text_0", "text_1", "bag", "topic", "label")
    first, second, bag, topic, label = processor.train.batch([0, 1])
    names = processor.fields["text"].vocab
    assert names.tokens == ("<pad>", "<unk>", "b", "a", "c", "d")  # of both columns
    assert [[names[number] for number in row] for row in first.tolist()] == [["a", "b"], ["b", "<pad>"]]
    assert [[names[number] for number in row] for row in second.tolist()] == [
        ["b", "c", "c"],
        ["d", "<pad>", "<pad>"],
    ]
    assert bag.shape == (2, processor.fields["bag"].vocab_size) == (2, 5)
    assert (topic.tolist(), label.tolist()) == ([0, 1], [1, 0])
    assert processor.dev.batch([0])[0].tolist() == [[5, 1]]
    assert len(processor.test) == 0


def test_fields_in_order_take_the_columns_in_order() -> None:
    processor = TabularProcessor(
        Pairs(), {"first": TextField(), "second": TextField(), "label": LabelField()}
    )
    assert processor.fields["label"].labels == ("no", "yes")
    assert "c" not in processor.fields["first"].vocab


@pytest.mark.parametrize("early", [False, True])
def test_what_fields_learned_is_saved(tmp_path: Path, early: bool) -> None:
    processor = make()
    if early:
        _ = processor.train
    flambe.save(processor, str(tmp_path / "saved"))
    loaded = flambe.load(str(tmp_path / "saved"))
    loaded.dataset._parts = Parts([], [], [])  # nothing to learn from
    assert loaded.fields["text"].vocab == processor.fields["text"].vocab
    assert loaded.fields["label"].labels == ("no", "yes")


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="transform must name at least one column"):
        TabularProcessor(Pairs(), {})
    with pytest.raises(
        ValueError, match="transform 'a' must be a field, or have 'field' and 'columns'; it is 3"
    ):
        TabularProcessor(Pairs(), {"a": 3})  # type: ignore[dict-item]
    beyond = TabularProcessor(Pairs(), {"a": {"field": TextField(), "columns": 4}})
    with pytest.raises(DataError, match=r"^the train part has rows of \[4\] values, and no column 4$"):
        _ = beyond.train
    other = TabularProcessor(Pairs(), {"label": {"field": LabelField(labels=["yes"]), "columns": 2}})
    with pytest.raises(DataError, match="has the label 'no'"):
        _ = other.train
