"""Transformers against attention that is written out, row by row and head by head."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from flambe.errors import CannotChangeError
from flambe_torch.nn import Transformer, TransformerDecoder, TransformerEncoder

B, T, S, E, D, HEADS = 4, 6, 5, 3, 8, 2  # unequal, so that no test passes with two of them confused
LENGTHS, MEMORY_LENGTHS = torch.tensor([6, 1, 3, 4]), torch.tensor([2, 5, 1, 3])
MASK = torch.arange(T) < LENGTHS[:, None]
MEMORY_MASK = torch.arange(S) < MEMORY_LENGTHS[:, None]
SIZES = {"d_model": D, "n_heads": HEADS, "dim_feedforward": 7, "dropout": 0.0}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def attended(
    layer: nn.MultiheadAttention, queries: torch.Tensor, keys: torch.Tensor, *, causal: bool
) -> torch.Tensor:
    """Multi-head attention of one row, (Q, D) to (K, D): softmax(q kᵀ / √d) v for each head and query."""
    q_rows, k_rows, v_rows = (
        rows @ weight.T + bias
        for rows, weight, bias in zip(
            (queries, keys, keys), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True
        )
    )
    size = D // HEADS
    results = []
    for place, query in enumerate(q_rows):
        seen = place + 1 if causal else len(keys)
        heads = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = torch.stack([query[part] @ k_rows[key, part] for key in range(seen)]) / math.sqrt(size)
            weights = scores.exp() / scores.exp().sum()
            heads.append(sum(weights[key] * v_rows[key, part] for key in range(seen)))
        results.append(torch.cat(heads))
    return torch.stack(results) @ layer.out_proj.weight.T + layer.out_proj.bias


def normalized(layer: nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    spread = (x - x.mean(-1, keepdim=True)).square().mean(-1, keepdim=True)
    return (x - x.mean(-1, keepdim=True)) / (spread + layer.eps).sqrt() * layer.weight + layer.bias


def fed_forward(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    inner = torch.relu(x @ layer.linear1.weight.T + layer.linear1.bias)
    return inner @ layer.linear2.weight.T + layer.linear2.bias


def sinusoids(length: int, size: int) -> torch.Tensor:
    table = torch.zeros(length, size)
    for place in range(length):
        for entry in range(size):
            angle = place / 10000 ** (2 * (entry // 2) / size)
            table[place, entry] = math.sin(angle) if entry % 2 == 0 else math.cos(angle)
    return table


def encoded(encoder: TransformerEncoder, x: torch.Tensor, *, causal: bool, norm_first: bool) -> torch.Tensor:
    """One row (T, D)."""
    x = x @ encoder.input.projection.weight.T + encoder.input.projection.bias
    x = x + sinusoids(len(x), D)
    for layer in encoder.layers:
        if norm_first:
            inside = normalized(layer.norm1, x)
            x = x + attended(layer.self_attn, inside, inside, causal=causal)
            x = x + fed_forward(layer, normalized(layer.norm2, x))
        else:
            x = normalized(layer.norm1, x + attended(layer.self_attn, x, x, causal=causal))
            x = normalized(layer.norm2, x + fed_forward(layer, x))
    return normalized(encoder.norm, x) if norm_first else x


def decoded(decoder: TransformerDecoder, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """One row (T, D), causal."""
    x = x @ decoder.input.projection.weight.T + decoder.input.projection.bias
    x = x + sinusoids(len(x), D)
    memory = memory if len(memory[0]) == D else memory @ decoder.memory.weight.T + decoder.memory.bias
    for layer in decoder.layers:
        x = normalized(layer.norm1, x + attended(layer.self_attn, x, x, causal=True))
        x = normalized(layer.norm2, x + attended(layer.multihead_attn, x, memory, causal=False))
        x = normalized(layer.norm3, x + fed_forward(layer, x))
    return x


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_encoder_gives_what_each_row_alone_gives(causal: bool, norm_first: bool, training: bool) -> None:
    encoder = TransformerEncoder(E, n_layers=2, causal=causal, norm_first=norm_first, **SIZES)
    encoder.train(training)
    x = drawn(B, T, E)
    with torch.set_grad_enabled(training):  # torch takes a faster path where nothing is trained
        output = encoder(x, MASK)
    assert output.shape == (B, T, encoder.output_size) == (B, T, D)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = encoded(encoder, x[row, :length], causal=causal, norm_first=norm_first)
        torch.testing.assert_close(output[row, :length], expected, atol=1e-5, rtol=1e-4)
        assert output[row, length:].count_nonzero() == 0


def test_decoder_gives_what_each_row_alone_gives() -> None:
    decoder = TransformerDecoder(E, n_layers=2, memory_size=5, **SIZES)
    x, memory = drawn(B, T, E), drawn(B, S, 5)
    output = decoder(x, memory, MASK, MEMORY_MASK)
    for row, (length, seen) in enumerate(zip(LENGTHS.tolist(), MEMORY_LENGTHS.tolist(), strict=True)):
        expected = decoded(decoder, x[row, :length], memory[row, :seen])
        torch.testing.assert_close(output[row, :length], expected, atol=1e-5, rtol=1e-4)
        assert output[row, length:].count_nonzero() == 0


def test_transformer_reads_the_source_and_writes_the_target() -> None:
    model = Transformer(E, n_encoder_layers=1, n_decoder_layers=2, target_size=4, **SIZES)
    source, target = drawn(B, S, E), drawn(B, T, 4)
    output = model(source, target, MEMORY_MASK, MASK)
    assert output.shape == (B, T, model.output_size)
    for row, (length, seen) in enumerate(zip(LENGTHS.tolist(), MEMORY_LENGTHS.tolist(), strict=True)):
        memory = encoded(model.encoder, source[row, :seen], causal=False, norm_first=False)
        expected = decoded(model.decoder, target[row, :length], memory)
        torch.testing.assert_close(output[row, :length], expected, atol=1e-5, rtol=1e-4)


def test_layers_begin_with_different_weights() -> None:
    first, second = TransformerEncoder(E, n_layers=2, **SIZES).layers
    assert (first.linear1.weight != second.linear1.weight).any()
    assert (first.self_attn.in_proj_weight != second.self_attn.in_proj_weight).any()


def test_order_is_seen_through_positions_alone() -> None:
    x = drawn(B, T, E)
    for positions in ("sinusoidal", "learned", None):
        encoder = TransformerEncoder(E, n_layers=1, positions=positions, pooling="mean", **SIZES)
        same = torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-5)
        assert same == (positions is None)


def test_a_causal_encoder_does_not_look_ahead() -> None:
    encoder = TransformerEncoder(E, n_layers=2, causal=True, **SIZES)
    x = drawn(B, T, E)
    changed = x.clone()
    changed[:, 3:] = 9.0
    torch.testing.assert_close(encoder(x)[:, :3], encoder(changed)[:, :3])
    assert not torch.allclose(encoder(x)[:, 3:], encoder(changed)[:, 3:])


def test_dropout_may_change_everywhere_at_once() -> None:
    model = Transformer(E, n_encoder_layers=1, n_decoder_layers=1, **SIZES)
    source, target = drawn(B, S, E), drawn(B, T, E)
    assert torch.equal(model(source, target), model(source, target))
    model.change("dropout", 0.5)
    shares = {m.p for m in model.modules() if isinstance(m, nn.Dropout)}
    assert shares | {m.dropout for m in model.modules() if isinstance(m, nn.MultiheadAttention)} == {0.5}
    assert not torch.equal(model(source, target), model(source, target))
    with pytest.raises(CannotChangeError, match="Transformer cannot change 'd_model' while it trains"):
        model.change("d_model", 3)


def test_sizes_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match=r"^d_model must be a multiple of n_heads, but 8 is none of 3$"):
        TransformerEncoder(E, 8, 3)
    with pytest.raises(
        ValueError, match=r"^a sequence of 6 tokens has no learned positions: max_length is 5$"
    ):
        TransformerEncoder(E, positions="learned", max_length=5, **SIZES)(drawn(B, T, E))
    with pytest.raises(ValueError, match=r"^positions are 'sinusoidal', 'learned' or None, not 'rotary'$"):
        TransformerEncoder(E, positions="rotary", **SIZES)  # type: ignore[arg-type]
