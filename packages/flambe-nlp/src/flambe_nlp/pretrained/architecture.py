"""A pretrained transformer taken apart: its embeddings, and the layers after them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from torch import nn

from flambe_nlp.pretrained.source import Source, quietly

SPLIT = frozenset(
    {"albert", "bert", "camembert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra"}
    | {"ernie", "megatron-bert", "modernbert", "mpnet", "rembert", "roberta", "roformer", "xlm-roberta"}
)
"""The types of model that are taken apart: a test compares the two parts with the whole of each."""

DROPOUTS = frozenset(
    {"hidden_dropout_prob", "attention_probs_dropout_prob", "embedding_dropout", "attention_dropout"}
    | {"mlp_dropout", "dropout", "dropout_rate", "activation_dropout", "pooler_dropout", "attn_pdrop"}
    | {"embd_pdrop", "resid_pdrop", "summary_last_dropout"}
)
"""How configs name the shares that are zeroed inside the model."""

POSITIONS = frozenset(
    {"embed_positions", "position_embedding", "position_embeddings", "positions_embed", "wpe"}
)
"""How models name the table of the positions that they know."""


class GivenEmbeddings(nn.Module):
    """Stands where a model has its embeddings, and hands on those that the model is given."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The one argument that is a tensor (B, T, E); masks have other shapes."""
        given = (value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
        return next(value for value in given if value.ndim == 3)


def embeddings_part(config: Any, source: Source | None) -> nn.Module:
    """The embeddings: called with tokens (B, T), gives (B, T, E). Reads the weights of no other part."""
    _check_split(config)

    def keep(model: nn.Module) -> None:
        for name, _ in list(model.named_children()):
            if name != "embeddings":
                setattr(model, name, nn.Identity())

    return cast(nn.Module, _made(config, source, keep).embeddings)


def layers_part(config: Any, source: Source | None, *, pooler: bool = False) -> nn.Module:
    """The model without its embeddings: called with `inputs_embeds` (B, T, E). Reads no embeddings' weights.

    Its own pooler is left out unless asked for.
    """
    _check_split(config)

    def keep(model: nn.Module) -> None:
        model.embeddings = GivenEmbeddings()
        _leave_out_pooler(model, pooler)

    return _made(config, source, keep)


def whole(config: Any, source: Source | None, *, pooler: bool = False) -> nn.Module:
    """The whole model, of any type; of an encoder-decoder, the encoder."""
    model = _made(config, source, lambda model: _leave_out_pooler(model, pooler))
    if getattr(config, "is_encoder_decoder", False):
        encoder: nn.Module = cast(Any, model).get_encoder()
        return encoder
    return model


def set_dropout(config: Any, dropout: float) -> None:
    """Zero this share everywhere in the model that `config` describes."""
    for name in DROPOUTS:
        if isinstance(getattr(config, name, None), int | float):
            setattr(config, name, dropout)


def layers_of(model: nn.Module, config: Any) -> nn.ModuleList:
    """The model's layers, first to last.

    Raises:
        ValueError: The layers share their weights.
    """
    count = config.num_hidden_layers
    lists = (m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
    found = next(lists, None)
    if found is None:
        raise ValueError(f"the {count} layers of {config.model_type} cannot be told apart to freeze some")
    return found


def positions_of(model: nn.Module, config: Any) -> int | None:
    """How many tokens there are positions for in a model or part; None where positions have no end."""
    stated = getattr(config, "max_position_embeddings", None)
    named = (part for name, part in model.named_modules() if name.rpartition(".")[2] in POSITIONS)
    table = next((part for part in named if isinstance(getattr(part, "weight", None), torch.Tensor)), None)
    if table is None or stated is None:
        return None
    most = len(cast(torch.Tensor, table.weight))
    padding = getattr(table, "padding_idx", None)
    if padding is not None:  # as in RoBERTa, whose first token has the position after that of padding
        most -= int(padding) + 1
    return min(most, int(stated))  # some tables (BART's) have spare rows


def positions_for(config: Any) -> int | None:
    """`positions_of` the whole model that `config` describes, of which no weights are made."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = whole(deepcopy(config), None)
    except (ValueError, ImportError):
        return None  # its tokenizer may still serve a model that is made elsewhere
    return positions_of(model, config)


def _made(config: Any, source: Source | None, keep: Callable[[nn.Module], None]) -> nn.Module:
    """The model that is left after `keep`, with its pretrained weights, or new ones without a source."""
    cls = _class_of(config)
    if source is None:
        with quietly():
            model: nn.Module = cls(config)
        keep(model)
        return model

    class Kept(cls):  # type: ignore[misc, valid-type]  # a class that is only known now
        def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(config, *args, **kwargs)
            keep(self)

    Kept.__name__, Kept.__module__ = cls.__name__, cls.__module__
    model = source.model(Kept, config)
    model.__class__ = cls  # a class that can be found by name when the model is pickled
    return model


def _class_of(config: Any) -> Any:
    """The class of the model; where a type has several, the one that the config names, else the first."""
    from transformers import MODEL_MAPPING

    try:
        found = MODEL_MAPPING[type(config)]
    except KeyError:
        raise ValueError(f"{config.model_type} is no model that turns tokens into vectors") from None
    if isinstance(found, tuple):
        named = config.architectures or ()
        return next((cls for cls in found if cls.__name__ in named), found[0])
    return found


def _leave_out_pooler(model: nn.Module, wanted: bool) -> None:
    has_one = isinstance(getattr(model, "pooler", None), nn.Module)
    if has_one and not wanted:
        model.pooler = nn.Identity()  # some models (SqueezeBERT) call it without a look whether it is there
    if wanted and not has_one:
        raise ValueError(f"{type(model).__name__} has no pooler of its own; choose pooling: mean or first")


def _check_split(config: Any) -> None:
    if config.model_type not in SPLIT:
        raise ValueError(
            f"models of type {config.model_type!r} are not taken apart into embeddings and encoder (only "
            f"{', '.join(sorted(SPLIT))}); use PretrainedTransformerEmbedder, the whole model, as embedding"
        )
