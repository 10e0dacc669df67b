"""The simple recurrent unit's products and recurrence, with a backward pass written by hand.

Both passes are one loop over the steps, in which each operation is on what a step has, all of it contiguous,
and writes where the result is kept: the working set stays in the processor's cache, and autograd records one
operation for the whole layer instead of a dozen a step. Float32 on the CPU goes through the same loop in
`flambe_nlp.sru.compiled`, which is several times as fast.

Source: Lei, Zhang, Wang, Dai and Artzi, "Simple Recurrent Units for Highly Parallelizable Recurrence",
EMNLP 2018, section 3: equations 1 and 2 (the light recurrence) and 3 and 4 (the highway network).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from flambe_nlp.sru import compiled, products
from flambe_nlp.sru.packing import Order
from flambe_nlp.sru.walk import SKIP, Gradients, Walk


class Recurrence(torch.autograd.Function):
    """Hidden and last states of one layer in one direction.

    Takes, for N packed tokens (I entries each) of B sequences and k products (4 if the skip term is one of
    them, else 3), in this order:
        x: (N, I) the tokens, or None.
        weight: (k, H, I) W, W_f, W_r and the skip term's; the products themselves, (N, k, H), if x is None.
        bias: (2, H) b_f and b_r.
        skip: (N, H) what enters h beside the state, or None; not if k is 4.
        v: (2, H) the weights of the state in the forget and in the reset gate, or (2, N, H).
        initial: (B, H) the states before the first token, sorted as the packing is.
        drop: (B, H) what the reset gates are multiplied by where they let states into h, or None.
        tanh: Whether the states pass through tanh before they enter h.
        order: The order of the tokens in this direction.

    Returns h (N, H) and the last states (B, H). Can be differentiated once; twice raises RuntimeError.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  # autograd hands them over by position
        ctx: Any,
        x: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor,
        skip: torch.Tensor | None,
        v: torch.Tensor,
        initial: torch.Tensor,
        drop: torch.Tensor | None,
        tanh: bool,
        order: Order,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        u = _products(x, weight, bias)  # (N, k, H); the gates take the place of their products
        if u.shape[1] > SKIP:
            skip = u[:, SKIP]
        states = u.new_empty(len(initial) + len(u), u.shape[2])  # (B + N, H)
        states[order.initial] = initial
        h = u.new_empty(len(u), u.shape[2])
        walk = Walk(u, skip, v, states, drop, h, tanh, order)
        ctx.compiled = compiled.is_for(walk)
        (compiled.forward if ctx.compiled else _forward)(walk)
        ctx.save_for_backward(x, weight if x is not None else None, skip, v, drop, u, states, h)
        ctx.tanh, ctx.order = tanh, order
        return h, states[order.last].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_h: torch.Tensor, grad_last: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, skip, v, drop, u, states, h = ctx.saved_tensors
        grad_u = torch.empty_like(u)
        grad_skip = grad_u[:, SKIP] if u.shape[1] > SKIP else torch.empty_like(h)
        carried = grad_last.clone(memory_format=torch.contiguous_format)  # (B, H): what later steps give
        walk = Walk(u, skip, v, states, drop, h, ctx.tanh, ctx.order)
        gradients = Gradients(grad_h.contiguous(), grad_u, grad_skip, carried)
        grad_v, grad_bias = (compiled.backward if ctx.compiled else _backward)(walk, gradients)
        grad_x: torch.Tensor | None = None
        grad_weight: torch.Tensor | None = grad_u
        if x is not None:
            grad_x, grad_weight = products.backward(grad_u, x, weight, ctx.needs_input_grad)
        grad_skip_in = grad_skip if ctx.needs_input_grad[3] else None
        return grad_x, grad_weight, grad_bias, grad_skip_in, grad_v, carried, None, None, None


