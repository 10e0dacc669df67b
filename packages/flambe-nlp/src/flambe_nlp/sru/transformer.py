"""`TransformerSRU`: transformers whose layers read in order, by simple recurrent units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from flambe_nlp.sru.module import SRUEncoder
from flambe_torch.nn.positions import Positions
from flambe_torch.nn.transformer import EncoderDecoder, TransformerDecoder, TransformerEncoder


class TransformerSRUEncoder(TransformerEncoder):
    """`TransformerEncoder` with an SRU as the first part of each layer's feed-forward network.

    (B, T, input_size) → (B, T, d_model), or (B, d_model) with a pooling. The SRU sees the order of the
    places, so no positions are added unless asked for.

    Args:
        dim_feedforward: Units of the SRU, in each direction.
        bidirectional: Whether the SRU reads backwards too; not with `causal`.
        sru_dropout: Share of the SRU's input zeroed in training, for all places of a sequence alike.
        sru_options: Further arguments of `SRU`, such as `layer_norm`; there is no skip term unless said.

    The other arguments are those of `TransformerEncoder`.

    Source: Lei, Zhang, Wang, Dai and Artzi, "Simple Recurrent Units for Highly Parallelizable Recurrence",
    EMNLP 2018, the model for machine translation.

    Example:
        >>> encoder = TransformerSRUEncoder(6, 8, n_heads=2, n_layers=1, dim_feedforward=5)
        >>> encoder(torch.zeros(2, 4, 6)).shape
        torch.Size([2, 4, 8])
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
        sru_dropout: float = 0.0,
        bidirectional: bool = False,
        norm_first: bool = False,
        causal: bool = False,
        positions: Positions | None = None,
        max_length: int = 5000,
        pooling: str | nn.Module | None = None,
        sru_options: Mapping[str, Any] | None = None,
    ) -> None:
        if causal and bidirectional:
            raise ValueError("a causal encoder cannot be bidirectional: it would see what comes later")
        self._sru = {"bidirectional": bidirectional, "rnn_dropout": sru_dropout, **(sru_options or {})}
        super().__init__(
            input_size,
            d_model,
            n_heads,
            n_layers,
            dim_feedforward=dim_feedforward,
            dropout=dropout,
            norm_first=norm_first,
            causal=causal,
            positions=positions,
            max_length=max_length,
            pooling=pooling,
        )

    def _layer(self, d_model: int, n_heads: int, options: dict[str, Any]) -> nn.Module:
        return _EncoderLayer(d_model, n_heads, options, self._sru)


class TransformerSRUDecoder(TransformerDecoder):
    """`TransformerDecoder` with an SRU as the first part of each layer's feed-forward network.

    The arguments are those of `TransformerDecoder` and `TransformerSRUEncoder`.

    Example:
        >>> decoder = TransformerSRUDecoder(6, 8, n_heads=2, n_layers=1, dim_feedforward=5)
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
        sru_dropout: float = 0.0,
        norm_first: bool = False,
        positions: Positions | None = None,
        max_length: int = 5000,
        sru_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._sru = {"rnn_dropout": sru_dropout, **(sru_options or {})}
        super().__init__(
            input_size,
            d_model,
            n_heads,
            n_layers,
            memory_size=memory_size,
            dim_feedforward=dim_feedforward,
            dropout=dropout,
            norm_first=norm_first,
            positions=positions,
            max_length=max_length,
        )

    def _layer(self, d_model: int, n_heads: int, options: dict[str, Any]) -> nn.Module:
        return _DecoderLayer(d_model, n_heads, options, self._sru)


class TransformerSRU(EncoderDecoder):
    """`Transformer` with an SRU in each layer: source (B, S, …) and target (B, T, …) → (B, T, d_model).

    `bidirectional` is of the encoder alone. The arguments are those of `Transformer` and
    `TransformerSRUEncoder`.

    Example:
        >>> model = TransformerSRU(6, 8, 2, 1, 1, dim_feedforward=5)
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
        sru_dropout: float = 0.0,
        bidirectional: bool = False,
        norm_first: bool = False,
        positions: Positions | None = None,
        max_length: int = 5000,
        sru_options: Mapping[str, Any] | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "sru_dropout": sru_dropout,
            "norm_first": norm_first,
            "positions": positions,
            "max_length": max_length,
            "sru_options": sru_options,
        }
        sizes = d_model, n_heads
        super().__init__(
            TransformerSRUEncoder(
                input_size, *sizes, n_encoder_layers, bidirectional=bidirectional, **options
            ),
            TransformerSRUDecoder(target_size or input_size, *sizes, n_decoder_layers, **options),
        )


