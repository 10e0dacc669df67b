"""Copies of a model's weights, as of its best step."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeAlias

import torch
from torch import nn

Weights: TypeAlias = dict[str, Any]
"""A model's `state_dict`: tensors, and the extra state of modules that have some."""


def copied(model: nn.Module, into: Weights | None = None) -> Weights:
    """A copy of the model's state; into the tensors of an earlier copy, if they fit."""
    state = model.state_dict()
    if into is None or into.keys() != state.keys():
        into = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):  # what a module's get_extra_state() returns
            into[name] = deepcopy(value)
        elif name in into:
            into[name].copy_(value.detach())
        else:
            into[name] = value.detach().clone()
    return into
