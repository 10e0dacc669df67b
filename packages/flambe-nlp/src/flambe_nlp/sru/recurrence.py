"""The recurrence of the simple recurrent unit, with a backward pass written by hand.

Only c_t and the forget gate need the state before them, step by step; the backward pass is a linear
recurrence in the gradient of c_t. All else is done for all tokens at once. Nothing here is compiled.

Source: Lei, Zhang, Wang, Dai and Artzi, "Simple Recurrent Units for Highly Parallelizable Recurrence",
EMNLP 2018, section 3: equations 1 and 2 (the light recurrence) and 3 and 4 (the highway network).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from flambe_nlp.sru.packing import Order

CANDIDATE, FORGET, RESET, SKIP = range(4)
"""The places of W x, W_f x + b_f, W_r x + b_r, and of the projected input where sizes differ, in `u`."""


class Recurrence(torch.autograd.Function):
    """Hidden and last states of one layer in one direction.

    Takes, for N packed tokens of B sequences, in this order:
        u: (N, k, H) the products with the weights, biases added; k is 4 if the skip term is projected.
        x: (N, H) the skip term where it is the layer's input, else None.
        v: (2, H) the weights of the state in the forget and the reset gate, or (N, 2, H).
        initial: (B, H) the states before the first token, sorted as the packing is.
        drop: (N, H) what the states are multiplied by before they enter h, or None.
        tanh: Whether the states pass through tanh before they enter h.
        order: The order of the tokens in this direction.

    Returns h (N, H) and the last states (B, H). Can be differentiated once; twice raises RuntimeError.
    """

    @staticmethod
    def forward(
        ctx: Any,
        u: torch.Tensor,
        x: torch.Tensor | None,
        v: torch.Tensor,
        initial: torch.Tensor,
        drop: torch.Tensor | None,
        tanh: bool,
        order: Order,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        states = u.new_empty(len(initial) + len(u), u.shape[2])  # (B + N, H)
        states[order.initial] = initial
        gates = u.new_empty(len(u), 2, u.shape[2])  # (N, 2, H)
        _run(u, v, states, gates, order)
        h = states[order.tokens]
        if tanh:
            h = h.tanh()
        reset = gates[:, 1] if drop is None else gates[:, 1] * drop
        skip = u[:, SKIP] if u.shape[1] > SKIP else x
        h = h * reset if skip is None else torch.lerp(skip, h, reset)  # eq. 4: r c + (1 - r) x
        ctx.save_for_backward(u, x, v, drop, states, gates)
        ctx.tanh, ctx.order = tanh, order
        ctx.set_materialize_grads(False)
        return h, states[order.last].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_h: torch.Tensor | None, grad_last: torch.Tensor | None
    ) -> tuple[torch.Tensor | None, ...]:
        u, x, v, drop, states, gates = ctx.saved_tensors
        order = ctx.order
        forget, reset = gates.unbind(1)  # (N, H) each
        grad_u = torch.empty_like(u)
        grad_states = torch.zeros_like(states)  # (B + N, H)
        grad_c = grad_states[order.tokens]
        grad_x = None
        if grad_h is None:
            grad_u[:, RESET:] = 0
        else:
            grad_x = _output_backward(grad_h, u, x, drop, states[order.tokens], reset, ctx.tanh, grad_u, grad_c)
        if grad_last is not None:
            _add(grad_states, order.last, grad_last)
        before = states[order.previous]  # (N, H)
        slope = _sigmoid_backward(before - u[:, CANDIDATE], forget)  # d c_t / d (what the forget gate is of)
        chain = torch.addcmul(forget, slope, v[..., 0, :])  # d c_t / d c_(t-1) by eq. 1 and 2
        _run_back(grad_states, grad_c, chain, grad_u[:, RESET], v, order)
        torch.addcmul(grad_c, grad_c, forget, value=-1, out=grad_u[:, CANDIDATE])
        torch.mul(grad_c, slope, out=grad_u[:, FORGET])
        grad_v = None
        if ctx.needs_input_grad[2]:
            grad_v = grad_u[:, FORGET : RESET + 1] * before[:, None]
            if v.ndim == 2:
                grad_v = grad_v.sum(0)
        return grad_u, grad_x, grad_v, grad_states[order.initial], None, None, None


def _run(u: torch.Tensor, v: torch.Tensor, states: torch.Tensor, gates: torch.Tensor, order: Order) -> None:
    candidates, products = u[:, CANDIDATE], u[:, FORGET : RESET + 1]
    after, forget = states[order.tokens], gates[:, 0]
    for start, stop, previous in order.segments:
        c = states[previous : previous + stop - start]
        weights = v if v.ndim == 2 else v[start:stop]
        gate = gates[start:stop]
        torch.addcmul(products[start:stop], weights, c[:, None], out=gate)
        gate.sigmoid_()  # eq. 1 and 3
        torch.lerp(candidates[start:stop], c, forget[start:stop], out=after[start:stop])  # eq. 2


def _output_backward(
    grad_h: torch.Tensor,
    u: torch.Tensor,
    x: torch.Tensor | None,
    drop: torch.Tensor | None,
    c: torch.Tensor,
    reset: torch.Tensor,
    tanh: bool,
    grad_u: torch.Tensor,
    grad_c: torch.Tensor,
) -> torch.Tensor | None:
    """Write the gradients of the reset gate and of c through eq. 4; returns that of x."""
    skip = u[:, SKIP] if u.shape[1] > SKIP else x
    g = c.tanh() if tanh else c
    grad_g = torch.mul(grad_h, reset, out=grad_c)
    if drop is not None:
        grad_g.mul_(drop)
    grad_x = None
    if skip is not None:
        grad_x = torch.sub(grad_h, grad_g, out=grad_u[:, SKIP] if u.shape[1] > SKIP else None)
    grad_reset = (g if skip is None else g - skip) * grad_h
    if drop is not None:
        grad_reset.mul_(drop)
    grad_u[:, RESET] = _sigmoid_backward(grad_reset, reset)
    if tanh:
        grad_c.mul_(1 - g * g)
    return grad_x if x is not None and u.shape[1] <= SKIP else None


def _run_back(
    grad_states: torch.Tensor,
    grad_c: torch.Tensor,
    chain: torch.Tensor,
    grad_reset: torch.Tensor,
    v: torch.Tensor,
    order: Order,
) -> None:
    for start, stop, previous in reversed(order.segments):
        weights = v[1] if v.ndim == 2 else v[start:stop, 1]
        grad_before = grad_states[previous : previous + stop - start]
        grad_before.addcmul_(chain[start:stop], grad_c[start:stop])
        grad_before.addcmul_(grad_reset[start:stop], weights)


def _add(table: torch.Tensor, rows: torch.Tensor | slice, values: torch.Tensor) -> None:
    if isinstance(rows, slice):
        table[rows] += values
    else:
        table.index_add_(0, rows, values)


def _sigmoid_backward(grad: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = torch.ops.aten.sigmoid_backward(grad, y)  # grad · y (1 - y), in one pass
    return result
