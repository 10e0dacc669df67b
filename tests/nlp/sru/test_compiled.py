"""The compiled recurrence does what torch's operations do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flambe_nlp.sru import SRU, compiled
from flambe_nlp.sru.packing import Packing

pytest.importorskip("numba", reason="Numba is not made for this Python yet")
loops = pytest.importorskip("flambe_nlp.sru.loops")

LENGTHS = torch.tensor([13, 1, 5, 0, 9, 2])  # of B = 6 sequences of up to T = 13 tokens
PAD = torch.arange(13)[:, None] >= LENGTHS[None]  # (T, B)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both directions": {"bidirectional": True},
    "tanh": {"use_tanh": True},
    "no skip term": {"has_skip_term": False},
    "dropped states": {"dropout": 0.4},
    "layer norm and highway bias": {"layer_norm": True, "highway_bias": -2.0},
    "all": {"bidirectional": True, "use_tanh": True, "dropout": 0.4, "layer_norm": True},
}


class Products(nn.Module):
    """The products and, for each token, weights of the state in the gates."""

    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Linear(3, 3 * 3), nn.Linear(3, 2 * 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.u(x), self.v(x)


@pytest.fixture
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(compiled, "_ALONE", 1)  # so that small batches are shared among threads too
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def results(model: SRU, x: torch.Tensor, pad: torch.Tensor | None) -> list[torch.Tensor]:
    """What the model returns, and the gradients of input and parameters for uneven gradients of these."""
    torch.manual_seed(1)  # the same dropout
    model.zero_grad()
    x = x.clone().requires_grad_()
    h, last = model(x, mask_pad=pad)
    uneven = torch.linspace(-1, 2, h.numel()).view_as(h)
    ((h * uneven).sum() + last.square().sum()).backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    return [h.detach(), last.detach(), x.grad, *gradients]


@pytest.mark.parametrize("threads", [1, 3], indirect=True)
@pytest.mark.parametrize("pad", [None, PAD], ids=["full", "padded"])
@pytest.mark.parametrize("input_size", [7, 11])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_torch(
    kind: str, input_size: int, pad: torch.Tensor | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = SRU(input_size, 11, 3, **KINDS[kind])
    x = torch.randn(13, 6, input_size)
    fast = results(model, x, pad)
    monkeypatch.setattr(compiled, "is_for", lambda walk: False)
    slow = results(model, x, pad)
    for ours, reference in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, reference, rtol=2e-5, atol=2e-5)


def test_numbers_that_are_not_numbers_stay_so() -> None:
    model = SRU(5, 5, 1)
    x = torch.randn(4, 2, 5)
    x[1, 0, 3] = float("nan")
    h, _ = model(x)
    assert torch.isnan(h[1:, 0]).any(dim=-1).all()
    assert torch.isfinite(h[:, 1]).all()


def test_extreme_gates_close_and_open() -> None:
    model = SRU(3, 3, 1, rescale=False)
    with torch.no_grad():
        model.rnn_lst[0].bias.copy_(torch.tensor([1e4, 1e4, 1e4, -1e4, -1e4, -1e4]))
    x = torch.randn(6, 2, 3)
    h, last = model(x)
    torch.testing.assert_close(h, x)  # the reset gate is shut
    torch.testing.assert_close(last[0], torch.zeros(2, 3))  # the forget gate keeps the first state


def test_gates_are_exact_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    far = 10.0 ** torch.arange(1, 39)  # up to the largest numbers there are
    biases = torch.cat([torch.linspace(-100, 100, 2000), far, -far])
    model = SRU(len(biases), len(biases), 1, rescale=False)
    with torch.no_grad():
        for parameter in (model.rnn_lst[0].weight, model.rnn_lst[0].weight_c):
            parameter.zero_()
        model.rnn_lst[0].bias.copy_(torch.cat([biases, biases.flip(0)]))
    x, state = torch.randn(1, 1, len(biases)), torch.ones(1, 1, len(biases))
    h, last = model(x, state)
    forget, reset = (each.double().sigmoid() for each in (biases, biases.flip(0)))
    torch.testing.assert_close(last[0, 0].double(), forget, rtol=4e-7, atol=1e-37)
    torch.testing.assert_close(h[0, 0].double(), reset * forget + (1 - reset) * x[0, 0], rtol=0, atol=1e-6)
    assert loops._exp(np.float32(0)) == 1


def test_exponentials_are_within_two_units_in_the_last_place() -> None:
    x = np.linspace(-87, 88, 20_001, dtype=np.float32)
    found = np.array([loops._exp(number) for number in x], dtype=np.float64)
    units = np.spacing(np.exp(x.astype(np.float64)).astype(np.float32))
    assert np.abs((found - np.exp(x.astype(np.float64))) / units).max() <= 2


def test_doubles_and_weights_by_token_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "forward", lambda walk: pytest.fail("must not be called"))
    SRU(3, 3, 1).double()(torch.randn(4, 2, 3, dtype=torch.double))
    h, _ = SRU(3, 3, 1, custom_m=Products())(torch.randn(4, 2, 3))
    h.sum().backward()


def test_lengths_of_sequences_are_found_in_the_steps() -> None:
    packing = Packing.of(13, 6, PAD)
    for order in packing.orders:
        assert order.lengths(6).tolist() == sorted(LENGTHS.tolist(), reverse=True)


def test_without_numba_torch_computes() -> None:
    program = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch; from flambe_nlp.sru import SRU\n"
        "h, _ = SRU(3, 4, 2)(torch.randn(5, 2, 3)); h.sum().backward(); print(tuple(h.shape))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "(5, 2, 4)", done.stderr
