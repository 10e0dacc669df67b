"""Pretrained transformers as modules: embeddings and encoder apart, or the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from flambe_nlp.pretrained.architecture import (
    embeddings_part,
    layers_of,
    layers_part,
    positions_of,
    set_dropout,
    whole,
)
from flambe_nlp.pretrained.source import Source, config_of, settings_of
from flambe_torch.nn import Module, pooled_size, pooling_of
from flambe_torch.predicting import evaluating

POOLER = "pooler"
DEFAULT_POOLING = "mean"


class _Pretrained(Module):
    """What the parts of a pretrained model have in common: their config, and whether they learn."""

    config: Any
    alias: str | None
    freeze: bool
    _name: str  # of the module that is pretrained
    _positions: int | None  # how many tokens it has positions for

    def _begin(
        self, alias: str | None, config: Mapping[str, Any] | None, dropout: float | None, freeze: bool
    ) -> Source | None:
        """Sets what the part knows; returns where its weights are, or None where there are none to read."""
        if dropout is not None and not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be from 0 to 1, but it is {dropout}")
        source = None
        if config is not None:
            self.config = config_of(config)
        elif alias is not None:
            source = Source(alias)
            self.config = deepcopy(source.config())
        else:
            raise ValueError(f"{type(self).__name__} needs the alias of a pretrained model, or its config")
        self.alias, self.freeze = alias, freeze
        if dropout is not None:
            set_dropout(self.config, dropout)
        return source

    def _keep(self, name: str, part: nn.Module) -> None:
        """Holds what is pretrained under that name, frozen if it is to be."""
        self._name = name
        self._positions = positions_of(part, self.config)
        self.add_module(name, part.requires_grad_(not self.freeze))
        self.train()

    def saved_arguments(self) -> Mapping[str, Any]:
        """The config: a loaded copy takes its weights from the save and needs no pretrained model."""
        return {"config": settings_of(self.config)}

    def train(self, mode: bool = True) -> Any:
        """Training mode, but for what is pretrained and frozen, which stays in evaluation mode."""
        super().train(mode)
        if self.freeze:
            self.get_submodule(self._name).train(False)
        return self

    def _check_length(self, length: int) -> None:
        if self._positions is not None and length > self._positions:
            raise ValueError(
                f"a text has {length} tokens, but {self.config.model_type} has positions for "
                f"{self._positions}: give the text field max_len={self._positions} or less"
            )

    @property
    def hidden_size(self) -> int:
        """H, the size of the vectors that the whole model gives."""
        return int(self.config.hidden_size)


class _TakesTokens(_Pretrained):
    """A part that takes tokens, and knows which of them pads."""

    _pad_index: int | None

    def _set_padding(self, pad_index: int | None, source: Source | None) -> None:
        """Sets what pads: what is given, else what the tokenizer has, else what the config has.

        The config stays as it is, as RoBERTa's family counts positions from the number in it.
        """
        if pad_index is None and source is not None:
            pad_index = source.pad_index()
        self._pad_index = self.config.pad_token_id if pad_index is None else pad_index

    def saved_arguments(self) -> Mapping[str, Any]:
        """The config and the number that pads: a loaded copy needs neither the model nor its tokenizer."""
        return {**super().saved_arguments(), "pad_index": self._pad_index}

    @property
    def padding_idx(self) -> int | None:
        """The number of the token that pads."""
        return self._pad_index


class PretrainedTransformerEmbeddings(_TakesTokens):
    """The embeddings of a pretrained transformer: tokens (B, T) → (B, T, E).

    Words, positions and token types (all 0) are looked up, added and normalised as the model does; E is
    `output_size`. What takes them is the `PretrainedTransformerEncoder` of the same alias. Each of the two
    reads its own weights alone, and every object has weights of its own.

    Args:
        alias: A model's folder, `package:NAME/FOLDER`, or its name on the hub.
        config: The model's settings, as in its `config.json`. With them no pretrained weights are read:
            weights are new, or come from a save, which holds the settings for that purpose.
        dropout: Share of entries zeroed in training; the model's own unless given.
        freeze: Neither train the pretrained weights nor drop anything out among them.
        pad_index: The number of the token that pads; unless given, the tokenizer's, else that of the config.

    Raises:
        MissingDataError: The alias leads to no model.
        ValueError: A type of model that is not taken apart; `PretrainedTransformerEmbedder` is for those.

    Example:
        >>> config = {"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_attention_heads": 2}
        >>> embeddings = PretrainedTransformerEmbeddings(config=config)
        >>> embeddings(torch.tensor([[3, 1, 2, 0]])).shape
        torch.Size([1, 4, 4])
    """

    embeddings: nn.Module

    def __init__(
        self,
        alias: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        dropout: float | None = None,
        freeze: bool = False,
        pad_index: int | None = None,
    ) -> None:
        super().__init__()
        source = self._begin(alias, config, dropout, freeze)
        self._set_padding(pad_index, source)
        self._keep("embeddings", embeddings_part(self.config, source))

    @classmethod
    def from_alias(
        cls,
        alias: str,
        *,
        config: Mapping[str, Any] | None = None,
        dropout: float | None = None,
        freeze: bool = False,
        pad_index: int | None = None,
    ) -> PretrainedTransformerEmbeddings:
        """The embeddings of the model that `alias` names; the same as the class itself with an alias."""
        return cls(alias, config=config, dropout=dropout, freeze=freeze, pad_index=pad_index)

    @property
    def output_size(self) -> int:
        """E; for some models (ALBERT, ELECTRA) it is smaller than H."""
        device = next(self.parameters()).device
        with torch.no_grad(), evaluating(self.embeddings):
            vectors = self.embeddings(input_ids=torch.zeros(1, 1, dtype=torch.long, device=device))
        return int(vectors.shape[-1])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Vectors (B, T, E) for tokens (B, T).

        Raises:
            ValueError: There are more tokens than the model has positions for.
        """
        self._check_length(tokens.shape[1])
        vectors: torch.Tensor = self.embeddings(input_ids=tokens)  # (B, T, E)
        return vectors


