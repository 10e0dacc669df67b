from __future__ import annotations

import math
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flambe_nlp.sru import SRU, SRUCell

T, B, WIDTH = 6, 4, 5  # unequal, so that no test passes with two of them confused
LENGTHS = [4, 6, 1, 3]
PAD = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)
OPTIONS = {
    "plain": {},
    "same sizes": {"hidden_size": 5},
    "highway": {"hidden_size": 5, "highway_bias": -2.0, "rescale": True},
    "layer norm": {"layer_norm": True},
    "layer norm after": {"layer_norm": True, "normalize_after": True},
    "projection": {"projection_size": 2},
    "no skip": {"has_skip_term": False},
    "tanh": {"use_tanh": True},
    "v1": {"v1": True},
    "input to hidden": {"proj_input_to_hidden_first": True, "weight_c_init": 0.5},
}


def reference(sru: SRU, x: torch.Tensor, initial: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """h (T, H) and last states (layers, H) for one sequence x (T, input_size), unit by unit in plain PyTorch.

    Source: Lei et al. 2018, section 3, equations 1 to 4; the skip term times alpha of section 3.2.
    """
    lasts = []
    h = x if sru.input_to_hidden is None else sru.input_to_hidden(x)
    for cell, start in zip(sru.rnn_lst, initial, strict=True):
        outputs = [one_direction(cell, h, start, reverse) for reverse in range(cell.directions)]
        h = torch.cat([output for output, _ in outputs], 1)
        if cell.layer_norm is not None and cell.normalize_after:
            h = cell.layer_norm(h)
        lasts.append(torch.cat([last for _, last in outputs]))
    return h, torch.stack(lasts)


def one_direction(
    cell: SRUCell, x: torch.Tensor, initial: torch.Tensor, reverse: int
) -> tuple[torch.Tensor, torch.Tensor]:
    units = slice(reverse * cell.hidden_size, (reverse + 1) * cell.hidden_size)
    normal = x if cell.layer_norm is None or cell.normalize_after else cell.layer_norm(x)
    weight = cell.weight if cell.weight_proj is None else cell.weight_proj @ cell.weight
    products = (normal @ weight).view(len(x), cell.output_size, cell.num_matrices)[:, units]
    v_f, v_r = (v[units] for v in cell.weight_c.chunk(2))
    b_f, b_r = (b[units] for b in cell.bias.chunk(2))
    c, outputs = initial[units], [torch.empty(0)] * len(x)
    for t in range(len(x)) if not reverse else reversed(range(len(x))):
        f = torch.sigmoid(products[t, :, 1] + v_f * c + b_f)
        r = torch.sigmoid(products[t, :, 2] + v_r * c + b_r)
        c = f * c + (1 - f) * products[t, :, 0]
        skip = products[t, :, 3] if cell.num_matrices == 4 else x[t, units] if cell.has_skip_term else 0
        alpha = cell.scale_x if cell.rescale and cell.num_matrices == 3 else 1
        outputs[t] = r * (c.tanh() if cell.use_tanh else c) + (1 - r) * alpha * skip
    return torch.stack(outputs), c


def made(name: str, *, bidirectional: bool, **more: Any) -> SRU:
    torch.manual_seed(0)
    options = {"hidden_size": 3, **OPTIONS[name], **more}
    if bidirectional and options["hidden_size"] == WIDTH:
        options["hidden_size"], options["proj_input_to_hidden_first"] = (
            2,
            True,
        )  # twice 2 is even, WIDTH is not
    return SRU(WIDTH, num_layers=3, bidirectional=bidirectional, **options).double()


def sequences(sru: SRU) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(T, B, WIDTH, dtype=torch.float64, generator=random)
    c0 = torch.randn(sru.num_layers, B, sru.output_size, dtype=torch.float64, generator=random)
    return x.requires_grad_(), c0.requires_grad_()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_values_and_gradients_are_the_references(name: str, bidirectional: bool) -> None:
    sru = made(name, bidirectional=bidirectional)
    x, c0 = sequences(sru)
    h, last = sru(x, c0, PAD)
    rows = [reference(sru, x[:length, b], c0[:, b]) for b, length in enumerate(LENGTHS)]
    expected_h = torch.stack(
        [torch.cat([row, row.new_zeros(T - len(row), sru.output_size)]) for row, _ in rows], dim=1
    )
    expected_last = torch.stack([last_states for _, last_states in rows], dim=1)
    torch.testing.assert_close((h, last), (expected_h, expected_last))

    weights = [torch.randn_like(each) for each in (h, last)]
    wanted = [x, c0, *(p for p in sru.parameters() if p.requires_grad)]
    loss, expected = (
        sum((w * each).sum() for w, each in zip(weights, pair, strict=True))
        for pair in ((h, last), (expected_h, expected_last))
    )
    torch.testing.assert_close(torch.autograd.grad(loss, wanted), torch.autograd.grad(expected, wanted))


@pytest.mark.parametrize("pad", [None, PAD, PAD.roll(3, 0)], ids=["full", "padded behind", "padded anywhere"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_pass_gradcheck(bidirectional: bool, pad: torch.Tensor | None) -> None:
    sru = made("same sizes", bidirectional=bidirectional)
    x, c0 = sequences(sru)
    names = [name for name, _ in sru.named_parameters()]

    def run(x: torch.Tensor, c0: torch.Tensor, *parameters: torch.Tensor) -> Any:
        return torch.func.functional_call(sru, dict(zip(names, parameters, strict=True)), (x, c0, pad))

    assert torch.autograd.gradcheck(run, (x, c0, *sru.parameters()), fast_mode=True)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_padding_never_changes_results(name: str, bidirectional: bool) -> None:
    sru = made(name, bidirectional=bidirectional)
    x, c0 = sequences(sru)
    h, last = sru(x, c0, PAD)
    poisoned = x.detach().masked_fill(PAD[:, :, None], math.nan).requires_grad_()
    padding = torch.full((2, B, WIDTH), math.nan, dtype=torch.float64)
    for before, after in ((0, 2), (1, 1)):
        longer = torch.cat([padding[:before], poisoned, padding[:after]])
        mask = torch.nn.functional.pad(PAD, (0, 0, before, after), value=True)
        longer_h, longer_last = sru(longer, c0, mask)
        torch.testing.assert_close((longer_h[before:-after], longer_last), (h, last))
        assert longer_h.masked_select(mask[:, :, None]).count_nonzero() == 0
    (grad,) = torch.autograd.grad(longer_h.sum(), poisoned)
    assert grad.masked_select(PAD[:, :, None]).count_nonzero() == 0
    assert grad.isfinite().all()


def test_a_sequence_without_tokens_keeps_its_state() -> None:
    sru = made("plain", bidirectional=True)
    x, c0 = sequences(sru)
    for empty in ([1], range(B)):
        pad = PAD.clone()
        pad[:, list(empty)] = True
        h, last = sru(x, c0, pad)
        torch.testing.assert_close(last[:, list(empty)], c0[:, list(empty)])
        assert h[:, list(empty)].count_nonzero() == 0


@pytest.mark.parametrize("shape", [(T, 0), (0, B)], ids=["no sequences", "no steps"])
def test_batches_may_be_empty(shape: tuple[int, int]) -> None:
    sru = made("plain", bidirectional=True)
    sru.nn_rnn_compatible_return = True
    x = torch.zeros(*shape, WIDTH, dtype=torch.float64)
    for pad in (None, torch.zeros(shape, dtype=torch.bool)):
        h, last = sru(x, mask_pad=pad)
        assert (h.shape, last.shape) == ((*shape, 6), (6, shape[1], 3))
        (h.sum() + last.sum()).backward()


def test_packed_sequences_give_packed_sequences() -> None:
    sru = made("plain", bidirectional=True)
    x, c0 = sequences(sru)
    packed, last = sru(pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False), c0)
    h, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == LENGTHS
    torch.testing.assert_close((h, last), sru(x, c0, PAD))


def test_last_states_can_be_shaped_as_torchs() -> None:
    sru = made("plain", bidirectional=True)
    x, c0 = sequences(sru)
    _, last = sru(x, c0, PAD)
    sru.nn_rnn_compatible_return = True
    _, compatible = sru(x, c0, PAD)
    assert compatible.shape == (6, B, 3)
    for layer in range(3):
        torch.testing.assert_close(
            torch.cat([compatible[2 * layer], compatible[2 * layer + 1]], 1), last[layer]
        )


def test_dropout_drops_units_of_a_sequence_for_all_steps() -> None:
    torch.manual_seed(0)
    cell = SRUCell(3, 3, dropout=0.5)
    x = torch.randn(T, B, 3)
    h, _ = cell(x, mask_pad=PAD)
    dropped = (h == x * cell.scale_x).masked_fill(PAD[:, :, None], False)  # only the skip term is left
    assert (dropped.any(0) == (dropped | PAD[:, :, None]).all(0)).all()
    assert 0 < dropped.sum() < (~PAD).sum() * 3
    cell.eval()
    torch.testing.assert_close(cell(x, mask_pad=PAD), cell(x, mask_pad=PAD))


def test_a_single_step_is_a_sequence_of_one() -> None:
    cell = SRUCell(WIDTH, 3)
    x, c0 = torch.randn(B, WIDTH), torch.randn(B, 3)
    h, last = cell(x, c0)
    torch.testing.assert_close((h[None], last), cell(x[None], c0))


def test_the_backward_pass_can_run_again_on_a_kept_graph() -> None:
    sru = made("plain", bidirectional=False)
    x, c0 = sequences(sru)
    h, _ = sru(x, c0, PAD)
    first = torch.autograd.grad(h.sum(), x, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(h.sum(), x), first)


def test_differentiating_twice_is_refused() -> None:
    sru = made("plain", bidirectional=False)
    x, c0 = sequences(sru)
    (grad,) = torch.autograd.grad(sru(x, c0)[0].square().sum(), x, create_graph=True)
    message = "trying to differentiate twice a function that was marked with @once_differentiable"
    with pytest.raises(RuntimeError, match=message):
        grad.sum().backward()


@pytest.mark.parametrize("options", [{"hidden_size": 3, "bidirectional": True}, {"hidden_size": WIDTH}])
def test_autocast_trains(options: dict[str, Any]) -> None:
    sru = SRU(WIDTH, **options)
    x = torch.randn(T, B, WIDTH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h, last = sru(nn.Linear(WIDTH, WIDTH)(x), mask_pad=PAD)
        (h.sum() + last.sum()).backward()
    assert h.dtype == torch.float32
    assert all(parameter.grad is not None for parameter in sru.parameters())


class Products(nn.Module):
    def __init__(self, width: int, with_v: bool) -> None:
        super().__init__()
        self.u = nn.Linear(width, 3 * 4, bias=False)
        self.v = nn.Linear(width, 3 * 2, bias=False) if with_v else None

    def forward(self, x: torch.Tensor) -> Any:
        return self.u(x) if self.v is None else (self.u(x), self.v(x))


def test_a_module_can_take_the_weights_place() -> None:
    torch.manual_seed(0)
    plain, custom = SRUCell(WIDTH, 3), SRUCell(WIDTH, 3, custom_m=Products(WIDTH, with_v=False))
    custom.load_state_dict({k: v for k, v in plain.state_dict().items() if k != "weight"}, strict=False)
    custom.custom_m.u.weight.data = plain.weight.data.T
    x = torch.randn(T, B, WIDTH)
    torch.testing.assert_close(custom(x, mask_pad=PAD), plain(x, mask_pad=PAD))


@pytest.mark.parametrize(
    ("shape", "c0", "mask", "message"),
    [
        ((T, 5), None, None, "the input must have three dimensions, the last of size 5; its shape is (6, 5)"),
        (
            (T, B, 7),
            None,
            None,
            "the input must have three dimensions, the last of size 5; its shape is (6, 4, 7)",
        ),
        ((T, B, 5), (2, B, 4), None, "c0 must be of shape (2, 4, 3), not (2, 4, 4)"),
        ((T, B, 5), None, (B, T), "mask_pad must be of shape (length, batch), (6, 4), not (4, 6)"),
    ],
)
def test_wrong_shapes_are_named(shape: Any, c0: Any, mask: Any, message: str) -> None:
    sru = SRU(WIDTH, 3)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sru(torch.zeros(shape), c0 and torch.zeros(c0), mask and torch.zeros(mask))


def test_wrong_products_and_modules_are_named() -> None:
    x = torch.zeros(T, B, WIDTH)
    message = "custom_m must return [(6, 4, 12)] or [(6, 4, 12), (6, 4, 6)]; it gave [(6, 4, 15)]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SRUCell(WIDTH, 3, custom_m=nn.Linear(WIDTH, 15))(x)
    with pytest.raises(ValueError, match=r"^custom_m has 1 modules for 2 layers$"):
        SRU(WIDTH, 3, 2, custom_m=[nn.Linear(WIDTH, 12)])
    with pytest.raises(ValueError, match=r"^dropout 1.0 and rnn_dropout 0.0 must be at least 0 and below 1$"):
        SRU(WIDTH, 3, 2, dropout=1.0)


def test_training_neither_warns_nor_imports_the_package() -> None:
    code = """
import sys, torch
from flambe_nlp.sru import SRU
SRU(3, 5)(torch.zeros(7, 2, 3))[0].sum().backward()
assert not {"sru", "torch.utils.cpp_extension"} & set(sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
