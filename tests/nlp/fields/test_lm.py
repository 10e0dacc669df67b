from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

import flambe_nlp.fields.lm as lm
from flambe_nlp.datasets import TextDataset
from flambe_nlp.datasets.dataset import Parts
from flambe_nlp.fields import LMField, TextField
from flambe_nlp.language_modeling import LMProcessor
from flambe_nlp.tokenizers import CharTokenizer, NGramTokenizer, SpaceTokenizer, Tokenizer, WordTokenizer
from flambe_torch.errors import DataError

TEXTS = ["The cat didn't  sit.", "", "A dog\nsat on the U.S. mat, 3.14 times"]


class Texts(TextDataset):
    def __init__(self, train: list[str], dev: list[str]) -> None:
        self.texts = [(text, "label") for text in train], [(text, "label") for text in dev]

    def read(self) -> Parts:
        return Parts(*self.texts, [])


@pytest.mark.parametrize("tokenizer", [SpaceTokenizer(), WordTokenizer(), CharTokenizer(), NGramTokenizer(2)])
@pytest.mark.parametrize("lower", [False, True])
def test_long_texts_in_pieces_give_what_short_ones_give(
    tokenizer: Tokenizer, lower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"lower": lower, "sos_token": "<s>", "eos_token": "</s>", "min_freq": 1}
    plain = TextField(tokenizer, **options)  # type: ignore[arg-type]
    plain.setup(TEXTS)
    expected = plain.process(TEXTS)
    for size in (1, 3, 7, 1000):
        monkeypatch.setattr(lm, "_PIECE", size)
        field = LMField(tokenizer, **options)  # type: ignore[arg-type]
        field.setup(iter(TEXTS))
        assert field.vocab == plain.vocab
        column = field.process(iter(TEXTS))
        assert column.values.tolist() == expected.values.tolist()
        assert column.offsets.tolist() == expected.offsets.tolist()
        assert column.values.dtype == np.int32


@pytest.mark.parametrize("tokenizer", [SpaceTokenizer(), WordTokenizer(), CharTokenizer()])
def test_pieces_are_not_much_longer_than_asked(tokenizer: Tokenizer) -> None:
    text = "word and more, " * 100
    pieces = list(tokenizer.pieces(text, 50))
    assert max(map(len, pieces)) < 60
    assert list(itertools.chain.from_iterable(map(tokenizer.tokenize, pieces))) == tokenizer.tokenize(text)


def test_each_text_alone_is_shifted_by_one() -> None:
    data = Texts(["a b c", "d", "b a"], ["c c a b"])
    processor = LMProcessor(data, LMField(eos_token=None), by_document=True)
    rows = [[processor.names(x) for x in row] for row in processor.train]
    assert rows == [[["a", "b"], ["b", "c"]], [["b"], ["a"]]]  # a text of one word predicts nothing
    assert [[processor.names(x) for x in row] for row in processor.dev] == [
        [["c", "c", "a"], ["c", "a", "b"]]
    ]
    assert processor.train.names == ("text", "target")
    text, target = processor.train.batch([0, 1])
    assert text.shape == target.shape == (2, 2)
    assert text[1, 1] == target[1, 1] == processor.pad_index


def test_the_vocabulary_is_that_of_the_training_part() -> None:
    processor = LMProcessor(Texts(["a b a"], ["a c"]))
    assert processor.vocab.tokens == ("<pad>", "<unk>", "<eos>", "a", "b")
    assert processor.names(processor.dev[0][0]) == ["a", "<unk>", "<eos>"]
    assert processor.process(["b", "a a"]).tolist() == [[4, 2, 0], [3, 3, 2]]


def test_a_loaded_processor_needs_no_data() -> None:
    processor = LMProcessor(Texts(["a b a"], ["a c"]))
    state = processor.custom_state()
    assert state is not None
    loaded = LMProcessor(Texts([], []))
    loaded.load_custom_state(state)
    assert loaded.vocab == processor.vocab
    given = LMField()
    assert given.custom_state() is None
    given.setup(["a"])
    assert LMProcessor(Texts([], []), given).custom_state() is None  # the field saves its own


def test_a_training_part_is_needed() -> None:
    with pytest.raises(DataError, match=r"^the data set has no training rows$"):
        _ = LMProcessor(Texts([], ["a"])).vocab


MEMORY = """
import resource, sys
from flambe_nlp.datasets import PTBDataset
from flambe_nlp.language_modeling import LMProcessor
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
processor = LMProcessor(PTBDataset(sys.argv[1]))
count = len(processor.train.columns["text"].values)
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_a_corpus_needs_a_few_bytes_a_token(tmp_path: object) -> None:
    random = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(10_000)])
    with open(f"{tmp_path}/ptb.train.txt", "w", encoding="utf-8") as stream:
        for _ in range(200_000):
            stream.write(" ".join(words[random.zipf(1.3, 24) % 10_000]) + "\n")
    for part in ("valid", "test"):
        with open(f"{tmp_path}/ptb.{part}.txt", "w", encoding="utf-8") as stream:
            stream.write("w1\n")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], check=True, capture_output=True, text=True
    )
    count, used = map(int, done.stdout.split())
    assert count == 200_000 * 25
    assert used < 12 * count  # 4 to keep, as many again while it grows, and what else a process takes


def test_unknown_tokens_can_be_dropped() -> None:
    field = LMField(drop_unknown=True)
    field.setup(["the cat sat"])
    assert field.process(["the old cat", "dogs"]).values.tolist() == [field.vocab.index("the"), 3, 2, 2]


def test_padding_that_a_corpus_writes_out_is_an_unknown_word() -> None:
    field = LMField()
    field.setup(["the cat <pad>"])
    assert field.process(["the <pad> cat"]).values.tolist() == [4, 1, 3, 2]
