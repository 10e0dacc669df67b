"""Positions of tokens, added to their vectors."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import nn

from flambe_torch.nn.module import Module

Positions: TypeAlias = Literal["sinusoidal", "learned"]


class SinusoidalPositions(Module):
    """Adds sines and cosines of each place: (B, T, E) → (B, T, E), for sequences of any length.

    Entry 2i of place t is sin(t / 10000^(2i/E)), entry 2i + 1 is cos(t / 10000^(2i/E)).

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        # (longest so far, E); no buffer: the processes of one training, which share theirs, see other lengths
        self._table = sinusoids(0, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, E) with the positions 0 … T - 1 added."""
        length = x.shape[1]
        if len(self._table) < length or self._table.device != x.device:
            self._table = sinusoids(max(2 * length, len(self._table)), self.size).to(x.device)
        return x + self._table[:length].to(x.dtype)


class LearnedPositions(Module):
    """Adds a vector that is learned for each place: (B, T, E) → (B, T, E).

    Args:
        max_length: The longest T; longer sequences are an error.
    """

    def __init__(self, size: int, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.weight = nn.Parameter(torch.empty(max_length, size))
        nn.init.normal_(self.weight, std=size**-0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, E) with the vectors of places 0 … T - 1 added.

        Raises:
            ValueError: T is larger than `max_length`.
        """
        if x.shape[1] > self.max_length:
            raise ValueError(
                f"a sequence of {x.shape[1]} tokens has no learned positions: max_length is {self.max_length}"
            )
        return x + self.weight[: x.shape[1]]


def positions_of(kind: Positions | None, size: int, max_length: int) -> nn.Module:
    """What adds positions of that kind to vectors of that size; nothing for None.

    Raises:
        ValueError: there is no such kind.
    """
    if kind is None:
        return nn.Identity()
    if kind == "sinusoidal":
        return SinusoidalPositions(size)
    if kind == "learned":
        return LearnedPositions(size, max_length)
    raise ValueError(f"positions are 'sinusoidal', 'learned' or None, not {kind!r}")


def sinusoids(length: int, size: int) -> torch.Tensor:
    """The table of `SinusoidalPositions` (length, size)."""
    places = torch.arange(length)[:, None]  # (T, 1)
    rates = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))  # (ceil(E / 2),)
    angles = places * rates  # (T, ceil(E / 2))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :size]
