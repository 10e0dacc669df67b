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
        total: All updates, such as the Trainer's max_steps times iter_per_step; `constant` and `inverse_sqrt`
            need none.

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
        if total is None and (decay in ("linear", "cosine") or 0 < warmup < 1):
            why = f"decay {decay!r}" if decay in ("linear", "cosine") else "a warmup that is a share"
            raise ValueError(f"{why} needs total, the number of all updates")
        self.warmup = round(warmup * total) if total is not None and 0 < warmup < 1 else int(warmup)
        if self.warmup < 0 or (total is not None and total < self.warmup):
            raise ValueError(f"warmup must be from 0 to total ({total}), but it is {warmup}")
        self.total = total
        self.decay = decay
        self.min_factor = min_factor
        super().__init__(optimizer)

    def factor(self, updates: int) -> float:
        if updates < self.warmup:
            return (updates + 1) / self.warmup
        return max(self._decayed(updates), self.min_factor)

    def _decayed(self, updates: int) -> float:
        if self.decay == "constant":
            return 1.0
        if self.decay == "inverse_sqrt":
            return math.sqrt(max(self.warmup, 1) / max(updates, 1))
        assert self.total is not None
        progress = min((updates - self.warmup) / max(self.total - self.warmup, 1), 1.0)
        return 1 - progress if self.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
