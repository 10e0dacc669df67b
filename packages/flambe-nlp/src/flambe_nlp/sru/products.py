"""The matrix products of a layer of simple recurrent units, and their gradients.

Float32 products of some size on the CPU are oneDNN's, which uses the widest vector instructions of any
processor; the BLAS that torch is built with has narrower ones for some (half as fast on AMD's with AVX-512).
Everything else is torch's `linear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

_WORTH_IT = 1 << 23
"""Fewer multiplications than this are not worth the way into oneDNN's form of tensors and back."""


def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(N, k, H), new: the products of x (N, I) with weight (k, H, I), and bias (k, H) added."""
    flat, biases = weight.flatten(0, 1), bias.flatten()  # (k·H, I), (k·H,)
    with torch.autocast(x.device.type, enabled=False):
        if _is_for_onednn(x, flat):
            u = functional.linear(_in_onednn(x), flat, biases).to_dense()[: len(x)]
        else:
            u = functional.linear(x, flat, biases)
    return u.view(len(x), *weight.shape[:2])


def backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, needed: Sequence[bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The gradients of x (N, I) and of weight (k, H, I), where `needed`, from the products' (N, k, H)."""
    flat, grad = weight.flatten(0, 1), grad.flatten(1)  # (k·H, I), (N, k·H)
    compute = _backward_in_onednn if _is_for_onednn(x, flat) else _backward
    grad_x, grad_weight = compute(grad, x, flat, needed)
    return grad_x, None if grad_weight is None else grad_weight.view_as(weight)


def _backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, needed: Sequence[bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    return grad @ weight if needed[0] else None, grad.T @ x if needed[1] else None


def _backward_in_onednn(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, needed: Sequence[bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    inner = _in_onednn(grad)
    grad_x = grad_weight = None
    if needed[0]:
        sizes = (inner.shape[0], x.shape[1])
        grad_x = torch.ops.aten.mkldnn_linear_backward_input(sizes, inner, weight).to_dense()[: len(x)]
    if needed[1]:
        grad_weight, _ = torch.ops.aten.mkldnn_linear_backward_weights(inner, _in_onednn(x), weight, False)
    return grad_x, grad_weight


def _is_for_onednn(x: torch.Tensor, weight: torch.Tensor) -> bool:
    onednn = torch.backends.mkldnn
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and len(x) * weight.numel() >= _WORTH_IT
        and bool(onednn.enabled)
        and bool(onednn.is_available())  # type: ignore[no-untyped-call]  # torch's has no types
    )


def _in_onednn(x: torch.Tensor) -> torch.Tensor:
    """x in oneDNN's form, with rows of zeros below it: at most a sixteenth more.

    So few numbers of rows occur; oneDNN compiles a product anew for each.
    """
    step = 1 << max(len(x).bit_length() - 5, 0)
    missing = -len(x) % step
    return (functional.pad(x, (0, 0, 0, missing)) if missing else x).to_mkldnn()
