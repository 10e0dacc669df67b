"""`Module` and `Model`: torch modules that are known by tag, linkable and saved part by part."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flambe.component import Component
from flambe_torch.changing import change_argument


class Module(Component, nn.Module):
    """A `torch.nn.Module` that is a Flambé `Component`.

    Dropouts that it holds as modules under the names of arguments may change while it trains, and numbers
    that its class names in an attribute `changeable`; a subclass with more overrides `change`.

    Example:
        >>> class Scale(Module):
        ...     def __init__(self, size: int) -> None:
        ...         super().__init__()
        ...         self.factor = nn.Parameter(torch.ones(size))
        >>> Scale(3).num_parameters()
        3
    """

    def change(self, path: str, value: Any) -> None:
        """Go on with a new value of an argument, of this module or one inside it.

        Raises:
            CannotChangeError: it may not change, or not to this value.
        """
        change_argument(self, path, value)

    @property
    def params(self) -> list[nn.Parameter]:
        """All parameters, as an optimizer takes them."""
        return list(self.parameters())

    @property
    def trainable_params(self) -> list[nn.Parameter]:
        """The parameters that require a gradient."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @property
    def named_trainable_params(self) -> list[tuple[str, nn.Parameter]]:
        """The parameters that require a gradient, with their names."""
        return [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    def num_parameters(self, *, trainable: bool = False) -> int:
        """How many numbers the parameters hold; with `trainable`, those that require a gradient."""
        return sum(p.numel() for p in (self.trainable_params if trainable else self.params))

    @property
    def gradient_norm(self) -> torch.Tensor:
        """The 2-norm of all gradients together, 0-d."""
        return _norm([p.grad.detach() for p in self.parameters() if p.grad is not None])

    @property
    def parameter_norm(self) -> torch.Tensor:
        """The 2-norm of all parameters together, 0-d."""
        return _norm([p.detach() for p in self.parameters()])

    def clip_params(self, threshold: float) -> None:
        """Clamp each parameter into [-threshold, threshold], in place."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.clamp_(-threshold, threshold)

    def clip_gradient_norm(self, threshold: float) -> torch.Tensor:
        """Scale the gradients so that their norm is at most `threshold`; returns the norm before, 0-d."""
        return nn.utils.clip_grad_norm_(self.parameters(), threshold)


class Model(Module):
    """A module that a `Trainer` can train.

    `forward` takes the columns of a batch but the last, which is the target, and returns predictions:
    what `loss_fn(predictions, target)` and the metrics expect. Where they expect another form, the model
    also has `for_loss(predictions, target)`, which returns both in it.
    """

    def forward(self, *inputs: Any) -> torch.Tensor:
        """Predictions for a batch; to be overridden."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")


def _norm(tensors: list[torch.Tensor]) -> torch.Tensor:
    if not tensors:
        return torch.zeros(())
    norms = torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors])
    total: torch.Tensor = torch.linalg.vector_norm(norms)
    return total
