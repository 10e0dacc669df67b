"""`TransformerEncoder`, `TransformerDecoder`, `Transformer`: torch's layers, with our masks."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from flambe_torch.changing import change, share
from flambe_torch.nn.module import Module
from flambe_torch.nn.pooling import pooled_size, pooling_of
from flambe_torch.nn.positions import Positions, positions_of


class _Layers(Module):
    """What encoder and decoder share: `input` and `layers`, whose dropout is one argument."""

    input: nn.Module
    layers: nn.ModuleList

    def change(self, path: str, value: Any) -> None:
        if path != "dropout":
            super().change(path, value)
            return
        for module in (*self.input.modules(), *self.layers.modules()):
            if isinstance(module, nn.Dropout):
                module.p = share(value)
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = share(value)


class TransformerEncoder(_Layers):
    """Layers of self-attention: (B, T, input_size) → (B, T, d_model), or (B, d_model) with a pooling.

    Args:
        d_model: Size of the layers; where the input's is another, it is projected first.
        n_heads: Heads of attention in a layer; a divisor of `d_model`.
        dim_feedforward: Inner size of the feed-forward part of a layer.
        dropout: Share of entries zeroed in training: of the input with its positions, and inside the layers.
        activation: Of the feed-forward part: `relu` or `gelu`.
        norm_first: Normalize before each part of a layer, and once at the end, instead of after each part.
        causal: A place sees only those before it, and itself: for language models.
        positions: `sinusoidal` or `learned` positions are added to the input; None where it has them already.
        max_length: The longest sequence that `learned` positions serve.
        pooling: `last`, `first`, `mean`, `max`, `sum`, or a module (B, T, d_model), mask → (B, H).

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017; `norm_first`: Xiong et al., "On Layer
    Normalization in the Transformer Architecture", ICML 2020.

    Example:
        >>> encoder = TransformerEncoder(input_size=6, d_model=8, n_heads=2, n_layers=1, pooling="mean")
        >>> encoder(torch.zeros(2, 4, 6), torch.tensor([[True] * 4, [True] * 2 + [False] * 2])).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        n_heads: int = 8,
        n_layers: int = 6,
        *,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Literal["relu", "gelu"] = "relu",
        norm_first: bool = False,
        causal: bool = False,
        positions: Positions | None = "sinusoidal",
        max_length: int = 5000,
        pooling: str | nn.Module | None = None,
    ) -> None:
        super().__init__()
        placing: dict[str, Any] = {"positions": positions, "max_length": max_length, "dropout": dropout}
        self.input = _Input(input_size, d_model, n_heads, **placing)
        options = {"dim_feedforward": dim_feedforward, "dropout": dropout, "activation": activation}
        options |= {"norm_first": norm_first, "batch_first": True}
        self.layers = nn.ModuleList(self._layer(d_model, n_heads, options) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.pooling = pooling_of(pooling)
        self.d_model = d_model
        self.causal = causal

    @property
    def output_size(self) -> int:
        """d_model, or what the pooling makes of it: what a decoder after this takes as `input_size`."""
        return pooled_size(self.pooling, self.d_model)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encoded rows (B, H) with a pooling, else (B, T, d_model), for x (B, T, input_size)."""
        hidden = self.input(x)  # (B, T, d_model)
        ahead = later_places(x) if self.causal else None  # (T, T)
        padding = padding_of(mask)  # (B, T)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=ahead, src_key_padding_mask=padding)
        encoded: torch.Tensor = self.norm(hidden)  # (B, T, d_model)
        if self.pooling is not None:
            pooled: torch.Tensor = self.pooling(encoded, mask)  # (B, H)
            return pooled
        return encoded if mask is None else encoded * mask[:, :, None]

    def _layer(self, d_model: int, n_heads: int, options: dict[str, Any]) -> nn.Module:
        """One layer, called as torch's are."""
        return nn.TransformerEncoderLayer(d_model, n_heads, **options)


class TransformerDecoder(_Layers):
    """Layers of attention to a sequence and to what it answers: (B, T, input_size) → (B, T, d_model).

    Args:
        memory_size: Size of the memory's vectors; `d_model` unless given. Another one is projected first.
        causal: A place sees only those before it, and itself.

    The other arguments are those of `TransformerEncoder`.

    Example:
        >>> decoder = TransformerDecoder(input_size=6, d_model=8, n_heads=2, n_layers=1)
        >>> decoder(torch.zeros(2, 4, 6), memory=torch.zeros(2, 3, 8)).shape
        torch.Size([2, 4, 8])
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        n_heads: int = 8,
        n_layers: int = 6,
        *,
        memory_size: int | None = None,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Literal["relu", "gelu"] = "relu",
        norm_first: bool = False,
        causal: bool = True,
        positions: Positions | None = "sinusoidal",
        max_length: int = 5000,
    ) -> None:
        super().__init__()
        placing: dict[str, Any] = {"positions": positions, "max_length": max_length, "dropout": dropout}
        self.input = _Input(input_size, d_model, n_heads, **placing)
        self.memory = _projection(memory_size or d_model, d_model)
        options = {"dim_feedforward": dim_feedforward, "dropout": dropout, "activation": activation}
        options |= {"norm_first": norm_first, "batch_first": True}
        self.layers = nn.ModuleList(self._layer(d_model, n_heads, options) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.output_size = d_model
        self.causal = causal

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor,
        mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Decoded places (B, T, d_model).

        Args:
            x: (B, T, input_size), the answer so far.
            memory: (B, S, memory_size), what an encoder made of the question.
            mask: (B, T), true where x has a token.
            memory_mask: (B, S), true where the memory has a token.
        """
        hidden, memory = self.input(x), self.memory(memory)  # (B, T, d_model), (B, S, d_model)
        ahead = later_places(x) if self.causal else None  # (T, T)
        padding, memory_padding = padding_of(mask), padding_of(memory_mask)
        for layer in self.layers:
            hidden = layer(
                hidden,
                memory,
                tgt_mask=ahead,
                tgt_key_padding_mask=padding,
                memory_key_padding_mask=memory_padding,
            )
        decoded: torch.Tensor = self.norm(hidden)  # (B, T, d_model)
        return decoded if mask is None else decoded * mask[:, :, None]

    def _layer(self, d_model: int, n_heads: int, options: dict[str, Any]) -> nn.Module:
        """One layer, called as torch's are."""
        return nn.TransformerDecoderLayer(d_model, n_heads, **options)


class EncoderDecoder(Module):
    """An encoder that reads a source, and a decoder that writes a target while it looks at that.

    Args:
        encoder: Source (B, S, …) and its mask to a memory (B, S, H).
        decoder: Target (B, T, …), memory, and the masks of both to (B, T, D).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def output_size(self) -> int:
        """D."""
        size: int = self.decoder.output_size  # type: ignore[assignment]  # of any module
        return size

    def change(self, path: str, value: Any) -> None:
        if path == "dropout":
            change(self.encoder, path, value)
            change(self.decoder, path, value)
        else:
            super().change(path, value)

    def forward(
        self,
        source: torch.Tensor,
        target: torch.Tensor,
        source_mask: torch.Tensor | None = None,
        target_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Decoded places (B, T, d_model); the place t of the target sees its places up to t.

        Args:
            source: (B, S, input_size).
            target: (B, T, target_size).
            source_mask: (B, S), true where the source has a token.
            target_mask: (B, T), true where the target has a token.
        """
        memory = self.encoder(source, source_mask)  # (B, S, d_model)
        decoded: torch.Tensor = self.decoder(target, memory, target_mask, source_mask)  # (B, T, d_model)
        return decoded


class Transformer(EncoderDecoder):
    """An encoder and a decoder: source (B, S, input_size) and target (B, T, target_size) → (B, T, d_model).

    Args:
        target_size: Size of the target's vectors; the source's unless given.
        n_encoder_layers: Layers that read the source.
        n_decoder_layers: Layers that write the target.

    The other arguments are those of `TransformerEncoder`, for both.

    Example:
        >>> model = Transformer(6, 8, n_heads=2, n_encoder_layers=1, n_decoder_layers=1)
        >>> model(torch.zeros(2, 4, 6), torch.zeros(2, 3, 6)).shape
        torch.Size([2, 3, 8])
    """

    def __init__(
        self,
        input_size: int = 512,
        d_model: int = 512,
        n_heads: int = 8,
        n_encoder_layers: int = 6,
        n_decoder_layers: int = 6,
        *,
        target_size: int | None = None,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Literal["relu", "gelu"] = "relu",
        norm_first: bool = False,
        positions: Positions | None = "sinusoidal",
        max_length: int = 5000,
    ) -> None:
        options: dict[str, Any] = {
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "activation": activation,
            "norm_first": norm_first,
            "positions": positions,
            "max_length": max_length,
        }
        super().__init__(
            TransformerEncoder(input_size, d_model, n_heads, n_encoder_layers, **options),
            TransformerDecoder(target_size or input_size, d_model, n_heads, n_decoder_layers, **options),
        )


class _Input(nn.Module):
    """The input in the layers' size, with positions."""

    def __init__(
        self,
        input_size: int,
        d_model: int,
        n_heads: int,
        *,
        positions: Positions | None,
        max_length: int,
        dropout: float,
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model must be a multiple of n_heads, but {d_model} is none of {n_heads}")
        self.projection = _projection(input_size, d_model)
        self.positions = positions_of(positions, d_model, max_length)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, d_model) for x (B, T, input_size)."""
        placed: torch.Tensor = self.dropout(self.positions(self.projection(x)))  # (B, T, d_model)
        return placed


def _projection(size: int, d_model: int) -> nn.Module:
    return nn.Identity() if size == d_model else nn.Linear(size, d_model)


def later_places(x: torch.Tensor) -> torch.Tensor:
    """(T, T) for x (B, T, E): true where the second place comes after the first, and must not be seen."""
    places = torch.arange(x.shape[1], device=x.device)
    return places[None, :] > places[:, None]


def padding_of(mask: torch.Tensor | None) -> torch.Tensor | None:
    """(B, T), true where there is no token, as torch's layers ask for it.

    A row without tokens attends to its first place: attention to nothing is not a number.
    """
    if mask is None:
        return None
    empty = ~mask.any(dim=1)  # (B,)
    padding = ~mask
    padding[:, 0] &= ~empty
    return padding
