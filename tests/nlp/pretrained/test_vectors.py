from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import flambe
from flambe_nlp.classification import TCProcessor
from flambe_nlp.datasets import Parts
from flambe_nlp.datasets.dataset import TextDataset
from flambe_nlp.fields import TextField
from flambe_nlp.pretrained import EncoderVectors
from flambe_nlp.vocabulary import Vocabulary

WORDS = ["<pad>", "<unk>", "who", "lovelace", "what", "?", "was", "is", "the"]
VOCABULARY = Vocabulary(WORDS, unknown="<unk>")
H = 12


class Asked(TextDataset):
    def read(self) -> Parts:
        return Parts([("who was", "A"), ("what is", "B")], [("was ada", "A")], [("the love", "B")])


def model_of(folder: str) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True).eval()


@torch.no_grad()
def one_by_one(folder: str, layer: str) -> np.ndarray[Any, Any]:
    """The vector of each word in plain PyTorch; zeros for the first two."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = model_of(folder)
    rows = [np.zeros(H), np.zeros(H)]
    for word in WORDS[2:]:
        if layer == "last":
            ids = torch.tensor([tokenizer(word)["input_ids"]])
            vectors = model(input_ids=ids).last_hidden_state[0, 1:-1]
        else:
            ids = torch.tensor(tokenizer(word, add_special_tokens=False)["input_ids"])
            vectors = model.embeddings.word_embeddings.weight[ids]
        rows.append(vectors.mean(dim=0).double().numpy())
    return np.stack(rows)


@pytest.mark.parametrize("layer", ["last", "input"])
@pytest.mark.parametrize("batch_size", [3, 256])
def test_a_word_has_the_mean_of_its_pieces(bert: str, layer: Any, batch_size: int) -> None:
    vectors = EncoderVectors(bert, layer=layer, std=None, batch_size=batch_size).matrix(VOCABULARY)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, one_by_one(bert, layer), atol=1e-5)


def test_the_largest_components_are_kept(bert: str) -> None:
    whole = one_by_one(bert, "last")[2:]
    vectors = EncoderVectors(bert, size=3, std=None).matrix(VOCABULARY)
    assert vectors.shape == (len(WORDS), 3)
    assert not vectors[:2].any()

    left, strength, _ = np.linalg.svd(whole - whole.mean(axis=0))
    expected = left[:, :3] * strength[:3]
    np.testing.assert_allclose(np.abs(vectors[2:]), np.abs(expected), atol=1e-4)
    spread = vectors[2:].std(axis=0)
    assert spread.tolist() == sorted(spread, reverse=True)


def test_vectors_are_scaled(bert: str) -> None:
    vectors = EncoderVectors(bert, size=4, std=0.25).matrix(VOCABULARY)
    assert vectors[2:].std() == pytest.approx(0.25)


def test_the_sign_of_a_component_does_not_depend_on_the_words_order(bert: str) -> None:
    order = [0, 1, 8, 5, 3, 2, 4, 6, 7]
    other = Vocabulary([WORDS[n] for n in order], unknown="<unk>")
    vectors = EncoderVectors(bert, size=4)
    np.testing.assert_allclose(vectors.matrix(other), vectors.matrix(VOCABULARY)[order], atol=1e-4)


def test_more_components_than_there_are_is_an_error(bert: str) -> None:
    with pytest.raises(ValueError, match=r"size is 13, but .* gives 12 numbers a word"):
        EncoderVectors(bert, size=13).matrix(VOCABULARY)


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="layer must be 'last' or 'input', not 'middle'"):
        EncoderVectors("any", layer="middle")  # type: ignore[arg-type]


def test_a_processor_has_them_as_embeddings(bert: str) -> None:
    processor = TCProcessor(Asked(), embeddings=EncoderVectors(bert, size=5))
    assert processor.vocab.tokens == ("<pad>", "<unk>", "is", "was", "what", "who")
    assert processor.embeddings is not None
    assert processor.embeddings.shape == (6, 5)


def test_words_of_the_held_out_parts_get_vectors_too(bert: str) -> None:
    data = Asked()
    field = TextField(lower=True, embeddings=EncoderVectors(bert, extend=data))
    field.setup([text for text, _ in data.train])
    assert field.vocab.tokens == ("<pad>", "<unk>", "is", "was", "what", "who", "ada", "the", "love")
    assert field.embeddings is not None
    assert field.embeddings[2:].any(axis=1).all()


def test_a_saved_processor_does_not_read_the_model_again(bert: str, tmp_path: Path) -> None:
    vectors = EncoderVectors(bert, size=5)
    processor = TCProcessor(Asked(), text_field=TextField(embeddings=vectors))
    expected = processor.embeddings
    vectors.alias = "gone"
    flambe.save(processor, tmp_path / "save")
    loaded = flambe.load(tmp_path / "save", trust=[__name__])
    np.testing.assert_array_equal(loaded.embeddings, expected)