class _Pooled(_Pretrained):
    """What the encoder and the whole model have in common: layers that may be frozen, and a pooling."""

    default_pooling = DEFAULT_POOLING
    model: nn.Module

    def __init__(
        self,
        alias: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        pooling: str | nn.Module | None = None,
        dropout: float | None = None,
        freeze: bool = False,
        n_frozen_layers: int = 0,
    ) -> None:
        super().__init__()
        source = self._begin(alias, config, dropout, freeze)
        self._own_pooler = pooling == POOLER
        self._keep("model", self._made(source, pooler=self._own_pooler))
        self.pooling = None if self._own_pooler else pooling_of(pooling)
        _freeze_first(self.model, self.config, n_frozen_layers)

    @property
    def output_size(self) -> int:
        """H, or what the pooling makes of it: what a decoder after this takes as `input_size`."""
        return pooled_size(self.pooling, self.hidden_size)

    def _made(self, source: Source | None, *, pooler: bool) -> nn.Module:
        """The part of the model, with its pretrained weights, or new ones without a source."""
        raise NotImplementedError


class PretrainedTransformerEncoder(_Pooled):
    """The layers of a pretrained transformer: (B, T, E) → (B, T, H), or (B, H) with a pooling.

    Args:
        alias: A model's folder, `package:NAME/FOLDER`, or its name on the hub.
        config: The model's settings, instead of its pretrained weights; see
            `PretrainedTransformerEmbeddings`.
        pooling: `mean`, `first` (the token that BERT's family calls CLS), `last`, `max`, `sum`, `pooler` (the
            model's own, first token and a trained layer), a module (B, T, H), mask → (B, H), or none.
            Where there is none, `TextClassifier` takes the mean.
        dropout: Share of entries zeroed in training, everywhere; the model's own unless given.
        freeze: Neither train the pretrained weights nor drop anything out among them.
        n_frozen_layers: The first layers, so many, are not trained. Their embeddings are frozen by
            `freeze` of their own.

    Raises:
        MissingDataError: The alias leads to no model.
        ValueError: A type of model that is not taken apart; `PretrainedTransformerEmbedder` is for those.

    Example:
        >>> config = {"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_attention_heads": 2}
        >>> encoder = PretrainedTransformerEncoder(config=config, pooling="mean")
        >>> encoder(torch.zeros(2, 3, 4), torch.tensor([[True] * 3, [True, False, False]])).shape
        torch.Size([2, 4])
    """

    @classmethod
    def from_alias(
        cls,
        alias: str,
        *,
        config: Mapping[str, Any] | None = None,
        pooling: str | nn.Module | None = None,
        dropout: float | None = None,
        freeze: bool = False,
        n_frozen_layers: int = 0,
    ) -> PretrainedTransformerEncoder:
        """The encoder of the model that `alias` names; the same as the class itself with an alias."""
        return cls(
            alias,
            config=config,
            pooling=pooling,
            dropout=dropout,
            freeze=freeze,
            n_frozen_layers=n_frozen_layers,
        )

    def _made(self, source: Source | None, *, pooler: bool) -> nn.Module:
        return layers_part(self.config, source, pooler=pooler)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Encoded rows (B, H) with a pooling, else (B, T, H), for x (B, T, E)."""
        self._check_length(x.shape[1])
        output = self.model(inputs_embeds=x, attention_mask=_attended(mask))
        return _pooled(output, mask, self.pooling, own_pooler=self._own_pooler)


class PretrainedTransformerEmbedder(_TakesTokens, _Pooled):
    """A whole pretrained transformer, of any type: tokens (B, T) → (B, T, H), or (B, H) with a pooling.

    As the `embedding` of a `TextClassifier` it needs no encoder after it.

    Padding does not change a row, but for types that mix neighbours or all tokens without a mask: CANINE,
    ConvBERT, FNet, Funnel, MobileBERT and Nyströmformer. A row of these depends on how far it is padded.

    Args:
        alias: A model's folder, `package:NAME/FOLDER`, or its name on the hub.
        config: The model's settings, instead of its pretrained weights; see
            `PretrainedTransformerEmbeddings`.
        pooling: As for `PretrainedTransformerEncoder`.
        dropout: Share of entries zeroed in training, everywhere; the model's own unless given.
        freeze: Neither train the pretrained weights nor drop anything out among them.
        n_frozen_layers: The first layers, so many, are not trained.
        pad_index: The number of the token that pads; unless given, the tokenizer's, else that of the config.

    Raises:
        MissingDataError: The alias leads to no model.

    Example:
        >>> config = {"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_attention_heads": 2}
        >>> PretrainedTransformerEmbedder(config=config)(torch.tensor([[3, 1, 2, 0]])).shape
        torch.Size([1, 4, 4])
    """

    def __init__(
        self,
        alias: str | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        pooling: str | nn.Module | None = None,
        dropout: float | None = None,
        freeze: bool = False,
        n_frozen_layers: int = 0,
        pad_index: int | None = None,
    ) -> None:
        super().__init__(
            alias,
            config=config,
            pooling=pooling,
            dropout=dropout,
            freeze=freeze,
            n_frozen_layers=n_frozen_layers,
        )
        self._set_padding(pad_index, Source(alias) if alias is not None and config is None else None)

    @classmethod
    def from_alias(
        cls,
        alias: str,
        *,
        config: Mapping[str, Any] | None = None,
        pooling: str | nn.Module | None = None,
        dropout: float | None = None,
        freeze: bool = False,
        n_frozen_layers: int = 0,
        pad_index: int | None = None,
    ) -> PretrainedTransformerEmbedder:
        """The model that `alias` names; the same as the class itself with an alias."""
        return cls(
            alias,
            config=config,
            pooling=pooling,
            dropout=dropout,
            freeze=freeze,
            n_frozen_layers=n_frozen_layers,
            pad_index=pad_index,
        )

    def _made(self, source: Source | None, *, pooler: bool) -> nn.Module:
        return whole(self.config, source, pooler=pooler)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors (B, H) with a pooling, else (B, T, H); what is no padding is attended to unless told.

        Raises:
            ValueError: There are more tokens than the model has positions for.
        """
        self._check_length(tokens.shape[1])
        if mask is None and self.padding_idx is not None:
            mask = tokens != self.padding_idx  # (B, T)
        output = self.model(input_ids=tokens, attention_mask=_attended(mask))
        return _pooled(output, mask, self.pooling, own_pooler=self._own_pooler)


