"""`MixtureOfSoftmaxes`: a decoder that is not bound by the size of its input."""

from __future__ import annotations

import torch
from torch import nn

from flambe_torch.nn.module import Module


class MixtureOfSoftmaxes(Module):
    """Log-probabilities of classes from k softmaxes: (…, input_size) → (…, output_size).

    The probability of class c is Σₖ πₖ softmax(V tanh(Wₖ h + bₖ) + b)_c, the weights π softmax(U h + d).

    Args:
        output_size: C, the number of classes.
        k: Softmaxes.
        hidden_size: Size of what each softmax sees; the input's unless given.
        dropout: Share of the entries of that which are zeroed in training.
        take_log: Return probabilities instead if False.

    Source: Yang, Dai, Salakhutdinov and Cohen, "Breaking the Softmax Bottleneck", ICLR 2018, section 2.3.

    Example:
        >>> MixtureOfSoftmaxes(4, 3, k=2)(torch.zeros(2, 5, 4)).exp().sum(dim=-1).detach().round(decimals=4)
        tensor([[1., 1., 1., 1., 1.],
                [1., 1., 1., 1., 1.]])
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        k: int = 4,
        *,
        hidden_size: int | None = None,
        dropout: float = 0.0,
        take_log: bool = True,
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be at least 1, but it is {k}")
        self.hidden_size = hidden_size or input_size
        self.k = k
        self.prior = nn.Linear(input_size, k)
        self.latent = nn.Linear(input_size, k * self.hidden_size)
        self.output = nn.Linear(self.hidden_size, output_size)
        self.dropout = nn.Dropout(dropout)
        self.take_log = take_log
        self.output_size = output_size

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (…, C) for features (…, input_size)."""
        prior = self.prior(h).log_softmax(dim=-1)  # (…, k)
        latent = torch.tanh(self.latent(h))  # (…, k · hidden_size)
        latent = latent.view(*h.shape[:-1], self.k, self.hidden_size)  # (…, k, hidden_size)
        each = self.output(self.dropout(latent)).log_softmax(dim=-1)  # (…, k, C)
        mixed = torch.logsumexp(prior[..., None] + each, dim=-2)  # (…, C)
        return mixed if self.take_log else mixed.exp()
