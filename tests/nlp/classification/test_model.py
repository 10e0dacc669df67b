from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe_nlp.classification import TextClassifier
from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder

B, T, E, H, C, V = 2, 5, 3, 7, 4, 11


def model(pooling: str | None = "last", **arguments: float) -> TextClassifier:
    torch.manual_seed(0)
    encoder = RNNEncoder(input_size=E, hidden_size=H, pooling=pooling)
    return TextClassifier(EmbeddingEncoder(V, E), encoder, SoftmaxDecoder(H, C), **arguments)


def test_tokens_become_log_probabilities() -> None:
    scores = model()(torch.randint(1, V, (B, T)))
    assert scores.shape == (B, C)
    assert scores.exp().sum(dim=1).tolist() == pytest.approx([1, 1])


def test_padding_does_not_change_a_row() -> None:
    made = model().eval()
    alone = made(torch.tensor([[4, 2]]))
    padded = made(torch.tensor([[4, 2, 0, 0], [1, 2, 3, 4]]))
    torch.testing.assert_close(padded[:1], alone)


def test_the_number_that_pads_can_be_another() -> None:
    made = model(pad_index=9).eval()
    torch.testing.assert_close(made(torch.tensor([[4, 2, 9], [1, 2, 3]]))[:1], made(torch.tensor([[4, 2]])))


def test_dropout_is_for_training_only() -> None:
    made, tokens = model(dropout=0.5), torch.randint(1, V, (B, T))
    assert not torch.equal(made(tokens), made(tokens))
    made.eval()
    assert torch.equal(made(tokens), made(tokens))


def test_an_encoder_without_pooling_is_explained() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message follows)
        model(pooling=None)(torch.ones(B, T, dtype=torch.int64))
    assert str(caught.value) == (
        "the encoder must give one vector a text, (B, H), but it gave (2, 5, 7); does it lack a pooling?"
    )


def test_parts_are_linkable() -> None:
    made = model()
    assert made.encoder.output_size == H
    assert isinstance(made.embedding, nn.Module)
    assert len(made.params) == len(list(made.parameters()))
