"""`TransformerAdamW`: the optimizer that pretrained transformers are fine-tuned with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW

Params = Iterable[Any]
"""Parameters, pairs of name and parameter, or groups: mappings with `params` and options of their own."""


class TransformerAdamW(AdamW):
    """AdamW that decays no biases and no norms, with a linear warm-up and a linear way down to 0.

    The rate of update k (0, 1, …) of N is `lr` · k / W in the first W updates, then
    `lr` · (N - k) / (N - W). It is part of this optimizer's state: no scheduler is needed beside it. A
    `Trainer` tells N, the number of all its updates.

    Args:
        params: Parameters, or names and parameters as `named_parameters()` gives them, or groups of those
            with options of their own. Without decay are those with one dimension at most, and those
            whose name ends with `bias`.
        lr: The highest rate, at the end of the warm-up.
        weight_decay: The decay of all others, decoupled from the gradient.
        warmup: W: a share of N in [0, 1], such as 0.1, or a whole number of updates.
        total_iterations: N; what the `Trainer` tells unless given.

    Example:
        >>> layer = torch.nn.Linear(2, 2)
        >>> optimizer = TransformerAdamW(layer.named_parameters(), lr=0.1, warmup=0.5, total_iterations=4)
        >>> rates = []
        >>> for _ in range(4):
        ...     rates.append(optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        >>> rates
        [0.0, 0.05, 0.1, 0.05]
        >>> [group["weight_decay"] for group in optimizer.param_groups]
        [0.01, 0.0]

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019; the schedule: Devlin et
    al., BERT, NAACL 2019, appendix A.2.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 5e-5,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        warmup: float | int = 0.1,
        total_iterations: int | None = None,
    ) -> None:
        if warmup < 0 or (isinstance(warmup, float) and warmup > 1):
            raise ValueError(
                f"warmup must be a share in [0, 1] or a whole number of iterations, not {warmup}"
            )
        groups = list(_groups(params, weight_decay))
        super().__init__(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.defaults["total_iterations"] = total_iterations
        for group in self.param_groups:
            group.update(initial_lr=group["lr"], iterations=0, warmup=warmup)
            group["total_iterations"] = total_iterations
        self._set_rates()

    def set_total_iterations(self, count: int) -> None:
        """All iterations will be `count`, unless the constructor was told otherwise."""
        if self.defaults["total_iterations"] is None:
            for group in self.param_groups:
                group["total_iterations"] = count
            self._set_rates()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update at the rate that is its turn; returns what `closure` does.

        Raises:
            ValueError: Nobody told how many iterations there will be.
        """
        if any(group["total_iterations"] is None for group in self.param_groups):
            raise ValueError(
                f"{type(self).__name__} needs to know how many iterations there will be: give "
                "total_iterations, or train with a Trainer, which tells it"
            )
        loss = super().step(closure)
        for group in self.param_groups:
            group["iterations"] += 1
        self._set_rates()
        return loss

    def _set_rates(self) -> None:
        """Each group's rate for the next update."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * _share(
                group["iterations"], group["total_iterations"], group["warmup"]
            )


BERTOptimizer = TransformerAdamW


def _share(iteration: int, total: int | None, warmup: float | int) -> float:
    """The share of the highest rate that the update `iteration` has."""
    if total is None:
        return 0.0 if warmup else 1.0
    rising = round(warmup * total) if isinstance(warmup, float) else warmup
    if iteration < rising:
        return iteration / rising
    return max(0.0, (total - iteration) / max(1, total - rising))


def _groups(params: Params, weight_decay: float) -> Iterable[dict[str, Any]]:
    """Two groups, with decay and without, for each group of `params`."""
    given = list(params)
    if not given:
        raise ValueError("there are no parameters to train")
    for group in given if isinstance(given[0], dict) else [{"params": given}]:
        options = {name: value for name, value in group.items() if name != "params"}
        parts: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
        held = group["params"]
        for entry in [held] if isinstance(held, torch.Tensor) else held:
            name, parameter = entry if isinstance(entry, tuple) else ("", entry)
            parts[parameter.ndim > 1 and not name.endswith("bias")].append(parameter)
        decay = options.pop("weight_decay", weight_decay)
        if parts[True]:
            yield {**options, "params": parts[True], "weight_decay": decay}
        if parts[False]:
            yield {**options, "params": parts[False], "weight_decay": 0.0}
