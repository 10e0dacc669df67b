from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from flambe_torch.nn import (
    CNNEncoder,
    Embedder,
    EmbeddingEncoder,
    LogisticRegression,
    MeanPooling,
    MixtureOfSoftmaxes,
    MLPEncoder,
    RNNEncoder,
    Sequential,
    SoftmaxDecoder,
)

B, T, E, C, K = 4, 6, 5, 3, 2
MASK = torch.arange(T) < torch.tensor([6, 1, 3, 4])[:, None]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", [(B, E), (B, T, E), (0, E), (B, 0, E)])
def test_mixture_is_the_weighted_sum_of_softmaxes(shape: tuple[int, ...]) -> None:
    decoder = MixtureOfSoftmaxes(E, C, k=K, hidden_size=7)
    h = drawn(*shape)
    weights = {name: value.detach().numpy() for name, value in decoder.state_dict().items()}
    assert len(weights) == 6, "all parameters are registered"
    expected = np.zeros((*shape[:-1], C))
    prior = softmax(h.numpy() @ weights["prior.weight"].T + weights["prior.bias"])
    for k in range(K):
        part = slice(7 * k, 7 * (k + 1))
        latent = np.tanh(h.numpy() @ weights["latent.weight"][part].T + weights["latent.bias"][part])
        each = softmax(latent @ weights["output.weight"].T + weights["output.bias"])
        expected += prior[..., k, None] * each
    np.testing.assert_allclose(decoder(h).detach(), np.log(expected), atol=1e-5)
    decoder.take_log = False
    np.testing.assert_allclose(decoder(h).detach(), expected, atol=1e-5)
    decoder(h * 1e4).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in decoder.parameters())
    with pytest.raises(ValueError, match="k must be at least 1, but it is 0"):
        MixtureOfSoftmaxes(E, C, k=0)


def test_activations_are_given_by_name_or_module() -> None:
    x = drawn(B, E)
    mlp = MLPEncoder(E, C, n_layers=2, hidden_activation="gelu", output_activation="sigmoid")
    first, second = mlp.layers
    torch.testing.assert_close(mlp(x), torch.sigmoid(second(nn.functional.gelu(first(x)))))
    decoder = SoftmaxDecoder(E, C, n_layers=2, hidden_activation=nn.Tanh())
    first, second = decoder.mlp.layers
    torch.testing.assert_close(decoder(x), second(torch.tanh(first(x))).log_softmax(-1))


def test_sequential_hands_the_mask_to_those_that_take_one() -> None:
    encoder, pooled = RNNEncoder(E, 7), RNNEncoder(7, 8, pooling="last")
    model = Sequential(dropout=nn.Dropout(0.0), encoder=encoder, pooled=pooled, classes=nn.Linear(8, C))
    x = drawn(B, T, E)
    torch.testing.assert_close(model(x, MASK), model.classes(pooled(encoder(x, MASK), MASK)))
    torch.testing.assert_close(model(x), model.classes(pooled(encoder(x))))
    assert model.output_size == C
    assert [name for name, _ in model.named_children()] == ["dropout", "encoder", "pooled", "classes"]
    assert model[1] is encoder
    by_position = Sequential(encoder, pooled)
    assert by_position.output_size == 8
    torch.testing.assert_close(by_position(x, MASK), pooled(encoder(x, MASK), MASK))


def test_masks_of_sequences_whose_length_changed_are_refused() -> None:
    strided = CNNEncoder(E, [7], stride=2)
    tail = "give the module that changes the length a pooling of its own"
    model = Sequential(encoder=strided, pooled=MeanPooling())
    message = f"'pooled' takes a mask, which is (4, 6), but it gets (4, 3, 7): {tail}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model(drawn(B, T, E), MASK)
    assert model(drawn(B, T, E)).shape == (B, 7)
    tokens = MASK.long()
    embedder = Embedder(EmbeddingEncoder(9, E), strided, "last")
    message = f"the pooling takes a mask, which is (4, 6), but it gets (4, 3, 7): {tail}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        embedder(tokens)
    inside = CNNEncoder(E, [T], stride=2, pooling="last")  # what it gives looks like tokens
    with pytest.raises(ValueError, match=r"^the embedder is given a pooling, but its encoder pools itself; "):
        Embedder(EmbeddingEncoder(9, E), inside, "last")(tokens)
    assert Embedder(EmbeddingEncoder(9, E), inside)(tokens).shape == (B, T)
    nested = Sequential(encoder=CNNEncoder(E, [7], pooling="max"), rest=Sequential(SoftmaxDecoder(7, C)))
    assert nested(drawn(B, T, E), MASK).shape == (B, C)


def test_embedder_goes_from_tokens_to_one_vector() -> None:
    tokens = torch.tensor([[3, 1, 4], [1, 0, 0]])
    embedding, encoder = EmbeddingEncoder(9, E), RNNEncoder(E, 7)
    embedder = Embedder(embedding, encoder, "mean")
    expected = encoder(embedding(tokens), tokens != 0)
    torch.testing.assert_close(embedder(tokens)[0], expected[0].mean(0))
    torch.testing.assert_close(embedder(tokens)[1], expected[1, 0])
    torch.testing.assert_close(Embedder(embedding, encoder)(tokens), expected)
    assert embedder.output_size == 7
    assert Embedder(embedding, pooling="sum").output_size == E


def test_logistic_regression_gives_probabilities_that_its_loss_takes() -> None:
    model = LogisticRegression(E)
    x, target = drawn(B, E), torch.tensor([0, 1, 1, 0])
    expected = 1 / (
        1 + np.exp(-(x.numpy() @ model.linear.weight.detach().numpy()[0] + model.linear.bias.item()))
    )
    np.testing.assert_allclose(model(x).detach(), expected, atol=1e-6)
    loss = nn.BCELoss()(*model.for_loss(model(x), target))
    by_hand = -np.mean(np.where(target.numpy() == 1, np.log(expected), np.log(1 - expected)))
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
