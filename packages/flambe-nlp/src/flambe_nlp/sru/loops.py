"""The loops of `flambe_nlp.sru.compiled`, for Numba: imported only by it.

NaN and infinities stay what they are: of the compiler's liberties with arithmetic, only fused
multiplications and additions are taken, and the sign of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

from flambe_nlp.sru.walk import SKIP

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = npt.NDArray[np.float32]
Plan = npt.NDArray[np.int64]

f32 = np.float32
_ONE, _TWO = f32(1), f32(2)
_LOWEST, _HIGHEST = f32(-87), f32(88)
_LOG2_E = f32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = f32(0.693359375), f32(-2.12194440e-4)


def _compiled(function: Function) -> Function:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    try:
        made: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written to
        made = njit(**options)(function)
    return cast(Function, made)


@_compiled
def _exp(x: Any) -> Any:
    """e^x to about 2 units in the last place; x beyond ±87 counts as ±87, NaN stays NaN.

    Source: Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 6: x is reduced to
    r = x - k ln 2 with ln 2 in two parts; e^r by a polynomial (coefficients of the Cephes library).
    """
    x = _LOWEST if x < _LOWEST else x
    x = _HIGHEST if x > _HIGHEST else x
    k = np.floor(x * _LOG2_E + f32(0.5))
    r = x - k * _LN2_HIGH
    r = r - k * _LN2_LOW
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = p * r * r + r + _ONE
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@_compiled
def _sigmoid(x: Any) -> Any:
    return _ONE / (_ONE + _exp(-x))


@_compiled
def _tanh(x: Any) -> Any:
    return _TWO * _sigmoid(_TWO * x) - _ONE


@_compiled
def _gate(gate: Floats, v: Floats, before: Floats) -> None:
    for j in range(len(gate)):
        gate[j] = _sigmoid(gate[j] + v[j] * before[j])


@_compiled
def _mix(out: Floats, share: Floats, first: Floats, second: Floats) -> None:
    """out = first + share (second - first)."""
    for j in range(len(out)):
        out[j] = first[j] + share[j] * (second[j] - first[j])


@_compiled
def _multiply(out: Floats, first: Floats, second: Floats) -> None:
    for j in range(len(out)):
        out[j] = first[j] * second[j]


@_compiled
def _tanh_of(out: Floats, x: Floats) -> None:
    for j in range(len(out)):
        out[j] = _tanh(x[j])


@_compiled
def _multiply_rest(out: Floats, first: Floats, share: Floats) -> None:
    """out = first (1 - share)."""
    for j in range(len(out)):
        out[j] = first[j] * (_ONE - share[j])


@_compiled
def _multiply_difference(out: Floats, more: Floats, less: Floats, factor: Floats) -> None:
    for j in range(len(out)):
        out[j] = (more[j] - less[j]) * factor[j]


@_compiled
def _add(out: Floats, x: Floats) -> None:
    for j in range(len(out)):
        out[j] += x[j]


@_compiled
def _add_product(out: Floats, first: Floats, second: Floats) -> None:
    for j in range(len(out)):
        out[j] += first[j] * second[j]


@_compiled
def _multiply_slope(out: Floats, g: Floats) -> None:
    """Multiplies by the slope of tanh where it is g."""
    for j in range(len(out)):
        out[j] *= _ONE - g[j] * g[j]


@_compiled
def forward(  # noqa: PLR0917  # Numba takes arguments by position
    u: Floats,
    skip: Floats,
    v: Floats,
    states: Floats,
    drop: Floats,
    h: Floats,
    plan: Plan,
    tokens: int,
    has_skip: bool,
    has_drop: bool,
    tanh: bool,
    first: int,
    last: int,
) -> None:
    """The sequences from `first` to `last` through all steps.

    Shapes: u (N, k, H), skip (N, H), v (2, H), states (B + N, H), drop (B, H), h (N, H), plan (S, 4): for
    each step where its tokens begin, how many they are, where the states before them lie and which sequence
    is the first. The states of tokens begin in row `tokens` of their table. Nothing is read of `skip` if k
    is 4.
    """
    bent, dropped = np.empty(h.shape[1], np.float32), np.empty(h.shape[1], np.float32)
    projected = u.shape[1] > SKIP
    for step in range(len(plan)):
        start, size, previous, row = plan[step]
        for i in range(max(first - row, 0), min(last - row, size)):
            n = np.uint64(start + i)
            before, c = states[np.uint64(previous + i)], states[np.uint64(tokens + start + i)]
            _gate(u[n, 1], v[0], before)
            _gate(u[n, 2], v[1], before)
            _mix(c, u[n, 1], u[n, 0], before)
            g, share = c, u[n, 2]
            if tanh:
                _tanh_of(bent, c)
                g = bent
            if has_drop:
                _multiply(dropped, share, drop[np.uint64(row + i)])
                share = dropped
            if has_skip:
                _mix(h[n], share, u[n, SKIP] if projected else skip[n], g)
            else:
                _multiply(h[n], g, share)


@_compiled
def backward(  # noqa: PLR0917  # as above
    grad_h: Floats,
    grad_u: Floats,
    grad_skip: Floats,
    carried: Floats,
    u: Floats,
    skip: Floats,
    v: Floats,
    states: Floats,
    drop: Floats,
    h: Floats,
    plan: Plan,
    tokens: int,
    has_skip: bool,
    has_drop: bool,
    tanh: bool,
    first: int,
    last: int,
) -> Floats:
    """The gradients of what `forward` did; returns those of v and of the biases, one below the other, (4, H).

    The derivation is in `flambe_nlp.sru.recurrence`, which does the same with torch.
    """
    total = np.zeros((4, h.shape[1]), np.float32)
    zeros = np.zeros(h.shape[1], np.float32)
    projected = u.shape[1] > SKIP
    g, dropped, work = np.empty_like(zeros), np.empty_like(zeros), np.empty_like(zeros)
    for back in range(len(plan)):
        start, size, previous, row = plan[len(plan) - 1 - back]
        for i in range(max(first - row, 0), min(last - row, size)):
            n, sequence = np.uint64(start + i), np.uint64(row + i)
            before, c = states[np.uint64(previous + i)], states[np.uint64(tokens + start + i)]
            grad, grad_c = grad_h[n], carried[sequence]
            f, r, grad_f, grad_r = u[n, 1], u[n, 2], grad_u[n, 1], grad_u[n, 2]
            grad_x = grad_u[n, SKIP] if projected else grad_skip[n]
            x = u[n, SKIP] if projected else skip[n] if has_skip else zeros
            _multiply_rest(grad_x, grad, r)
            _multiply_difference(grad_r, h[n], x, grad_x)
            share = r
            if has_drop:
                _multiply(dropped, r, drop[sequence])
                share = dropped
                _multiply_rest(grad_x, grad, share)
            _multiply(work, grad, share)
            if tanh:
                _tanh_of(g, c)
                _multiply_slope(work, g)
            _add(grad_c, work)
            _multiply_rest(grad_u[n, 0], grad_c, f)
            _multiply_difference(grad_f, c, u[n, 0], grad_u[n, 0])
            _multiply(grad_c, grad_c, f)
            _add_product(grad_c, grad_f, v[0])
            _add_product(grad_c, grad_r, v[1])
            _add_product(total[0], grad_f, before)
            _add_product(total[1], grad_r, before)
            _add(total[2], grad_f)
            _add(total[3], grad_r)
    return total
