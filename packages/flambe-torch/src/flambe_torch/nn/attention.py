"""Poolings that learn which tokens count: a sequence of vectors to one vector, padding left out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import nn

from flambe_torch.nn.activations import activation_of, one_for_each
from flambe_torch.nn.pooling import Pooling


class SelfAttentivePooling(Pooling):
    """Several weighted means over the tokens, the weights learned: (B, T, input_size) → (B, H).

    Each head has the weights softmax(w tanh(W x_t)) over the tokens t. H is `n_heads` times `input_size`, the
    heads' means side by side; or `input_size`, with `combine: mean`.

    Args:
        n_heads: Weighted means.
        attention_units: Sizes of the layers between a token and its weights.
        activation: Between those layers.
        bias: Whether those layers have biases.
        input_dropout: Share of the input's entries zeroed in training, for the weights alone.
        attention_dropout: Share of the weights zeroed in training.
        combine: `concat` or `mean` of the heads.

    Attributes:
        attention: The weights (B, n_heads, T) of the last call, 0 at padding; None before it, and in copies.
            Gradients flow into those of a training call until `penalty` has taken them.

    Source: Lin et al., "A Structured Self-attentive Sentence Embedding", ICLR 2017, section 2.1.

    Example:
        >>> pooling = SelfAttentivePooling(6, n_heads=4, attention_units=[5])
        >>> pooling(torch.zeros(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)).shape, pooling.output_size
        (torch.Size([2, 24]), 24)
    """

    def __init__(
        self,
        input_size: int,
        n_heads: int = 16,
        attention_units: Sequence[int] = (300,),
        *,
        activation: str | nn.Module | None = "tanh",
        bias: bool = False,
        input_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        combine: Literal["concat", "mean"] = "concat",
    ) -> None:
        super().__init__()
        if combine not in ("concat", "mean"):
            raise ValueError(f"combine must be 'concat' or 'mean', but it is {combine!r}")
        self.scores = _layers([input_size, *attention_units, n_heads], activation, bias)
        self.input_dropout = nn.Dropout(input_dropout)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.combine = combine
        self.output_size = input_size * (n_heads if combine == "concat" else 1)
        self.attention: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        scores = self.scores(self.input_dropout(x))  # (B, T, n_heads)
        weights = _softmax_over_tokens(scores, mask).transpose(1, 2)  # (B, n_heads, T)
        self.attention = weights if self.training else weights.detach()  # no graph outlives its use
        heads: torch.Tensor = self.attention_dropout(weights) @ x  # (B, n_heads, input_size)
        return heads.flatten(1) if self.combine == "concat" else heads.mean(dim=1)

    def penalty(self) -> torch.Tensor:
        """How much alike the heads of the last call are, 0-d: the mean over its rows of |A Aᵀ - I|².

        To be added to the loss, times a small number, where heads should look at different tokens. It can
        be trained once a call, in training mode.

        Source: Lin et al. 2017, equation 8.

        Raises:
            ValueError: there was no call.
        """
        if self.attention is None:
            raise ValueError("the penalty is that of the last call, but there was none")
        attention, self.attention = self.attention, self.attention.detach()
        alike = attention @ attention.transpose(1, 2)  # (B, n_heads, n_heads)
        eye = torch.eye(alike.shape[1], device=alike.device, dtype=alike.dtype)
        return (alike - eye).square().sum(dim=(1, 2)).mean()

    def __getstate__(self) -> dict[str, Any]:
        """Copies do not hold what the last call computed."""
        return {**self.__dict__, "attention": None}


class GeneralizedPooling(Pooling):
    """Weighted means over the tokens, with weights of its own for each entry: (B, T, input_size) → (B, H).

    The weights of entry i are softmax(W₂ relu(W₁ x_t + b₁) + b₂)ᵢ over the tokens t. H is `n_heads` times
    `input_size`.

    Args:
        attention_units: Sizes of the layers between a token and its weights.
        n_heads: Means, side by side.
        activation: Between those layers.
        bias: Whether those layers have biases.
        input_dropout: Share of the input's entries zeroed in training, for the weights alone.
        attention_dropout: Share of the weights zeroed in training.

    Source: Chen, Ling and Zhu, "Enhancing Sentence Embedding with Generalized Pooling", COLING 2018,
    section 3.2.

    Example:
        >>> GeneralizedPooling(6, attention_units=[5])(torch.zeros(2, 3, 6)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        input_size: int,
        attention_units: Sequence[int] = (300,),
        *,
        n_heads: int = 1,
        activation: str | nn.Module | None = "relu",
        bias: bool = True,
        input_dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.output_size = n_heads * input_size
        self.scores = _layers([input_size, *attention_units, self.output_size], activation, bias)
        self.input_dropout = nn.Dropout(input_dropout)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.n_heads = n_heads

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        scores = self.scores(self.input_dropout(x))  # (B, T, H)
        weights = self.attention_dropout(_softmax_over_tokens(scores, mask))  # (B, T, H)
        pooled: torch.Tensor = (weights * x.repeat(1, 1, self.n_heads)).sum(dim=1)  # (B, H)
        return pooled


def _layers(sizes: Sequence[int], activation: str | nn.Module | None, bias: bool) -> nn.Sequential:
    activations = one_for_each(activation_of(activation), len(sizes) - 2)
    layers: list[nn.Module] = []
    for place, (n, m) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(n, m, bias=bias), *activations[place : place + 1]]
    return nn.Sequential(*layers)


def _softmax_over_tokens(scores: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Weights (B, T, K) that sum to 1 over the tokens, 0 at padding, and all 0 in a row without tokens."""
    if mask is None:
        return scores.softmax(dim=1)
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask[:, :, None], lowest).softmax(dim=1)  # (B, T, K)
    return weights * mask[:, :, None]
