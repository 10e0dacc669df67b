"""The recurrence for float32 on the CPU, compiled by Numba when it is first needed and kept on disk.

It computes what the loop of `flambe_nlp.sru.recurrence` does, sequence by sequence for each step, so that a
row of H numbers goes through all its operations while it is in the processor's first cache. Threads share the
sequences among them. Every inner loop is over few arrays, because the compiler has to prove at run time that
they do not overlap before it uses vector instructions.

Numba is imported by the first call of `is_for` that finds everything else right.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from flambe_nlp.sru.walk import SKIP, Gradients, Walk

_ALONE = 1 << 19
"""Fewer numbers than this are not worth a thread: those of the products still spin on the cores then."""


def is_for(walk: Walk) -> bool:
    """Whether the walk can be computed here: float32, on the CPU, with the same v for all tokens."""
    return (
        walk.u.device.type == "cpu"
        and walk.u.dtype == walk.v.dtype == torch.float32
        and walk.v.ndim == 2
        and walk.u.numel() > 0
        and _is_installed()
    )


def forward(walk: Walk) -> None:
    """Fill the hidden states and the states of the tokens."""
    run = _kernels().forward
    _share(walk, lambda first, last: run(*_arguments(walk), first, last))


def backward(walk: Walk, gradients: Gradients) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill the gradients; returns those of v and of the biases, (2, H) each."""
    grad_h, grad_u, grad_skip, carried = gradients
    given = (grad_h, grad_u, _apart(walk, grad_skip), carried)
    run, arrays = _kernels().backward, [_array(tensor) for tensor in given]
    parts = _share(walk, lambda first, last: run(*arrays, *_arguments(walk), first, last))
    total = torch.from_numpy(np.sum(parts, axis=0))  # (4, H)
    return total[:2], total[2:]


def _arguments(walk: Walk) -> tuple[Any, ...]:
    u, skip, v, states, drop, h, tanh, order = walk
    given = (u, _apart(walk, skip), v, states, h[:0] if drop is None else drop, h)
    flags = (skip is not None, drop is not None, tanh)
    return (*map(_array, given), order.plan, order.tokens.start, *flags)


def _apart(walk: Walk, skip: torch.Tensor | None) -> torch.Tensor:
    """The skip term, or its gradient; nothing if it is one of the products, where the loops find it."""
    return walk.h[:0] if skip is None or walk.u.shape[1] > SKIP else skip


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


def _share(walk: Walk, run: Callable[[int, int], Any]) -> list[Any]:
    """`run` on parts of the sequences, in as many threads as torch may use and as have enough to do."""
    sequences = len(walk.states) - len(walk.h)
    threads = max(1, min(torch.get_num_threads(), sequences, walk.h.numel() // _ALONE))
    if threads == 1:
        return [run(0, sequences)]
    done = np.cumsum(walk.order.lengths(sequences))
    within = np.searchsorted(done, done[-1] * np.arange(1, threads) / threads)
    bounds = [0, *within.tolist(), sequences]
    (own, *parts) = itertools.pairwise(bounds)
    others = [_pool(os.getpid(), threads - 1).submit(run, *part) for part in parts]
    return [run(*own), *(other.result() for other in others)]


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    del process  # a forked process has none of its parent's threads
    return ThreadPoolExecutor(workers, thread_name_prefix="sru")


@cache
def _is_installed() -> bool:
    return find_spec("numba") is not None


@cache
def _kernels() -> Any:
    return import_module("flambe_nlp.sru.loops")
