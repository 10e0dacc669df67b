"""Poolings: a sequence of vectors to one vector, padding left out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

from flambe_torch.nn.module import Module


class Pooling(Module):
    """(B, T, H) and a mask (B, T), True where a token is → (B, H). A row without tokens gives 0."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H); to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")


class FirstPooling(Pooling):
    """The vector at the first place."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        return x[:, 0] if mask is None else x[:, 0] * mask[:, :1]


class LastPooling(Pooling):
    """The vector at the last token."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        if mask is None:
            return x[:, -1]
        lengths = mask.sum(dim=1)  # (B,)
        rows = torch.arange(len(x), device=x.device)
        return x[rows, (lengths - 1).clamp(min=0)] * (lengths > 0)[:, None]


class SumPooling(Pooling):
    """The sum over the tokens."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        return x.sum(dim=1) if mask is None else x.masked_fill(~mask[:, :, None], 0).sum(dim=1)


class MeanPooling(Pooling):
    """The mean over the tokens."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        if mask is None:
            return x.mean(dim=1)
        return x.masked_fill(~mask[:, :, None], 0).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class MaxPooling(Pooling):
    """The largest value over the tokens, for each of the H entries."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The pooled rows (B, H)."""
        if mask is None:
            return x.amax(dim=1)
        largest = x.masked_fill(~mask[:, :, None], float("-inf")).amax(dim=1)  # (B, H)
        return largest.masked_fill(~mask.any(dim=1, keepdim=True), 0)


POOLINGS: Mapping[str, type[Pooling]] = MappingProxyType(
    {
        "first": FirstPooling,
        "last": LastPooling,
        "sum": SumPooling,
        "mean": MeanPooling,
        "average": MeanPooling,
        "max": MaxPooling,
    }
)


def pooling_of(pooling: str | nn.Module | None) -> nn.Module | None:
    """The pooling of that name; a module or None as it is.

    Raises:
        ValueError: no pooling has that name.
    """
    if not isinstance(pooling, str):
        return pooling
    if pooling not in POOLINGS:
        raise ValueError(f"no pooling is called {pooling!r}; there are {', '.join(POOLINGS)}")
    made: nn.Module = POOLINGS[pooling]()
    return made


def pooled_size(pooling: nn.Module | None, size: int) -> int:
    """Size of the vectors that `pooling` makes of vectors of `size`: that, unless it has an `output_size`."""
    pooled: int = getattr(pooling, "output_size", size)
    return pooled
