"""What one layer's recurrence works on, whoever computes it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from flambe_nlp.sru.packing import Order

SKIP = 3
"""The place of the projected skip term among the k products; before it, W x, W_f x and W_r x."""


class Walk(NamedTuple):
    """The tensors of a recurrence over N packed tokens of B sequences.

    Computing it fills `h` and the states of tokens; the gates take the place of their products in `u`.

    Attributes:
        u: (N, k, H) the products: W x, W_f x and W_r x with their biases, and the skip term if k is 4.
        skip: (N, H) what enters h beside the state, `u[:, 3]` if k is 4; or None.
        v: (2, H) the weights of the state in the forget and in the reset gate, or (2, N, H).
        states: (B + N, H) the table of states, in which the initial ones already lie.
        drop: (B, H) what the reset gates are multiplied by where they let states into h, or None.
        h: (N, H) the hidden states.
        tanh: Whether the states pass through tanh before they enter h.
        order: The order of the tokens in this direction.
    """

    u: torch.Tensor
    skip: torch.Tensor | None
    v: torch.Tensor
    states: torch.Tensor
    drop: torch.Tensor | None
    h: torch.Tensor
    tanh: bool
    order: Order


class Gradients(NamedTuple):
    """The gradients that a backward walk takes and fills; it returns those of v and of the biases (2, H).

    Attributes:
        h: (N, H) of the hidden states, given.
        u: (N, k, H) of the products, filled.
        skip: (N, H) of what enters h beside the state, filled; `u[:, 3]` if k is 4.
        carried: (B, H) of the last states, given; of the initial ones afterwards.
    """

    h: torch.Tensor
    u: torch.Tensor
    skip: torch.Tensor
    carried: torch.Tensor
