from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from flambe_nlp.fields import BoWField
from flambe_nlp.tokenizers import NGramTokenizer
from flambe_torch.data import ArrayColumn, Column, Rows

TEXTS = ["who was who ?", "", "what was it , Ada ?", "Ada Ada", "was it what it was ?"]


def counted(field: BoWField, texts: list[str]) -> list[list[float]]:
    """Text by text, token by token."""
    rows = []
    for text in texts:
        tokens = field.tokenizer.tokenize(text.lower() if field.lower else text)
        row = [0.0] * field.vocab_size
        for token in tokens:
            if token in field.vocab:
                row[field.vocab.index(token)] += 1
            elif field.unk_token is not None:
                row[0] += 1
        total = sum(row) if field.normalize else 1
        rows.append([field.scale_factor * count / max(total, 1) for count in row])
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {"min_freq": 1},
        {"min_freq": 3, "lower": True, "normalize": True},
        {"min_freq": 3, "unk_token": None, "normalize": True, "scale_factor": 2.5},
        {"min_freq": 2, "tokenizer": NGramTokenizer([1, 2]), "max_vocab_size": 6},
    ],
)
def test_rows_are_counts(options: dict[str, object]) -> None:
    field = BoWField(**options)  # type: ignore[arg-type]
    field.setup(TEXTS)
    texts = ["Who was it ?", *TEXTS, "new words only"]
    column = field.process(texts)
    expected = np.array(counted(field, texts), dtype=np.float32)
    assert isinstance(column, Column)
    batch = column.batch(range(len(texts)))
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch.numpy(), expected, rtol=1e-6)
    picked = [5, 0, 5, 1]
    np.testing.assert_allclose(column.batch(picked).numpy(), expected[picked], rtol=1e-6)
    np.testing.assert_allclose(column.select(picked).batch([2, 3]).numpy(), expected[[5, 1]], rtol=1e-6)
    np.testing.assert_allclose(column[-2], expected[-2], rtol=1e-6)
    assert len(column.select([])) == 0


def test_rare_tokens_count_as_unknown() -> None:
    field = BoWField(min_freq=3)
    field.setup(TEXTS)
    assert field.vocab.tokens == ("<unk>", "was", "?", "Ada", "it")
    assert field.process(["Ada was never there ?"])[0].tolist() == [2, 1, 1, 1, 0]


def test_rows_stay_sparse_and_can_be_handed_on() -> None:
    field = BoWField(min_freq=1)
    field.setup([f"word{number}" for number in range(5000)])
    column = field.process(TEXTS * 1000)
    assert column.values.nbytes + column.places.nbytes + column.offsets.nbytes < 200_000  # dense: 100 million
    rows = Rows({"text": column, "label": ArrayColumn.of([0] * 5000)})
    handed = pickle.loads(pickle.dumps(rows, protocol=5))
    assert handed.batch([7])[0].tolist() == rows.batch([7])[0].tolist()
    with pytest.raises(ValueError, match="read-only"):
        column.values[0] = 3


def test_the_vocabulary_is_its_state() -> None:
    field = BoWField(min_freq=3)
    assert field.custom_state() is None
    field.setup(TEXTS)
    state = field.custom_state()
    assert state is not None
    loaded = BoWField(min_freq=3)
    loaded.load_custom_state(state)
    assert loaded.is_ready
    assert loaded.process(TEXTS).batch([0, 2]).tolist() == field.process(TEXTS).batch([0, 2]).tolist()


def test_texts_before_setup_are_refused() -> None:
    with pytest.raises(
        ValueError, match="the field has no vocabulary yet: call setup with the training texts"
    ):
        BoWField().process(["who"])


def test_stop_words_are_left_out_before_runs_are_made(tmp_path: Path) -> None:
    (tmp_path / "stop.txt").write_text("the\n\nOf\n", encoding="utf-8")
    for stop_words in (["The", "of"], str(tmp_path / "stop.txt")):
        tokenizer = NGramTokenizer([1, 2], stop_words=stop_words)
        assert tokenizer.tokenize("The name of Ada") == ["name", "Ada", "name Ada"]
