from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import flambe
from flambe_nlp.fields import TextField
from flambe_nlp.tokenizers import CharTokenizer, SpaceTokenizer
from flambe_nlp.vectors import WordVectors

TRAIN = ["Who was Ada ?", "Who sang ?"]


def rows(field: TextField, texts: list[str]) -> list[list[int]]:
    column = field.process(texts)
    return [column[row].tolist() for row in range(len(column))]


def test_tokens_are_numbered_by_frequency_after_the_special_ones() -> None:
    field = TextField()
    field.setup(TRAIN)
    assert field.vocab.tokens == ("<pad>", "<unk>", "?", "Who", "Ada", "sang", "was")
    assert (field.vocab_size, field.pad_index) == (7, 0)
    assert rows(field, ["Who was who ?", ""]) == [[3, 6, 1, 2], []]


def test_a_batch_is_padded() -> None:
    field = TextField()
    field.setup(TRAIN)
    assert field.process(["Who", "Ada sang ?"]).batch([0, 1], pad_index=9).tolist() == [[3, 0, 0], [4, 5, 2]]


def test_texts_are_framed_and_cut() -> None:
    field = TextField(sos_token="<s>", eos_token="</s>", max_len=4)
    field.setup(TRAIN)
    assert field.vocab.tokens[:4] == ("<pad>", "<unk>", "<s>", "</s>")
    assert field.tokenize("Who was Ada ?") == ["<s>", "Who", "was", "</s>"]
    assert TextField(max_len=2, truncate="start").tokenize("Who was Ada ?") == ["Ada", "?"]


def test_rare_tokens_and_those_beyond_the_size_are_unknown() -> None:
    field = TextField(min_freq=2)
    field.setup(TRAIN)
    assert field.vocab.tokens == ("<pad>", "<unk>", "?", "Who")
    field = TextField(lower=True, max_vocab_size=3)
    field.setup(TRAIN)
    assert field.vocab.tokens == ("<pad>", "<unk>", "?")


def test_another_tokenizer_is_used() -> None:
    field = TextField(CharTokenizer())
    field.setup(["aab"])
    assert rows(field, ["ba!"]) == [[3, 2, 1]]


def test_vectors_come_for_the_vocabulary_of_the_training_part(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("ada 1 2\nzebra 3 4\n")
    field = TextField(lower=True, embeddings=str(path))
    field.setup(TRAIN)
    assert field.embeddings is not None
    assert field.embeddings.shape == (7, 2)
    assert field.embeddings[field.vocab.index("ada")].tolist() == [1, 2]
    assert "zebra" not in field.vocab


def test_vectors_extend_the_vocabulary_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("ada 1 2\nzebra 3 4\n")
    field = TextField(lower=True, embeddings=WordVectors(str(path), extend=True))
    field.setup(TRAIN)
    assert field.vocab.tokens[-1] == "zebra"
    assert field.embeddings is not None
    assert field.embeddings[-1].tolist() == [3, 4]


def test_the_state_brings_vocabulary_and_vectors_back(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("Ada 1 2\n")
    field, loaded = TextField(embeddings=str(path)), TextField(embeddings="no longer there")
    assert field.custom_state() is None
    field.setup(TRAIN)
    state = field.custom_state()
    assert state is not None
    loaded.load_custom_state(state)
    assert loaded.is_ready
    assert loaded.vocab == field.vocab
    assert np.array_equal(loaded.embeddings, field.embeddings)  # type: ignore[arg-type]  # both are there


def test_a_field_that_learned_nothing_says_what_to_do() -> None:
    message = "^the text field has no vocabulary yet: call setup with the training texts$"
    with pytest.raises(ValueError, match=message):
        TextField().process(["Who"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_len": 0}, "max_len=0 leaves no room for a token of the text"),
        ({"max_len": 1, "sos_token": "<s>"}, "max_len=1 leaves no room for a token of the text"),
        ({"truncate": "middle"}, "truncate must be 'end' or 'start', not 'middle'"),
    ],
)
def test_arguments_without_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        TextField(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_thousands_of_questions_take_a_moment() -> None:
    texts = [f"What was the year in which ship number {number} sailed from Genoa ?" for number in range(5452)]
    field = TextField()
    start = time.process_time()
    field.setup(texts)
    field.process(texts)
    assert time.process_time() - start < 0.5


def test_a_vocabulary_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("who\nwas\n<unk>\n", encoding="utf-8")
    for vocabulary in (["who", "was", "<unk>"], str(tmp_path / "words.txt")):
        field = TextField(vocabulary=vocabulary)
        field.setup(["many other words"])
        assert field.vocab.tokens == ("<pad>", "<unk>", "who", "was")
        assert field.process(["who is"])[0].tolist() == [2, 1]


def test_more_tokens_can_be_held_in_any_case() -> None:
    field = TextField(SpaceTokenizer(), min_freq=2, additional_special_tokens=["<name>", "<pad>"])
    field.setup(["who who <name>"])
    assert field.vocab.tokens == ("<pad>", "<unk>", "<name>", "who")


def test_one_special_token_is_a_list_of_one() -> None:
    with pytest.raises(ValueError, match=r"^additional_special_tokens is a list: write \[<ent>\]$"):
        TextField(additional_special_tokens="<ent>")


def test_unknown_tokens_can_be_dropped() -> None:
    field = TextField(min_freq=2, drop_unknown=True, eos_token="</s>", max_len=5)
    field.setup(TRAIN)
    assert field.vocab.tokens == ("<pad>", "<unk>", "</s>", "?", "Who")
    texts = ["Who was Ada ?", "Ada", "Who was Ada who sang ?"]  # the last is cut first
    assert rows(field, texts) == [[4, 3, 2], [2], [4, 2]]


@pytest.mark.parametrize("source", ["file", "own"])
def test_with_vectors_tokens_without_one_are_dropped_too(tmp_path: Path, source: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("ada 1 2\n? 5 6\nzebra 3 4\n")

    class Own(WordVectors):
        def known(self, tokens: Iterable[str]) -> list[str]:
            return [token for token in tokens if token == "Ada"]

    vectors = Own(str(path)) if source == "own" else WordVectors(str(path))
    field = TextField(embeddings=vectors, drop_unknown=True)
    field.setup(TRAIN)
    kept = ("Ada",) if source == "own" else ("?", "Ada")
    assert field.vocab.tokens == ("<pad>", "<unk>", *kept)
    assert field.embeddings is not None
    assert field.embeddings[-1].tolist() == [1.0, 2.0]
    assert rows(field, ["Who was Ada zebra"]) == [[len(field.vocab) - 1]]


def test_what_is_dropped_is_dropped_after_loading_too(tmp_path: Path) -> None:
    field = TextField(drop_unknown=True)
    field.setup(TRAIN)
    flambe.save(field, str(tmp_path / "field"))
    loaded = flambe.load(str(tmp_path / "field"))
    assert rows(loaded, ["Who am I ?"]) == rows(field, ["Who am I ?"]) == [[3, 2]]


def test_padding_that_a_text_writes_out_is_an_unknown_word() -> None:
    field = TextField(SpaceTokenizer())
    field.setup(["who sang <pad> it"])
    assert rows(field, ["who <pad> sang"]) == [[4, 1, 3]]