class _Layer(nn.Module):
    """What the layers of encoder and decoder share: parts, each with a norm, dropout and its input added."""

    def __init__(
        self, d_model: int, n_heads: int, options: Mapping[str, Any], sru: Mapping[str, Any], n_parts: int
    ) -> None:
        super().__init__()
        self._dropout = float(options["dropout"])
        self.norm_first = bool(options["norm_first"])
        self.self_attn = self._attention(d_model, n_heads)
        self.sru = SRUEncoder(d_model, options["dim_feedforward"], **{"has_skip_term": False, **sru})
        self.linear2 = nn.Linear(self.sru.output_size, d_model)
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in range(n_parts))
        self.dropout = nn.Dropout(self._dropout)

    def _attention(self, d_model: int, n_heads: int) -> nn.MultiheadAttention:
        return nn.MultiheadAttention(d_model, n_heads, dropout=self._dropout, batch_first=True)

    def _enter(self, x: torch.Tensor, part: int) -> torch.Tensor:
        normalized: torch.Tensor = self.norms[part](x) if self.norm_first else x
        return normalized

    def _leave(self, x: torch.Tensor, change: torch.Tensor, part: int) -> torch.Tensor:
        added: torch.Tensor = x + self.dropout(change)
        return added if self.norm_first else self.norms[part](added)

    def _attend_to_itself(
        self, x: torch.Tensor, ahead: torch.Tensor | None, padding: torch.Tensor | None
    ) -> torch.Tensor:
        inside = self._enter(x, 0)  # (B, T, d_model)
        change, _ = self.self_attn(
            inside, inside, inside, key_padding_mask=padding, attn_mask=ahead, need_weights=False
        )
        return self._leave(x, change, 0)

    def _read(self, x: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        last = len(self.norms) - 1
        states = self.sru(self._enter(x, last), None if padding is None else ~padding)  # (B, T, units)
        return self._leave(x, self.linear2(self.dropout(states)), last)


class _EncoderLayer(_Layer):
    def __init__(
        self, d_model: int, n_heads: int, options: Mapping[str, Any], sru: Mapping[str, Any]
    ) -> None:
        super().__init__(d_model, n_heads, options, sru, 2)

    def forward(
        self, x: torch.Tensor, *, src_mask: torch.Tensor | None, src_key_padding_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """As torch's `TransformerEncoderLayer`: (B, T, d_model)."""
        return self._read(self._attend_to_itself(x, src_mask, src_key_padding_mask), src_key_padding_mask)


class _DecoderLayer(_Layer):
    def __init__(
        self, d_model: int, n_heads: int, options: Mapping[str, Any], sru: Mapping[str, Any]
    ) -> None:
        super().__init__(d_model, n_heads, options, sru, 3)
        self.multihead_attn = self._attention(d_model, n_heads)

    def forward(
        self,
        x: torch.Tensor,
        memory: torch.Tensor,
        *,
        tgt_mask: torch.Tensor | None,
        tgt_key_padding_mask: torch.Tensor | None,
        memory_key_padding_mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """As torch's `TransformerDecoderLayer`: (B, T, d_model)."""
        x = self._attend_to_itself(x, tgt_mask, tgt_key_padding_mask)
        change, _ = self.multihead_attn(
            self._enter(x, 1), memory, memory, key_padding_mask=memory_key_padding_mask, need_weights=False
        )
        return self._read(self._leave(x, change, 1), tgt_key_padding_mask)
