"""`CNNEncoder`: convolutions over sequences, which do not see padding, or over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from flambe_torch.nn.activations import activation_of, one_for_each
from flambe_torch.nn.module import Module
from flambe_torch.nn.pooling import pooled_size, pooling_of

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
_OVER_PLACES = ("max", "mean", "average", "sum")


class CNNEncoder(Module):
    """Convolutional layers over a sequence, (B, T, input_channels) → (B, T', H), or (B, H) with a pooling.

    H is the last of `channels`; T' is T unless `stride` is larger than 1. A sequence is followed by zeros,
    whether it is padded or not, and batch normalization counts tokens alone: padding changes nothing.

    With `conv_dim=2`, over images: (B, input_channels, Y, X) → (B, H, Y', X'), or (B, H) with a pooling.

    A layer is: convolution, batch normalization, activation, `layer_pooling`, dropout.

    Args:
        channels: Channels of each layer.
        kernel_size: Width of the kernels: one number, or one for each layer.
        conv_dim: 1 for sequences, 2 for images.
        activation: A name such as `relu` or `gelu`, or a module; none if None.
        dropout: Share of entries zeroed in training, after each layer.
        batch_norm: Whether there is batch normalization.
        stride: Places from one application of the kernels to the next: one number, or one for each layer.
        padding: `same` puts zeros around: a stride of 1 keeps the size. `valid`, for images, does not.
        layer_pooling: A module after the activation of each layer, such as `MaxPool2d`; images only.
        pooling: `max`, `mean`, `sum` over all places; for sequences also `first`, `last` or a module
            (B, T', H), mask → (B, H).

    Example:
        >>> encoder = CNNEncoder(3, [5, 7], kernel_size=[3, 5], pooling="max")
        >>> encoder(torch.zeros(2, 4, 3), torch.tensor([[True] * 4, [True] * 2 + [False] * 2])).shape
        torch.Size([2, 7])
    """

    def __init__(
        self,
        input_channels: int,
        channels: Sequence[int],
        kernel_size: int | Sequence[int] = 3,
        *,
        conv_dim: Literal[1, 2] = 1,
        activation: str | nn.Module | None = "relu",
        dropout: float = 0.0,
        batch_norm: bool = True,
        stride: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] = "same",
        layer_pooling: nn.Module | None = None,
        pooling: str | nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conv_dim not in _CONVOLUTIONS:
            raise ValueError(f"conv_dim must be 1 (sequences) or 2 (images), but it is {conv_dim}")
        if conv_dim == 1 and (layer_pooling is not None or padding != "same"):
            raise ValueError("layer_pooling and padding 'valid' are for images, with conv_dim=2")
        if conv_dim == 2 and pooling is not None and pooling not in _OVER_PLACES:
            raise ValueError(f"images are pooled by {', '.join(_OVER_PLACES)}, not by {pooling!r}")
        if not channels:
            raise ValueError("channels needs one number for each layer, but it is empty")
        count = len(channels)
        self.conv_dim, self.padding = conv_dim, padding
        self.kernel_sizes = _for_each("kernel_size", kernel_size, count)
        self.strides = _for_each("stride", stride, count)
        sizes = zip([input_channels, *channels[:-1]], channels, self.kernel_sizes, self.strides, strict=True)
        self.convolutions = nn.ModuleList(
            _CONVOLUTIONS[conv_dim](n, m, kernel, stride=step, bias=not batch_norm)
            for n, m, kernel, step in sizes
        )
        self.norms = nn.ModuleList(_NORMS[conv_dim](m) if batch_norm else nn.Identity() for m in channels)
        self.activations = one_for_each(activation_of(activation), count)
        self.layer_poolings = one_for_each(layer_pooling or nn.Identity(), count)
        self.dropout = nn.Dropout(dropout)
        self.pooling = pooling_of(pooling)
        self.hidden_size = channels[-1]

    @property
    def output_size(self) -> int:
        """H, or what the pooling makes of it: what a decoder after this takes as `input_size`."""
        return pooled_size(self.pooling, self.hidden_size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encoded rows (B, H) with a pooling, else (B, T', H) or (B, H, Y', X')."""
        if self.conv_dim == 2:
            return self._images(x)
        x, mask = self._sequences(x, mask)  # (B, T', H), (B, T')
        if self.pooling is None:
            return x
        pooled: torch.Tensor = self.pooling(x, mask)  # (B, H)
        return pooled

    def _sequences(
        self, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, T', H), 0 where nothing is, and the mask (B, T')."""
        x = _without_padding(x, mask)
        for layer, convolution in enumerate(self.convolutions):
            x = convolution(self._padded(x.transpose(1, 2), layer)).transpose(1, 2)  # (B, T', C)
            mask = None if mask is None else mask[:, :: self.strides[layer]]  # (B, T')
            x = self.activations[layer](_normalized(x, mask, self.norms[layer]))
            x = _without_padding(self.dropout(x), mask)
        return x, mask

    def _images(self, x: torch.Tensor) -> torch.Tensor:
        for layer, convolution in enumerate(self.convolutions):
            x = convolution(self._padded(x, layer))  # (B, C, Y', X')
            x = self.activations[layer](self.norms[layer](x))
            x = self.dropout(self.layer_poolings[layer](x))
        if self.pooling is None:
            return x
        pooled: torch.Tensor = self.pooling(x.flatten(2).transpose(1, 2))  # (B, H)
        return pooled

    def _padded(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        """x (B, C, …) with zeros around each dimension but the first two."""
        if self.padding == "valid":
            return x
        kernel = self.kernel_sizes[layer]
        return functional.pad(x, [(kernel - 1) // 2, kernel // 2] * self.conv_dim)


def _for_each(name: str, given: int | Sequence[int], count: int) -> list[int]:
    sizes = [given] * count if isinstance(given, int) else list(given)
    if len(sizes) != count:
        raise ValueError(f"{name} has {len(sizes)} numbers for {count} layers")
    if min(sizes) < 1:
        raise ValueError(f"{name} must be at least 1, but it is {min(sizes)}")
    return sizes


def _without_padding(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return x if mask is None else x.masked_fill(~mask[:, :, None], 0)


def _normalized(x: torch.Tensor, mask: torch.Tensor | None, norm: nn.Module) -> torch.Tensor:
    """x (B, T, C) normalized over its tokens alone."""
    if isinstance(norm, nn.Identity):
        return x
    if mask is None:
        normalized: torch.Tensor = _by_channel(x.flatten(0, 1), norm).view_as(x)
        return normalized
    result = torch.zeros_like(x)
    result[mask] = _by_channel(x[mask], norm).to(x.dtype)
    return result


def _by_channel(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
    """x (N, C) normalized; a single token, which has no variance, by the running mean and variance."""
    if len(x) > 1 or not norm.training:
        normalized: torch.Tensor = norm(x)
        return normalized
    assert isinstance(norm, nn.BatchNorm1d)
    return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
