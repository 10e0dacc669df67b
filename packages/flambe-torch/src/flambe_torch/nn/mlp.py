"""`MLPEncoder` and `SoftmaxDecoder`: fully connected layers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from flambe_torch.nn.activations import activation_of, one_for_each
from flambe_torch.nn.module import Module


class MLPEncoder(Module):
    """Fully connected layers over the last dimension: (…, input_size) → (…, output_size).

    Args:
        n_layers: Number of linear layers.
        hidden_size: Size between the layers; the input's unless given.
        dropout: Share of entries zeroed in training, before each layer.
        hidden_activation: A name such as `gelu`, or a module, after each layer but the last.
        output_activation: A name or a module after the last layer; none unless given.

    Example:
        >>> MLPEncoder(4, 2, n_layers=2)(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        n_layers: int = 1,
        *,
        dropout: float = 0.0,
        output_activation: str | nn.Module | None = None,
        hidden_size: int | None = None,
        hidden_activation: str | nn.Module | None = "relu",
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1, but it is {n_layers}")
        sizes = [input_size, *[hidden_size or input_size] * (n_layers - 1), output_size]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.hidden_activations = one_for_each(activation_of(hidden_activation), n_layers - 1)
        self.output_activation = activation_of(output_activation)
        self.output_size = output_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (…, output_size) for x (…, input_size)."""
        for layer, activation in zip(self.layers[:-1], self.hidden_activations, strict=True):
            x = activation(layer(self.dropout(x)))  # (…, hidden_size)
        encoded: torch.Tensor = self.output_activation(self.layers[-1](self.dropout(x)))  # (…, output_size)
        return encoded


class SoftmaxDecoder(Module):
    """Log-probabilities of classes: (…, input_size) → (…, output_size); `NLLLoss` is the loss that fits.

    Args:
        output_size: C, the number of classes.
        n_layers: Number of linear layers.
        hidden_size: Size between the layers; the input's unless given.
        hidden_activation: A name such as `gelu`, or a module, between the layers.
        dropout: Share of entries zeroed in training, before each layer.
        take_log: Return probabilities instead if False.

    Example:
        >>> SoftmaxDecoder(4, 3)(torch.zeros(2, 4)).exp().sum(dim=-1).detach().round(decimals=4)
        tensor([1., 1.])
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        n_layers: int = 1,
        *,
        dropout: float = 0.0,
        hidden_size: int | None = None,
        hidden_activation: str | nn.Module | None = "relu",
        take_log: bool = True,
    ) -> None:
        super().__init__()
        self.mlp = MLPEncoder(
            input_size,
            output_size,
            n_layers,
            dropout=dropout,
            hidden_size=hidden_size,
            hidden_activation=hidden_activation,
        )
        self.take_log = take_log
        self.output_size = output_size

    def change(self, path: str, value: Any) -> None:
        if path == "dropout":
            self.mlp.change(path, value)
        else:
            super().change(path, value)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (…, C) for features (…, input_size)."""
        scores = self.mlp(h)  # (…, C)
        return torch.log_softmax(scores, dim=-1) if self.take_log else torch.softmax(scores, dim=-1)
