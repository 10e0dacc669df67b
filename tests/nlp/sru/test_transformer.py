"""Transformers with simple recurrent units, against attention and recurrence that are written out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import flambe
from flambe_nlp.sru import SRUCell, TransformerSRU, TransformerSRUDecoder, TransformerSRUEncoder

B, T, S, E, D, HEADS, UNITS = 4, 6, 5, 3, 8, 2, 7
LENGTHS, MEMORY_LENGTHS = torch.tensor([6, 1, 3, 4]), torch.tensor([2, 5, 1, 3])
MASK = torch.arange(T) < LENGTHS[:, None]
MEMORY_MASK = torch.arange(S) < MEMORY_LENGTHS[:, None]
SIZES: dict[str, Any] = {"d_model": D, "n_heads": HEADS, "dim_feedforward": UNITS, "dropout": 0.0}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def attended(layer: nn.MultiheadAttention, q: torch.Tensor, k: torch.Tensor, *, causal: bool) -> torch.Tensor:
    """Multi-head attention of one row, (Q, D) to (K, D)."""
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    rows = [x @ w.T + b for x, w, b in zip((q, k, k), weights, biases, strict=True)]
    size, heads = D // HEADS, []
    for head in range(HEADS):
        queries, keys, values = (x[:, head * size : (head + 1) * size] for x in rows)
        scores = queries @ keys.T / math.sqrt(size)
        for place in range(len(q) if causal else 0):
            scores[place, place + 1 :] = -math.inf
        heads.append(scores.softmax(-1) @ values)
    return torch.cat(heads, dim=1) @ layer.out_proj.weight.T + layer.out_proj.bias


def read(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The states (T, UNITS) of one row without skip terms, step by step.

    Source: Lei et al. 2018, equations 3 to 6, with h = r ⊙ c.
    """
    cell = layer.sru.rnn_lst[0]
    candidate, forget, reset = (x @ cell.weight).view(len(x), UNITS, -1).unbind(-1)
    forget_c, reset_c = cell.weight_c.view(2, -1)
    forget_bias, reset_bias = cell.bias.view(2, -1)
    state, states = torch.zeros(UNITS), []
    for place in range(len(x)):
        f = torch.sigmoid(forget[place] + forget_c * state + forget_bias)
        r = torch.sigmoid(reset[place] + reset_c * state + reset_bias)
        state = f * state + (1 - f) * candidate[place]
        states.append(r * state)
    return torch.stack(states)


def encoded(encoder: Any, x: torch.Tensor, *, causal: bool = False) -> torch.Tensor:
    x = encoder.input.projection(x)
    for layer in encoder.layers:
        x = layer.norms[0](x + attended(layer.self_attn, x, x, causal=causal))
        x = layer.norms[1](x + layer.linear2(read(layer, x)))
    return x


