"""Modules made of modules: `Sequential`, `Embedder`, `LogisticRegression`."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from flambe_torch.nn.embedding import mask_of, pad_index_of
from flambe_torch.nn.module import Model, Module
from flambe_torch.nn.pooling import pooled_size, pooling_of


class Sequential(Module, nn.Sequential):
    """Modules one after the other, by name: each takes what the one before returns.

    A mask goes to those whose `forward` has a parameter `mask`, until the sequence is pooled. Modules that
    are given by position are named 0, 1, …, as torch's are.

    Example:
        >>> from flambe_torch.nn.mlp import MLPEncoder
        >>> from flambe_torch.nn.rnn import RNNEncoder
        >>> model = Sequential(encoder=RNNEncoder(3, 5, pooling="last"), classes=MLPEncoder(5, 2))
        >>> model(torch.zeros(4, 6, 3), torch.ones(4, 6, dtype=torch.bool)).shape
        torch.Size([4, 2])
    """

    def __new__(cls, *modules: nn.Module, **named: nn.Module) -> Any:
        return super().__new__(cls, **_all_named(modules, named))

    def __init__(self, *modules: nn.Module, **named: nn.Module) -> None:
        super().__init__(OrderedDict(_all_named(modules, named)))
        self._masked = {name for name, module in self.named_children() if _takes_mask(module)}

    @property
    def output_size(self) -> int:
        """That of the last module that has one."""
        for module in reversed(list(self.children())):
            size = getattr(module, "output_size", None) or getattr(module, "out_features", None)
            if size is not None:
                return int(size)
        raise AttributeError("no module of this Sequential has an output_size")

    def forward(self, x: Any, mask: torch.Tensor | None = None) -> Any:
        """What the last module returns for x; the mask is (B, T), true where a token is.

        Raises:
            ValueError: a module that takes a mask gets sequences of another length.
        """
        for name, module in self.named_children():
            if mask is not None and name in self._masked and x.shape[:2] == mask.shape:
                x = module(x, mask=mask)
            elif mask is not None and name in self._masked and x.ndim > 2:  # not pooled yet
                raise ValueError(_other_places(f"{name!r} takes a mask", x, mask))
            else:
                x = module(x)
        return x


class Embedder(Module):
    """Tokens (B, T) to one vector a text (B, H), or one a token (B, T, H): embedding, encoder, pooling.

    Args:
        embedding: Tokens (B, T) to vectors (B, T, E).
        encoder: Vectors and a mask (B, T) to (B, H) or (B, T, H); none if None.
        pooling: `last`, `first`, `mean`, `max`, `sum`, or a module (B, T, H), mask → (B, H), where the
            encoder has none.
        dropout: Share of the embedding's entries that are zeroed in training.
        pad_index: The token that stands for none; the `padding_idx` of the embedding unless given, and 0 if
            it has none.

    Example:
        >>> from flambe_torch.nn.embedding import EmbeddingEncoder
        >>> Embedder(EmbeddingEncoder(11, 5), pooling="mean")(torch.tensor([[4, 2, 9], [8, 0, 0]])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        embedding: nn.Module,
        encoder: nn.Module | None = None,
        pooling: str | nn.Module | None = None,
        *,
        dropout: float = 0.0,
        pad_index: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.encoder = encoder
        self.pooling = pooling_of(pooling)
        self.dropout = nn.Dropout(dropout)
        self.pad_index = pad_index_of(embedding) if pad_index is None else pad_index

    @property
    def output_size(self) -> int:
        """H."""
        size: int = (self.embedding if self.encoder is None else self.encoder).output_size  # type: ignore[assignment]  # of any module
        return pooled_size(self.pooling, size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors (B, H) or (B, T, H) for tokens (B, T)."""
        mask = mask_of(tokens, self.pad_index)  # (B, T)
        x = self.dropout(self.embedding(tokens))  # (B, T, E)
        if self.encoder is not None:
            x = self.encoder(x, mask)
        if self.pooling is not None:
            if x.ndim < 3:
                raise ValueError(
                    "the embedder is given a pooling, but its encoder pools itself; leave out one"
                )
            if x.shape[:2] != mask.shape:
                raise ValueError(_other_places("the pooling takes a mask", x, mask))
            x = self.pooling(x, mask)
        encoded: torch.Tensor = x
        return encoded


class LogisticRegression(Model):
    """The probability that a row is of class 1, (B, input_size) → (B,); `BCELoss` is the loss that fits.

    Example:
        >>> LogisticRegression(3)(torch.zeros(2, 3)).shape
        torch.Size([2])
    """

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 1)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities (B,) for rows (B, input_size), the one input."""
        (x,) = inputs
        return torch.sigmoid(self.linear(x)).squeeze(-1)

    def for_loss(self, predictions: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both (B,), the classes 0 and 1 as the floats that `BCELoss` takes."""
        return predictions, target.to(predictions.dtype)


def _all_named(modules: tuple[nn.Module, ...], named: dict[str, nn.Module]) -> dict[str, nn.Module]:
    return {**{str(place): module for place, module in enumerate(modules)}, **named}


def _other_places(what: str, x: torch.Tensor, mask: torch.Tensor) -> str:
    return (
        f"{what}, which is {tuple(mask.shape)}, but it gets {tuple(x.shape)}: "
        "give the module that changes the length a pooling of its own"
    )


def _takes_mask(module: nn.Module) -> bool:
    return "mask" in inspect.signature(module.forward).parameters
