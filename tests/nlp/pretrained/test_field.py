from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flambe_nlp.classification import QuestionsDataset, TCProcessor
from flambe_nlp.pretrained import BERTTextField, PretrainedTransformerField
from flambe_torch.errors import DataError

TEXTS = ["Who was Ada Lovelace?", "What is?", "", "who is ada lovelace? what was the zebra?"]


@pytest.fixture
def tokenizer(bert: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bert, local_files_only=True)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("max_len", [None, 4])
def test_numbers_are_those_of_the_models_own_tokenizer(
    bert: str, tokenizer: Any, special: bool, max_len: int | None
) -> None:
    field = BERTTextField.from_alias(bert, max_len=max_len, add_special_tokens=special)
    limit = max_len or tokenizer.model_max_length
    expected = tokenizer(TEXTS, add_special_tokens=special, truncation=True, max_length=limit)["input_ids"]
    column = field.process(TEXTS)
    assert [column[row].tolist() for row in range(len(TEXTS))] == expected
    assert field.tokenize(TEXTS[0]) == tokenizer.convert_ids_to_tokens(expected[0])


def test_texts_are_cut_to_what_the_model_takes(bert: str) -> None:
    column = BERTTextField(bert).process(["who " * 50])
    assert len(column[0]) == 16
    assert column[0][-1] == 3


@pytest.mark.parametrize(
    ("kind", "stated", "length"),
    [
        ("bert", None, 30),
        ("bert", 16, 16),
        ("bert", 64, 30),
        ("roberta", None, 28),
        ("gpt2", None, 30),
        ("granite", None, 52),
        ("t5", None, 52),
    ],
)
def test_texts_are_cut_to_the_models_positions(
    folder_of: Callable[..., Path], kind: str, stated: int | None, length: int
) -> None:
    field = PretrainedTransformerField(str(folder_of(kind, longest=stated)))
    assert len(field.process(["who " * 50])[0]) == length


def test_a_length_beyond_the_models_positions_is_refused(
    folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(folder_of("roberta", longest=None), tmp_path / "model")
    alias = str(tmp_path / "model")
    assert len(PretrainedTransformerField(alias, max_len=28).process(["who " * 50])[0]) == 28
    field = PretrainedTransformerField(alias, max_len=29)
    loaded = PretrainedTransformerField(alias, max_len=29)
    loaded.load_custom_state(field.custom_state())
    shutil.rmtree(tmp_path / "model")
    for refused in (field, loaded):
        with pytest.raises(ValueError, match=r"^max_len=29 is more than the 28 tokens that the model takes$"):
            refused.process(TEXTS)


@pytest.mark.parametrize("kind", ["speech-encoder-decoder", "unheard-of"])
def test_a_tokenizer_may_come_with_a_model_that_is_not_made_here(
    bert: str, tmp_path: Path, kind: str
) -> None:
    shutil.copytree(bert, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": kind}))
    assert len(PretrainedTransformerField(str(tmp_path / "model")).process(["who " * 50])[0]) == 16


def test_the_state_of_an_older_save_is_taken(bert: str) -> None:
    field = BERTTextField(bert)
    state = {name: value for name, value in field.custom_state().items() if name != "positions"}
    field.load_custom_state(state)
    assert len(field.process(["who " * 50])[0]) == 16


def test_reading_draws_no_random_numbers(bert: str) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    BERTTextField(bert).process(TEXTS)
    assert torch.equal(torch.rand(2), expected)


def test_numbers_of_tokens_and_of_the_padding(bert: str, tokenizer: Any) -> None:
    field = BERTTextField(bert)
    assert (field.vocab_size, field.pad_index, field.padding_idx) == (len(tokenizer), 0, 0)
    assert field.vocab.tokens[:3] == ("[PAD]", "[UNK]", "[CLS]")
    assert field.vocab.index("##lace") == tokenizer.convert_tokens_to_ids("##lace")


def test_a_table_of_vectors_has_room_for_every_number(bert: str) -> None:
    field = BERTTextField(bert)
    state = dict(field.custom_state())
    settings = json.loads(state["tokenizer"])
    settings["model"]["vocab"]["##lace"] = 99  # some models' numbers have gaps
    field.load_custom_state({**state, "tokenizer": json.dumps(settings)})
    assert field.vocab_size == len(field.vocab) == 100


def test_rows_are_padded_with_the_models_padding(bert: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bert, local_files_only=True, pad_token="the")
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((Path(bert) / "config.json").read_text())
    batch = PretrainedTransformerField(str(tmp_path)).process(["who was ada", "who"]).batch([0, 1])
    assert batch.tolist() == [[2, 4, 6, 8, 3], [2, 4, 3, 12, 12]]


def test_padding_and_cuts_of_the_models_own_tokenizer_are_left_out(bert: str) -> None:
    from tokenizers import Tokenizer

    field = BERTTextField(bert)
    state = dict(field.custom_state())
    padded = Tokenizer.from_str(state["tokenizer"])
    padded.enable_padding(length=9)
    padded.enable_truncation(3)
    field.load_custom_state({**state, "tokenizer": padded.to_str(), "longest": None})
    assert field.process(["who was ada"]).values.tolist() == [2, 4, 6, 8, 3]


def test_a_tokenizer_without_padding_is_explained(bert: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer.from_file(str(Path(bert) / "tokenizer.json"))
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"the tokenizer of .* has no token that pads"):
        _ = PretrainedTransformerField(str(tmp_path)).pad_index


def test_it_is_the_text_field_of_a_processor(bert: str) -> None:
    processor = TCProcessor(QuestionsDataset(), text_field=BERTTextField(bert))
    assert (processor.vocab_size, processor.n_labels, processor.embeddings) == (13, 6, None)
    tokens, _ = processor.train.batch([0, 1])
    assert tokens[:, 0].tolist() == [2, 2]
    assert processor.process(["who was ada?"]).tolist() == [[2, 4, 6, 8, 9, 3]]


def test_word_vectors_for_a_pretrained_field_are_refused(bert: str) -> None:
    with pytest.raises(ValueError, match="have their vectors in the model; give no embeddings"):
        TCProcessor(QuestionsDataset(), text_field=BERTTextField(bert), embeddings="vectors.txt")


def test_a_copy_gives_the_same(bert: str) -> None:
    field = BERTTextField(bert)
    expected = field.process(TEXTS).values.tolist()
    assert pickle.loads(pickle.dumps(field)).process(TEXTS).values.tolist() == expected


def test_a_length_of_nothing_is_refused(bert: str) -> None:
    with pytest.raises(ValueError, match="max_len must be at least 1, not 0"):
        BERTTextField(bert, max_len=0)
    message = "^max_len=2 leaves no room for a token of the text beside 2 special ones$"
    with pytest.raises(ValueError, match=message):
        BERTTextField(bert, max_len=2).process(TEXTS)
    assert BERTTextField(bert, max_len=3).tokenize("who was") == ["[CLS]", "who", "[SEP]"]
    assert BERTTextField(bert, max_len=1, add_special_tokens=False).tokenize("who was") == ["who"]