def _attended(mask: torch.Tensor | None) -> torch.Tensor | None:
    """What may be attended to (B, T) int64; of a row without tokens the first place, as softmax needs one."""
    if mask is None:
        return None
    attended = mask.long()
    attended[:, 0] |= ~mask.any(dim=1)
    return attended


def _pooled(
    output: Any, mask: torch.Tensor | None, pooling: nn.Module | None, *, own_pooler: bool
) -> torch.Tensor:
    vectors: torch.Tensor = output.last_hidden_state  # (B, T, H)
    if own_pooler:
        vectors = output.pooler_output  # (B, H)
    elif mask is not None and mask.shape != vectors.shape[:2]:
        raise ValueError(
            f"the model gives {vectors.shape[1]} vectors for {mask.shape[1]} tokens; it must give one each"
        )
    elif pooling is not None:
        vectors = pooling(vectors, mask)  # (B, H)
    elif mask is not None:
        vectors = vectors * mask[:, :, None]
    return vectors


def _freeze_first(model: nn.Module, config: Any, count: int) -> None:
    if count:
        layers = layers_of(model, config)
        if not 0 <= count <= len(layers):
            raise ValueError(f"n_frozen_layers is {count}, but the model has {len(layers)} layers")
        layers[:count].requires_grad_(False)


BERTEmbeddings = PretrainedTransformerEmbeddings
BERTEncoder = PretrainedTransformerEncoder
