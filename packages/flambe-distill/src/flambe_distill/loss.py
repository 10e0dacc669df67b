"""The loss of knowledge distillation: what the labels say, and what a teacher says of all classes."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch.nn import functional

from flambe_torch.nn import Module


def soft_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float | torch.Tensor = 1.0
) -> torch.Tensor:
    """How far the student's softened distribution is from the teacher's, 0-d: the mean over the rows.

    T² · KL(softmax(teacher / T) ‖ softmax(student / T)); the factor keeps the gradients' size where T grows.

    Args:
        student: Scores or log-probabilities (B, C): both give the same, as softmax does not see a constant
            that is added to a row.
        teacher: Likewise (B, C); no gradient flows into it.
        temperature: T; the higher, the more the improbable classes count.

    Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's scores {tuple(student.shape)} and the teacher's {tuple(teacher.shape)} differ; "
            "both need (B, C) with the same classes"
        )
    expected = torch.log_softmax(teacher.detach().float() / temperature, dim=-1)  # (B, C)
    found = torch.log_softmax(student.float() / temperature, dim=-1)  # (B, C)
    divergence = functional.kl_div(found, expected, reduction="batchmean", log_target=True)
    return divergence * temperature**2


class DistillationLoss(Module):
    """(1 - alpha_kl) · loss_fn(student, target) + alpha_kl · soft_divergence(student, teacher).

    Args:
        loss_fn: The loss of predictions and target, such as `NLLLoss` for log-probabilities.
        alpha_kl: The teacher's share, from 0 to 1.
        temperature: Softens both distributions; above 0.

    Example:
        >>> loss = DistillationLoss(torch.nn.NLLLoss(), alpha_kl=0.5, temperature=2)
        >>> student = torch.log_softmax(torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), dim=1)
        >>> teacher = torch.tensor([[2.0, 0.0, 3.0], [0.0, 4.0, 0.0]])
        >>> round(loss(student, teacher, torch.tensor([2, 1])).item(), 3)
        0.49
    """

    def __init__(self, loss_fn: Any, alpha_kl: float = 0.5, temperature: float = 1.0) -> None:
        super().__init__()
        self.loss_fn = loss_fn
        self.alpha_kl = alpha_kl
        self.temperature = temperature

    @property
    def alpha_kl(self) -> float:
        return self._alpha_kl

    @alpha_kl.setter
    def alpha_kl(self, value: float) -> None:
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"alpha_kl must be from 0 to 1, not {value}")
        self._alpha_kl = value

    @property
    def temperature(self) -> float:
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        if not _is_number(value) or not 0 < value < math.inf:
            raise ValueError(f"temperature must be above 0, not {value}")
        self._temperature = value

    def forward(self, student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of a batch, 0-d.

        The first rows of `student` and `teacher` (B, C) are those of `target`; rows beyond them have no
        label, nor have those whose label `loss_fn` ignores: they count for the divergence alone.
        """
        loss = torch.zeros((), device=student.device)
        if self.alpha_kl < 1 and self._has_labels(target):
            loss = loss + (1 - self.alpha_kl) * self.loss_fn(student[: len(target)], target)
        if self.alpha_kl > 0:
            loss = loss + self.alpha_kl * soft_divergence(student, teacher, self.temperature)
        return loss

    def _has_labels(self, target: torch.Tensor) -> bool:
        """Whether any row has a label; a mean over none would be no number."""
        ignored = getattr(self.loss_fn, "ignore_index", None)
        if ignored is None or target.is_floating_point():
            return len(target) > 0
        return bool((target != ignored).any())


def _is_number(value: object) -> bool:
    """Whether it is one that counts: True would do as 1."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
