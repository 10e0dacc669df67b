"""Losses for rows with several labels, over a distribution of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch

from flambe_torch.nn.module import Module

Reduction = Literal["mean", "sum", "none"]


class MultiLabelNLLLoss(Module):
    """How surprising a row's labels are, each counted alike: (N, L) log-probabilities and (N, L) labels.

    The loss of a row with the labels S is -1/|S| Σ_{l in S} weight_l · log p_l; of a row without labels, 0.

    Args:
        weight: Of each label, (L,); 1 unless given.
        ignore_index: A label that is not counted.
        reduction: `mean` or `sum` over the rows, or `none`: (N,).

    Example:
        >>> loss = MultiLabelNLLLoss()
        >>> float(loss(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[1, 0, 0]])).exp())
        2.0
    """

    lower_is_better: ClassVar[bool] = True
    weight: torch.Tensor | None

    def __init__(
        self,
        weight: Sequence[float] | torch.Tensor | None = None,
        ignore_index: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction must be 'mean', 'sum' or 'none', but it is {reduction!r}")
        self.register_buffer("weight", None if weight is None else torch.as_tensor(weight), persistent=False)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, predictions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, 0-d or (N,), of log-probabilities (N, L) and labels (N, L), 1 where one holds.

        Classes (N,) are taken as one label each.
        """
        if target.ndim == predictions.ndim - 1:
            target = torch.nn.functional.one_hot(target, predictions.shape[-1])
        if target.shape != predictions.shape:
            raise ValueError(
                f"predictions {tuple(predictions.shape)} and target {tuple(target.shape)} do not fit: "
                "expected (N, L) and (N, L), or (N, L) and (N,)"
            )
        labels = target.to(predictions.dtype)  # (N, L)
        if self.ignore_index is not None:
            labels = labels.index_fill(1, torch.tensor(self.ignore_index, device=labels.device), 0)
        shares = labels / labels.sum(dim=1, keepdim=True).clamp(min=1)  # (N, L)
        if self.weight is not None:
            shares = shares * self.weight
        losses: torch.Tensor = -(shares * predictions.masked_fill(shares == 0, 0)).sum(dim=1)  # (N,)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()


class MultiLabelCrossEntropy(MultiLabelNLLLoss):
    """`MultiLabelNLLLoss` of scores (N, L) that are made log-probabilities; the arguments are the same.

    Example:
        >>> loss = MultiLabelCrossEntropy()
        >>> float(loss(torch.zeros(1, 4), torch.tensor([[1, 0, 1, 0]])).exp())
        4.0
    """

    def forward(self, predictions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, 0-d or (N,), of scores (N, L) and labels (N, L), 1 where one holds."""
        return super().forward(predictions.log_softmax(dim=-1), target)
