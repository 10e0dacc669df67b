"""Convolutions against loops, and what padding must not change."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flambe_torch.nn import CNNEncoder

B, T, E = 4, 6, 3
LENGTHS = [6, 1, 3, 4]
MASK = torch.arange(T) < torch.tensor(LENGTHS)[:, None]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """One row (T, n) with a kernel (m, n, K): zeros stand on both sides."""
    width = weight.shape[2]
    left = (width - 1) // 2
    padded = np.concatenate([np.zeros((left, x.shape[1])), x, np.zeros((width // 2, x.shape[1]))])
    places = range(0, len(x), stride)
    return np.stack([np.einsum("mnk,kn->m", weight, padded[p : p + width]) + bias for p in places])


def test_layers_of_different_kernels_agree_with_a_loop() -> None:
    encoder = CNNEncoder(E, [5, 7], [2, 3], batch_norm=False, activation="tanh", stride=[1, 2])
    x = drawn(B, T, E)
    output = encoder(x, MASK)
    assert output.shape == (B, 3, encoder.output_size) == (B, 3, 7)
    for row, length in enumerate(LENGTHS):
        expected = x[row, :length].numpy()
        for convolution, stride in zip(encoder.convolutions, (1, 2), strict=True):
            weight, bias = convolution.weight.detach().numpy(), convolution.bias.detach().numpy()
            expected = np.tanh(convolved(expected, weight, bias, stride))
        np.testing.assert_allclose(output[row, : len(expected)].detach(), expected, atol=1e-5)
        assert output[row, len(expected) :].count_nonzero() == 0


def test_batch_normalization_counts_tokens_alone() -> None:
    encoder = CNNEncoder(E, [5], activation=None)
    x = drawn(B, T, E)
    output = encoder(torch.where(MASK[:, :, None], x, 1e3), MASK)
    weight = encoder.convolutions[0].weight.detach().numpy()
    rows = [convolved(x[row, :length].numpy(), weight, np.zeros(5), 1) for row, length in enumerate(LENGTHS)]
    tokens = np.concatenate(rows)
    expected = (tokens - tokens.mean(0)) / np.sqrt(tokens.var(0) + 1e-5)
    np.testing.assert_allclose(output[MASK].detach(), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.norms[0].running_mean, 0.1 * tokens.mean(0), atol=1e-5)
    full = encoder(x)
    assert full.mean((0, 1)).detach().abs().max() < 1e-5, "without a mask all places count"


def test_a_batch_of_one_token_is_normalized_by_what_was_seen_before() -> None:
    encoder = CNNEncoder(5, [7])
    norm = encoder.norms[0]
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(4.0)
    x = torch.randn(1, 1, 5)
    padded, mask = torch.cat([x, torch.ones(1, 2, 5)], 1), torch.tensor([[True, False, False]])
    found, beside_padding = encoder(x), encoder(padded, mask)[:, :1]
    weight = encoder.convolutions[0].weight[:, :, 1]
    expected = ((x @ weight.T - 0.5) / (4.0 + norm.eps) ** 0.5).relu()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(beside_padding, expected)


def test_images_are_convolved_normalized_and_pooled() -> None:
    encoder = CNNEncoder(
        2, [3, 4], conv_dim=2, layer_pooling=nn.MaxPool2d(2), activation="gelu", pooling="mean"
    )
    x = drawn(5, 2, 9, 8)
    output = encoder(x)
    assert output.shape == (5, encoder.output_size) == (5, 4)
    expected = x
    for convolution in encoder.convolutions:
        expected = nn.functional.conv2d(expected, convolution.weight, padding=1)
        mean, variance = expected.mean((0, 2, 3), keepdim=True), expected.var((0, 2, 3), False, keepdim=True)
        expected = nn.functional.max_pool2d(
            nn.functional.gelu((expected - mean) / (variance + 1e-5).sqrt()), 2
        )
    torch.testing.assert_close(output, expected.mean((2, 3)), atol=1e-5, rtol=1e-4)
    valid = CNNEncoder(2, [3], conv_dim=2, padding="valid", stride=2)
    assert valid(x).shape == (5, 3, 4, 3)


def test_layers_share_nothing() -> None:
    encoder = CNNEncoder(E, [E, E], activation=nn.PReLU())
    first, second = encoder.activations
    with torch.no_grad():
        first.weight.fill_(0.9)
    assert second.weight.item() == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": [3]}, "kernel_size has 1 numbers for 2 layers"),
        ({"kernel_size": 0}, "kernel_size must be at least 1, but it is 0"),
        ({"conv_dim": 3}, "conv_dim must be 1 (sequences) or 2 (images), but it is 3"),
        ({"padding": "valid"}, "layer_pooling and padding 'valid' are for images, with conv_dim=2"),
        ({"conv_dim": 2, "pooling": "last"}, "images are pooled by max, mean, average, sum, not by 'last'"),
        ({"activation": "rulu"}, "no activation is called 'rulu'; there are relu, gelu, tanh, sigmoid"),
        ({"channels": []}, "channels needs one number for each layer, but it is empty"),
    ],
)
def test_what_does_not_fit_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CNNEncoder(**{"input_channels": E, "channels": [5, 7], **options})
