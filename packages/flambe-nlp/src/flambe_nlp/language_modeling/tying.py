"""Tied weights: a decoder's last layer that uses the weights of the embedding."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class TiedLinear(nn.Module):
    """A linear layer with an embedding's weights (V, E): (…, E) → (…, V).

    The embedding holds them: they are counted, moved and saved there and only there, whatever is done to the
    modules. The bias is that of `linear`, whose place this layer takes.
    """

    bias: nn.Parameter | None

    def __init__(self, linear: nn.Linear, embedding: nn.Embedding) -> None:
        super().__init__()
        self.register_parameter("bias", linear.bias)
        self.__dict__["embedding"] = embedding  # past torch, which would make it a submodule

    @property
    def weight(self) -> torch.Tensor:
        """The embedding's weights (V, E)."""
        embedding: nn.Embedding = self.__dict__["embedding"]
        return embedding.weight

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Scores (…, V) for h (…, E)."""
        return functional.linear(h, self.weight, self.bias)


def tie(embedding: nn.Module, decoder: nn.Module) -> None:
    """Let the last linear layer of `decoder` use the weights of the embedding inside `embedding`.

    Raises:
        ValueError: Their shapes differ, or there is no such layer.
    """
    name, linear = last_linear(decoder)
    if not name:
        raise ValueError("tie_weights needs a decoder with a linear layer in it, such as SoftmaxDecoder")
    tables = [module for module in embedding.modules() if isinstance(module, nn.Embedding)]
    fitting = [table for table in tables if table.weight.shape == linear.weight.shape]
    if not fitting:
        shapes = ", ".join(str(tuple(table.weight.shape)) for table in tables) or "none"
        wanted = f"({linear.out_features}, {linear.in_features})"
        raise ValueError(
            f"tie_weights needs an embedding of the shape of the decoder's last weights, {wanted}, but there "
            f"is {shapes}; give the encoder (or the decoder's hidden_size) the embedding's size"
        )
    parent, _, own = name.rpartition(".")
    setattr(decoder.get_submodule(parent), own, TiedLinear(linear, fitting[0]))


def last_linear(decoder: nn.Module) -> tuple[str, nn.Linear]:
    """The name and the last of the decoder's linear layers.

    Raises:
        ValueError: It has none.
    """
    found = [(name, module) for name, module in decoder.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"the decoder, a {type(decoder).__name__}, has no linear layer")
    return found[-1]
