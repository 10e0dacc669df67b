"""Against the `sru` package, imported without compiling its operations: its training path needs none."""

from __future__ import annotations

import importlib
import itertools
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import cpp_extension

from flambe_nlp.sru import SRU, kernels

T, B = 7, 5
PAD = torch.arange(T)[:, None] >= torch.tensor([7, 2, 5, 1, 6])
CHOICES = {
    "size": [4, 6, 12],
    "bidirectional": [False, True],
    "layer_norm": [False, True],
    "normalize_after": [False, True],
    "highway_bias": [0.0, -2.0],
    "rescale": [False, True],
    "projection_size": [0, 3],
    "has_skip_term": [False, True],
    "v1": [False, True],
    "use_tanh": [False, True],
    "dropout": [0.0, 0.3],
    "rnn_dropout": [0.0, 0.2],
}
ALL = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]


@pytest.fixture(scope="module")
def package() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(cpp_extension, "load", lambda **_: None)
        patch.setattr(torch.jit, "script", lambda function: function)
        yield importlib.import_module("sru")
    for name in [name for name in sys.modules if name.partition(".")[0] == "sru"]:
        del sys.modules[name]


def both(package: ModuleType, **options: Any) -> tuple[nn.Module, SRU]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's, of deprecated options
        torch.manual_seed(1)
        theirs = package.SRU(12, num_layers=3, **options)
    torch.manual_seed(1)
    return theirs, SRU(12, num_layers=3, **options)


def trained(
    sru: nn.Module, x: torch.Tensor, c0: torch.Tensor, pad: torch.Tensor | None
) -> list[torch.Tensor]:
    """Outputs and gradients."""
    torch.manual_seed(2)  # for dropout
    x, c0 = x.clone().requires_grad_(), c0.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's, of running on the CPU
        h, last = sru(x, c0, pad)
    if pad is not None:
        h = h * ~pad[:, :, None]  # the package's padded places are not 0 with `normalize_after`
    loss = (h * torch.linspace(-1, 2, h.numel()).view_as(h)).sum() + last.square().sum()
    wanted = [x, c0, *(p for p in sru.parameters() if p.requires_grad)]
    return [h, last, *torch.autograd.grad(loss, wanted)]


@pytest.mark.parametrize("options", ALL[::53], ids=str)
def test_results_gradients_and_first_parameters_are_the_packages(
    package: ModuleType, options: dict[str, Any]
) -> None:
    options = {**options, "hidden_size": options["size"]}
    del options["size"]
    theirs, ours = (sru.double() for sru in both(package, **options))
    states = theirs.state_dict(), ours.state_dict()
    assert list(states[0]) == list(states[1])
    for name, state in states[0].items():
        torch.testing.assert_close(states[1][name], state, atol=1e-6, rtol=1e-6, msg=lambda m: f"{name}: {m}")  # noqa: B023
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, 12, dtype=torch.float64)
    c0 = torch.randn(3, B, ours.output_size, dtype=torch.float64)
    for pad in (None, PAD):
        torch.testing.assert_close(trained(ours, x, c0, pad), trained(theirs, x, c0, pad))


class Products(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Linear(12, 12 * 3), nn.Linear(12, 12 * 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.u(x), self.v(x)

    def reset_parameters(self) -> None:
        self.u.reset_parameters(), self.v.reset_parameters()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_custom_products_are_used_as_the_package_does(package: ModuleType, bidirectional: bool) -> None:
    size = 6 if bidirectional else 12
    options = {
        "hidden_size": size,
        "bidirectional": bidirectional,
        "custom_m": [Products() for _ in range(3)],
    }
    theirs, ours = (sru.double() for sru in both(package, **options))
    ours.load_state_dict(theirs.state_dict())
    x, c0 = torch.randn(T, B, 12).double(), torch.randn(3, B, 12).double()
    torch.testing.assert_close(trained(ours, x, c0, PAD), trained(theirs, x, c0, PAD))


@pytest.mark.parametrize("options", ALL[::211], ids=str)
def test_kernels_are_called_as_the_package_calls_them(
    package: ModuleType, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**options, "hidden_size": options["size"]}
    del options["size"]
    _, ours = both(package, **options)
    x, c0 = torch.randn(T, B, 12), torch.randn(3, B, ours.output_size)
    expected = trained(ours, x, c0, PAD)
    calls = []

    def stand_in(*arguments: Any) -> Any:  # the package's function for the CPU takes the same but the last
        calls.append(arguments)
        return package.ops.elementwise_recurrence_naive(*arguments[:-1])

    monkeypatch.setattr(kernels, "are_for", lambda _: True)
    monkeypatch.setattr(kernels, "recurrence", lambda: stand_in)
    torch.testing.assert_close(trained(ours, x, c0, PAD), expected, atol=1e-4, rtol=1e-4)
    assert len(calls) == 3


def test_kernels_are_not_for_the_cpu() -> None:
    assert not kernels.are_for(torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_results_on_a_gpu_are_those_on_the_cpu(bidirectional: bool) -> None:
    torch.manual_seed(0)
    sru = SRU(12, 6, 3, bidirectional=bidirectional, layer_norm=True)
    x, c0 = torch.randn(T, B, 12), torch.randn(3, B, sru.output_size)
    expected = trained(sru, x, c0, PAD)
    on_gpu = trained(sru.cuda(), x.cuda(), c0.cuda(), PAD.cuda())
    torch.testing.assert_close([each.cpu() for each in on_gpu], expected, atol=1e-4, rtol=1e-4)