def _forward(walk: Walk) -> None:
    u, skip, v, states, drop, h, tanh, order = walk
    steps = zip(
        order.before(states),
        *map(order.split, (*u[:, :SKIP].unbind(1), skip, states[order.tokens], h)),
        order.rows(drop),
        *_weights(order, v, len(states) - len(h), by_token=v.ndim == 3),
        strict=True,
    )
    for before, w_t, f_t, r_t, skip_t, c_t, h_t, drop_t, v_f_t, v_r_t in steps:
        f_t.addcmul_(v_f_t, before).sigmoid_()  # eq. 1
        torch.lerp(w_t, before, f_t, out=c_t)  # eq. 2: f c_(t-1) + (1 - f) W x
        r_t.addcmul_(v_r_t, before).sigmoid_()  # eq. 3
        g = c_t.tanh() if tanh else c_t
        share = r_t if drop_t is None else r_t * drop_t
        if skip_t is None:
            torch.mul(g, share, out=h_t)
        else:
            torch.lerp(skip_t, g, share, out=h_t)  # eq. 4: r g(c) + (1 - r) x


def _backward(walk: Walk, gradients: Gradients) -> tuple[torch.Tensor, torch.Tensor]:
    u, skip, v, states, drop, h, tanh, order = walk
    grad_h, grad_u, grad_skip, carried = gradients
    grad_v = v.new_zeros(v.shape if v.ndim == 3 else (2, *carried.shape))
    steps = zip(
        order.before(states),
        *map(order.split, (*u[:, :SKIP].unbind(1), skip, states[order.tokens], h)),
        *map(order.split, (grad_h, *grad_u[:, :SKIP].unbind(1), grad_skip)),
        *map(order.rows, (drop, carried, torch.empty_like(carried))),
        *_weights(order, v, len(carried), by_token=v.ndim == 3),
        *_weights(order, grad_v, len(carried), by_token=v.ndim == 3),
        strict=True,
    )
    for before, w_t, f_t, r_t, skip_t, c_t, h_t, *rest in reversed(list(steps)):
        grad, grad_w_t, grad_f_t, grad_r_t, grad_skip_t, drop_t, grad_c, work, *weights = rest
        v_f_t, v_r_t, grad_v_f_t, grad_v_r_t = weights
        # Through eq. 4: h - x = r (g - x), so the reset gate's slope is (1 - r) (h - x).
        torch.addcmul(grad, grad, r_t, value=-1, out=grad_skip_t)  # grad (1 - r)
        difference = h_t if skip_t is None else torch.sub(h_t, skip_t, out=work)
        torch.mul(difference, grad_skip_t, out=grad_r_t)
        share = r_t
        if drop_t is not None:
            share = r_t * drop_t
            torch.addcmul(grad, grad, share, value=-1, out=grad_skip_t)
        grad_c.addcmul_(grad, share if not tanh else share * (1 - c_t.tanh().square()))
        # Through eq. 2: c_t - W x = f (c_(t-1) - W x), so the forget gate's slope is (1 - f) (c_t - W x).
        torch.addcmul(grad_c, grad_c, f_t, value=-1, out=grad_w_t)  # grad_c (1 - f)
        torch.mul(torch.sub(c_t, w_t, out=work), grad_w_t, out=grad_f_t)
        grad_c.mul_(f_t).addcmul_(grad_f_t, v_f_t).addcmul_(grad_r_t, v_r_t)
        grad_v_f_t.addcmul_(grad_f_t, before)
        grad_v_r_t.addcmul_(grad_r_t, before)
    return grad_v if v.ndim == 3 else grad_v.sum(1), grad_u[:, 1:SKIP].sum(0)


def _products(x: torch.Tensor | None, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(N, k, H), new: the products with the biases of the gates."""
    if x is None:
        u = weight.clone(memory_format=torch.contiguous_format)
        u[:, 1:SKIP] += bias
        return u
    biases = bias.new_zeros(weight.shape[:2])  # (k, H)
    biases[1:SKIP] = bias
    return products.forward(x, weight, biases)


def _weights(order: Order, v: torch.Tensor, batch: int, by_token: bool) -> list[Sequence[torch.Tensor]]:
    """For both gates, what each step takes of v: (2, N, H) `by_token`, else (2, B, H), or (2, H) for all."""
    if by_token:
        return [order.split(gate) for gate in v]
    if v.ndim == 2:
        v = v[:, None].expand(-1, batch, -1).contiguous()
    return [order.rows(gate) for gate in v]
