"""Learning rate schedulers that torch lacks: warm-up, then decay. For the Trainer's `iter_scheduler`.

The rate is a function of the number of updates alone, so that training goes on exactly from any of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class FactorLR(LRScheduler):
    """The optimizer's learning rate times `factor(n)`, where n updates were made before."""

    @abstractmethod
    def factor(self, updates: int) -> float:
        """What the learning rate is multiplied by after so many updates."""

    def get_lr(self) -> list[Any]:
        """The learning rate of each group of parameters for the next update."""
        factor = self.factor(self.last_epoch)
        return [float(base) * factor for base in self.base_lrs]


class NoamLR(FactorLR):
    """Rises linearly for `warmup` updates, then falls with the square root of their number.

    Update number n (from 1) has the optimizer's learning rate, best 1, times
    d_model^(-1/2) · min(n^(-1/2), n · warmup^(-3/2)).

    Args:
        d_model: Size of the model's layers.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, equation 3.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.Adam([torch.zeros(1)], lr=1.0)
        >>> round(NoamLR(optimizer, d_model=4, warmup=2).get_last_lr()[0], 4)
        0.1768
    """

    def __init__(self, optimizer: Optimizer, d_model: int, warmup: int = 4000) -> None:
        if d_model < 1 or warmup < 1:
            raise ValueError(f"d_model and warmup must be at least 1, but they are {d_model} and {warmup}")
        self.d_model = d_model
        self.warmup = warmup
        super().__init__(optimizer)

    def factor(self, updates: int) -> float:
        number = updates + 1
        return float(self.d_model**-0.5 * min(number**-0.5, number * self.warmup**-1.5))


class WarmupLR(FactorLR):
    """Rises linearly to the optimizer's learning rate in `warmup` updates, then decays until `total`.

    Update number n (from 0) has the factor (n + 1) / warmup before the end of the warm-up, and behind it,
    with p = (n - warmup) / (total - warmup): 1 - p (`linear`), (1 + cos(π p)) / 2 (`cosine`), 1 (`constant`)
    or (warmup / n)^(1/2) (`inverse_sqrt`), but at least `min_factor`; that is also what comes behind `total`.

    Args:
        warmup: Updates of the warm-up; between 0 and 1, a share of `total`.
        total: All updates. Unless given, a `Trainer` tells it: its max_steps times its iter_per_step.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = WarmupLR(optimizer, warmup=2, total=6)
        >>> [scheduler.factor(n) for n in range(7)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: int | float,
        total: int | None = None,
        *,
        decay: Literal["linear", "cosine", "constant", "inverse_sqrt"] = "linear",
        min_factor: float = 0.0,
    ) -> None:
        if decay not in ("linear", "cosine", "constant", "inverse_sqrt"):
            raise ValueError(f"decay is 'linear', 'cosine', 'constant' or 'inverse_sqrt', not {decay!r}")
        self.warmup = warmup
        self.total = total
        self.decay = decay
        self.min_factor = min_factor
        self._waits_for_total = total is None
        self._check()
        super().__init__(optimizer)

    def set_total_iterations(self, count: int) -> None:
        """Take `count` as `total`, if none was given; the next update has the rate that follows from it."""
        if not self._waits_for_total or count == self.total:
            return
        self.total = count
        self._check()
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def factor(self, updates: int) -> float:
        if self.total is None and self._needs_total:
            if updates == 0:
                return 0.0  # while it is being made
            raise ValueError(f"WarmupLR with decay {self.decay!r} needs total, the number of all updates")
        if updates < self._warmup_updates:
            return (updates + 1) / self._warmup_updates
        return max(self._decayed(updates), self.min_factor)

    @property
    def _needs_total(self) -> bool:
        return self.decay in ("linear", "cosine") or 0 < self.warmup < 1

    @property
    def _warmup_updates(self) -> int:
        return round(self.warmup * (self.total or 0)) if 0 < self.warmup < 1 else int(self.warmup)

    def _decayed(self, updates: int) -> float:
        warmup = self._warmup_updates
        if self.decay == "constant":
            return 1.0
        if self.decay == "inverse_sqrt":
            return math.sqrt(max(warmup, 1) / max(updates, 1))
        assert self.total is not None
        progress = min((updates - warmup) / max(self.total - warmup, 1), 1.0)
        return 1 - progress if self.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2

    def _check(self) -> None:
        if self.warmup < 0 or (self.total is not None and self.total < self._warmup_updates):
            raise ValueError(f"warmup must be from 0 to total ({self.total}), but it is {self.warmup}")
