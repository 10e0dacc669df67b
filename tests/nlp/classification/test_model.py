from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe_nlp.classification import TextClassifier
from flambe_torch.nn import EmbeddingEncoder, RNNEncoder, SoftmaxDecoder

B, T, E, H, C, V = 2, 5, 3, 7, 4, 11


def model(pooling: str | None = "last", **arguments: float) -> TextClassifier:
    torch.manual_seed(0)
    embedding = EmbeddingEncoder(V, E)
    encoder = RNNEncoder(input_size=E, hidden_size=H, pooling=pooling)
    return TextClassifier(embedding, encoder, SoftmaxDecoder(H, C), **arguments)


def classifier(*, pooling: str | nn.Module | None = None, encoder: nn.Module | None = None) -> TextClassifier:
    torch.manual_seed(0)
    embedding = EmbeddingEncoder(V, E)
    return TextClassifier(embedding, encoder or RNNEncoder(E, H), SoftmaxDecoder(H, C), pooling=pooling)


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


def test_an_encoder_without_pooling_is_pooled_at_the_last_token() -> None:
    made, pooling = model(pooling=None).eval(), model(pooling="last").eval()
    tokens = torch.tensor([[4, 2, 0, 0], [1, 2, 3, 4]])
    torch.testing.assert_close(made(tokens), pooling(tokens))


def test_the_pooling_can_be_chosen() -> None:
    made = classifier(pooling="mean").eval()
    assert made.encoder is not None
    encoded = made.encoder(made.embedding(torch.tensor([[4, 2]])))  # (1, 2, H)
    expected = made.decoder(encoded.mean(dim=1))
    torch.testing.assert_close(made(torch.tensor([[4, 2, 0, 0], [1, 2, 3, 4]]))[:1], expected)


def test_an_encoder_says_how_it_is_pooled_by_default() -> None:
    class Averaged(RNNEncoder):
        default_pooling = "mean"

    torch.manual_seed(0)
    made = TextClassifier(EmbeddingEncoder(V, E), Averaged(E, H), SoftmaxDecoder(H, C)).eval()
    tokens = torch.tensor([[4, 2, 5]])
    assert torch.equal(made(tokens), classifier(pooling="mean").eval()(tokens))
    assert not torch.equal(made(tokens), classifier(pooling="last").eval()(tokens))


def test_an_embedding_that_is_an_encoder_needs_none() -> None:
    made = TextClassifier(EmbeddingEncoder(V, H), None, SoftmaxDecoder(H, C), pooling="max")
    tokens = torch.tensor([[4, 2, 0], [1, 2, 3]])
    expected = made.decoder(made.embedding(tokens[:1, :2]).amax(dim=1))
    torch.testing.assert_close(made(tokens)[:1], expected)


def test_a_pooling_for_an_encoder_that_pools_is_refused() -> None:
    made = classifier(pooling="mean", encoder=RNNEncoder(E, H, pooling="last"))
    with pytest.raises(ValueError, match="is given a pooling, but its encoder pools itself; leave out one"):
        made(torch.ones(B, T, dtype=torch.int64))


def test_vectors_of_another_shape_are_explained() -> None:
    class Shortened(RNNEncoder):
        def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(x, mask)[:, 1:]

    with pytest.raises(ValueError, match="the encoder must give one vector a text") as caught:
        classifier(encoder=Shortened(E, H))(torch.ones(B, T, dtype=torch.int64))
    assert str(caught.value) == (
        "the encoder must give one vector a text, (2, H), or one a token, (2, 5, H), but it gave (2, 4, 7)"
    )


@pytest.mark.parametrize(
    ("embedding", "pad"),
    [
        (EmbeddingEncoder(V, E), 0),
        (EmbeddingEncoder(V, E, pad_index=3), 3),
        (EmbeddingEncoder(V, E, pad_index=None), 0),
        (nn.Embedding(V, E, padding_idx=2), 2),
        (nn.Identity(), 0),
    ],
)
def test_what_pads_is_what_pads_in_the_embedding(embedding: nn.Module, pad: int) -> None:
    assert TextClassifier(embedding, RNNEncoder(E, H), SoftmaxDecoder(H, C)).pad_index == pad
    assert TextClassifier(embedding, RNNEncoder(E, H), SoftmaxDecoder(H, C), pad_index=5).pad_index == 5


def test_parts_are_linkable() -> None:
    made = model()
    assert made.encoder.output_size == H
    assert isinstance(made.embedding, nn.Module)
    assert len(made.params) == len(list(made.parameters()))
