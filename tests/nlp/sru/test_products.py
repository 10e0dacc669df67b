"""The products of a layer are those of torch, whoever computes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flambe_nlp.sru import SRU, products

K, H, I = 3, 6, 10  # noqa: E741  # the letters of the docstrings


@pytest.fixture
def in_onednn(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Small products go to oneDNN too; gives the shapes that went."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch is built without oneDNN")
    monkeypatch.setattr(products, "_WORTH_IT", 1)
    shapes: list[torch.Size] = []
    convert = products._in_onednn

    def noted(x: torch.Tensor) -> torch.Tensor:
        converted = convert(x)
        shapes.append(converted.shape)
        return converted

    monkeypatch.setattr(products, "_in_onednn", noted)
    return shapes


def tensors(rows: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """x, weight and bias."""
    random = torch.Generator().manual_seed(rows)
    shapes = ((rows, I), (K, H, I), (K, H))
    return [torch.randn(shape, generator=random, dtype=torch.float64).to(dtype) for shape in shapes]


def expected(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ni,khi->nkh", x.double(), weight.double()) + bias.double()


@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("rows", [1, 16, 37, 640, 641, 1100])
def test_products_and_gradients_in_onednn(
    rows: int, needed: tuple[bool, bool], in_onednn: list[torch.Size]
) -> None:
    x, weight, bias = tensors(rows)
    u = products.forward(x, weight, bias)
    assert u.shape == (rows, K, H)
    assert u.is_contiguous()
    torch.testing.assert_close(u.double(), expected(x, weight, bias), rtol=1e-5, atol=1e-5)

    grad = torch.randn(rows, K, H)
    found = products.backward(grad, x, weight, needed)
    wanted = (
        torch.einsum("nkh,khi->ni", grad.double(), weight.double()),
        torch.einsum("nkh,ni->khi", grad.double(), x.double()),
    )
    for gradient, right, is_needed in zip(found, wanted, needed, strict=True):
        assert (gradient is not None) == is_needed
        if gradient is not None:
            torch.testing.assert_close(gradient.double(), right, rtol=1e-5, atol=1e-4)
    assert in_onednn


def test_few_numbers_of_rows_occur(in_onednn: list[torch.Size]) -> None:
    for rows in range(1, 2049):
        products.forward(*tensors(rows))
    found = [shape[0] for shape in in_onednn]
    assert len(set(found)) <= 31 + 16 * 6 + 1
    assert all(rows <= more <= rows * 17 / 16 for rows, more in enumerate(found, start=1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_torchs(dtype: torch.dtype, in_onednn: list[torch.Size]) -> None:
    x, weight, bias = tensors(40, dtype)
    u = products.forward(x, weight, bias)
    torch.testing.assert_close(u.double(), expected(x, weight, bias), rtol=2e-2, atol=5e-2)
    products.backward(u, x, weight, (True, True))
    assert not in_onednn


def test_small_products_are_torchs() -> None:
    x, weight, _ = tensors(40)
    assert not products._is_for_onednn(x, weight.flatten(0, 1))
    assert products._is_for_onednn(torch.empty(1536, 256), torch.empty(768, 256)) is (
        torch.backends.mkldnn.is_available()
    )


def test_onednn_can_be_turned_off(in_onednn: list[torch.Size], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    products.forward(*tensors(40))
    assert not in_onednn


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "use_tanh": True}])
@pytest.mark.parametrize("padded", [False, True])
def test_a_model_trains_alike(
    options: dict[str, Any], padded: bool, in_onednn: list[torch.Size], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = SRU(5, 8, 3, **options)
    x = torch.randn(9, 7, 5)
    pad = torch.arange(9)[:, None] >= torch.arange(3, 10)[None] if padded else None

    def results() -> list[torch.Tensor]:
        model.zero_grad()
        leaf = x.clone().requires_grad_()
        h, last = model(leaf, mask_pad=pad)
        (h.square().sum() + last.sum()).backward()
        assert leaf.grad is not None
        return [h.detach(), last.detach(), leaf.grad, *(p.grad.clone() for p in model.parameters())]

    fast = results()
    assert in_onednn
    monkeypatch.setattr(products, "_is_for_onednn", lambda x, weight: False)
    torch.testing.assert_close(fast, results(), rtol=2e-5, atol=2e-5)


def test_infinite_gradients_stay_in_their_rows(in_onednn: list[torch.Size]) -> None:
    x, weight, _ = tensors(37)
    grad = torch.randn(37, K, H)
    grad[36] = float("inf")
    grad_x, grad_weight = products.backward(grad, x, weight, (True, True))
    assert grad_x is not None
    assert grad_weight is not None
    assert grad_x[:36].isfinite().all()
    assert grad_weight.isinf().all()