def decoded(decoder: Any, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    x = decoder.input.projection(x)
    for layer in decoder.layers:
        x = layer.norms[0](x + attended(layer.self_attn, x, x, causal=True))
        x = layer.norms[1](x + attended(layer.multihead_attn, x, memory, causal=False))
        x = layer.norms[2](x + layer.linear2(read(layer, x)))
    return x


@pytest.mark.parametrize("causal", [False, True])
def test_encoder_gives_what_each_row_alone_gives(causal: bool) -> None:
    encoder = TransformerSRUEncoder(E, n_layers=2, causal=causal, **SIZES)
    x = drawn(B, T, E)
    output = encoder(torch.where(MASK[:, :, None], x, 1e3), MASK)
    assert output.shape == (B, T, encoder.output_size) == (B, T, D)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = encoded(encoder, x[row, :length], causal=causal)
        torch.testing.assert_close(output[row, :length], expected, atol=1e-5, rtol=1e-4)
        assert output[row, length:].count_nonzero() == 0


def test_source_is_read_and_target_written() -> None:
    model = TransformerSRU(E, n_encoder_layers=1, n_decoder_layers=2, target_size=4, **SIZES)
    source, target = drawn(B, S, E), drawn(B, T, 4)
    output = model(source, target, MEMORY_MASK, MASK)
    assert output.shape == (B, T, model.output_size)
    for row, (length, seen) in enumerate(zip(LENGTHS.tolist(), MEMORY_LENGTHS.tolist(), strict=True)):
        expected = decoded(model.decoder, target[row, :length], encoded(model.encoder, source[row, :seen]))
        torch.testing.assert_close(output[row, :length], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True},
        {"norm_first": True, "pooling": "mean"},
        {"bidirectional": True, "sru_options": {"layer_norm": True, "has_skip_term": True, "rescale": True}},
    ],
    ids=["both ways", "norm first", "options"],
)
def test_padding_changes_nothing_everything_is_trained_and_saved(
    options: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    encoder = TransformerSRUEncoder(E, n_layers=2, **{**SIZES, **options})
    x = drawn(B, T, E)
    mask = MASK.clone()
    mask[3] = False
    output = encoder(x, mask)
    assert output[3].count_nonzero() == 0
    noisy = torch.cat([torch.where(mask[:, :, None], x, 1e3), torch.full((B, 4, E), -50.0)], dim=1)
    longer = torch.cat([mask, torch.zeros(B, 4, dtype=torch.bool)], dim=1)
    padded = encoder(noisy, longer)
    torch.testing.assert_close(padded if output.ndim == 2 else padded[:, :T], output, atol=1e-5, rtol=1e-4)
    (output * drawn(*output.shape)).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    flambe.save(encoder, tmp_path / "saved")
    torch.testing.assert_close(flambe.load(tmp_path / "saved")(x, mask), output, rtol=0, atol=0)


def test_dropout_of_the_units_is_told_apart_from_that_of_the_layers() -> None:
    options = {**SIZES, "dropout": 0.1, "sru_dropout": 0.4}
    model = TransformerSRU(E, n_encoder_layers=1, n_decoder_layers=1, **options)
    cells = [module for module in model.modules() if isinstance(module, SRUCell)]
    assert [(cell.rnn_dropout, cell.dropout) for cell in cells] == [(0.4, 0.0)] * 2
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.1}
    still = TransformerSRUEncoder(E, n_layers=1, **SIZES)
    x = drawn(B, T, E)
    torch.testing.assert_close(still(x), still(x))
    dropped = TransformerSRUEncoder(E, n_layers=1, sru_dropout=0.4, **SIZES)
    assert not torch.allclose(dropped(x), dropped(x))
    torch.testing.assert_close(dropped.eval()(x), dropped(x))


@pytest.mark.parametrize(("kind", "parts"), [(TransformerSRUEncoder, 2), (TransformerSRUDecoder, 3)])
def test_what_each_part_adds_and_the_states_are_dropped_from(kind: type, parts: int) -> None:
    made, sizes = kind(E, n_layers=1, **SIZES), []
    (layer,) = made.layers
    layer.dropout.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape[-1]))
    made(drawn(B, T, E), *([drawn(B, S, D)] if parts == 3 else []))
    assert sizes == [*[D] * (parts - 1), UNITS, D]


def test_order_is_seen_without_positions() -> None:
    encoder = TransformerSRUEncoder(E, n_layers=1, pooling="mean", **SIZES)
    x = drawn(B, T, E)
    assert not torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-3)


def test_decoder_does_not_look_ahead() -> None:
    decoder = TransformerSRUDecoder(E, n_layers=2, **SIZES)
    x, memory = drawn(B, T, E), drawn(B, S, D)
    changed = x.clone()
    changed[:, 3:] = 9.0
    torch.testing.assert_close(decoder(x, memory)[:, :3], decoder(changed, memory)[:, :3])
    with pytest.raises(ValueError, match="a causal encoder cannot be bidirectional: it would see what comes"):
        TransformerSRUEncoder(E, causal=True, bidirectional=True, **SIZES)
