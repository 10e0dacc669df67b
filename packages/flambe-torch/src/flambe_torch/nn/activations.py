"""Activations by name."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

ACTIVATIONS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "silu": nn.SiLU,
        "elu": nn.ELU,
        "selu": nn.SELU,
        "leaky_relu": nn.LeakyReLU,
        "softplus": nn.Softplus,
        "identity": nn.Identity,
    }
)


def activation_of(activation: str | nn.Module | None) -> nn.Module:
    """The activation of that name; a module as it is; the identity for None.

    Raises:
        ValueError: no activation has that name.
    """
    if activation is None:
        return nn.Identity()
    if not isinstance(activation, str):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(f"no activation is called {activation!r}; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[activation]()


def one_for_each(module: nn.Module, count: int) -> nn.ModuleList:
    """`module` and copies of it: one for each of `count` layers, so that none share what they learn."""
    return nn.ModuleList(module if layer == 0 else copy.deepcopy(module) for layer in range(count))
