from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from flambe_torch.nn import GeneralizedPooling, RNNEncoder, SelfAttentivePooling

B, T, H, HEADS, UNITS = 4, 6, 5, 3, 7
LENGTHS = [6, 1, 3, 4]
MASK = torch.arange(T) < torch.tensor(LENGTHS)[:, None]


def drawn() -> torch.Tensor:
    return torch.randn(B, T, H, generator=torch.Generator().manual_seed(0))


def softmax_over_rows(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(0)


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def test_self_attentive_pooling_takes_weighted_means() -> None:
    pooling = SelfAttentivePooling(H, HEADS, [UNITS])
    x = drawn()
    output = pooling(x, MASK)
    assert output.shape == (B, pooling.output_size) == (B, HEADS * H)
    first, second = array(pooling.scores[0].weight), array(pooling.scores[2].weight)
    penalties = []
    for row, length in enumerate(LENGTHS):
        tokens = x[row, :length].numpy()
        weights = softmax_over_rows(np.tanh(tokens @ first.T) @ second.T)  # (T, HEADS)
        expected = np.concatenate([weights[:, head] @ tokens for head in range(HEADS)])
        np.testing.assert_allclose(array(output[row]), expected, atol=1e-5)
        assert pooling.attention is not None
        np.testing.assert_allclose(array(pooling.attention[row, :, :length]), weights.T, atol=1e-5)
        assert pooling.attention[row, :, length:].count_nonzero() == 0
        penalties.append(np.linalg.norm(weights.T @ weights - np.eye(HEADS), "fro") ** 2)
    assert pooling.penalty().item() == pytest.approx(np.mean(penalties), rel=1e-4)
    mean = SelfAttentivePooling(H, HEADS, [UNITS], combine="mean")
    mean.load_state_dict(pooling.state_dict())
    torch.testing.assert_close(mean(x, MASK), output.view(B, HEADS, H).mean(1))
    assert mean.output_size == H


def test_generalized_pooling_weighs_each_entry_by_itself() -> None:
    pooling = GeneralizedPooling(H, [UNITS], n_heads=2)
    x = drawn()
    output = pooling(x, MASK)
    assert output.shape == (B, pooling.output_size) == (B, 2 * H)
    first, second = pooling.scores[0], pooling.scores[2]
    for row, length in enumerate(LENGTHS):
        tokens = x[row, :length].numpy()
        hidden = np.maximum(tokens @ array(first.weight).T + array(first.bias), 0)
        weights = softmax_over_rows(hidden @ array(second.weight).T + array(second.bias))  # (T, 2 H)
        expected = (weights * np.concatenate([tokens, tokens], axis=1)).sum(0)
        np.testing.assert_allclose(array(output[row]), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [SelfAttentivePooling, GeneralizedPooling])
def test_rows_without_tokens_give_0_and_copies_hold_no_call(kind: type) -> None:
    pooling = kind(H, attention_units=[UNITS])
    mask = MASK.clone()
    mask[1] = False
    output = pooling(drawn(), mask)
    assert output[1].count_nonzero() == 0
    output.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in pooling.parameters())
    twin = copy.deepcopy(pooling)
    torch.testing.assert_close(twin(drawn(), mask), output)


def test_the_penalty_trains_and_needs_a_call() -> None:
    pooling = SelfAttentivePooling(H, HEADS, [UNITS])
    with pytest.raises(ValueError, match="the penalty is that of the last call, but there was none"):
        pooling.penalty()
    optimizer = torch.optim.Adam(pooling.parameters(), lr=0.05)
    values = []
    for _ in range(20):
        pooling(drawn(), MASK)
        optimizer.zero_grad()
        pooling.penalty().backward()
        optimizer.step()
        values.append(pooling.penalty().item())
    assert values[-1] < 0.9 * values[0]


def test_the_graph_of_a_call_lives_no_longer_than_it_is_of_use() -> None:
    pooling = SelfAttentivePooling(H, HEADS, [UNITS])
    pooling(drawn(), MASK)
    assert pooling.penalty().requires_grad
    assert pooling.attention is not None
    assert not pooling.attention.requires_grad
    assert not pooling.penalty().requires_grad
    pooling.eval()(drawn(), MASK)
    assert not pooling.attention.requires_grad


def test_an_encoder_has_the_size_of_its_pooling() -> None:
    encoder = RNNEncoder(3, H, pooling=SelfAttentivePooling(H, HEADS, [UNITS]))
    assert encoder(torch.zeros(B, T, 3), MASK).shape == (B, encoder.output_size) == (B, HEADS * H)
    with pytest.raises(ValueError, match="combine must be 'concat' or 'mean', but it is 'sum'"):
        SelfAttentivePooling(H, combine="sum")  # type: ignore[arg-type]
