"""What holds for every encoder, decoder and pooling: padding, gradients, saving in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import flambe
from flambe_torch.nn import (
    CNNEncoder,
    Embedder,
    EmbeddingEncoder,
    GeneralizedPooling,
    LogisticRegression,
    MixtureOfSoftmaxes,
    MLPEncoder,
    RNNEncoder,
    SelfAttentivePooling,
    Sequential,
    Transformer,
    TransformerEncoder,
)

B, T, E = 4, 6, 5
LENGTHS = torch.tensor([6, 1, 3, 4])
MASK = torch.arange(T) < LENGTHS[:, None]
SIZES: dict[str, Any] = {"d_model": 8, "n_heads": 2, "n_layers": 2, "dim_feedforward": 7}

SEQUENCES: dict[str, Callable[[], nn.Module]] = {
    "transformer": lambda: TransformerEncoder(E, **SIZES),
    "learned positions": lambda: TransformerEncoder(E, positions="learned", max_length=20, **SIZES),
    "causal": lambda: TransformerEncoder(E, causal=True, norm_first=True, activation="gelu", **SIZES),
    "cnn": lambda: CNNEncoder(E, [7, 8], [3, 2]),
    "strided cnn": lambda: CNNEncoder(E, [7, 8], 5, stride=2, pooling="mean"),
    "sequential": lambda: Sequential(mlp=MLPEncoder(E, 7), encoder=TransformerEncoder(7, **SIZES)),
    "attentive": lambda: RNNEncoder(E, 7, pooling=SelfAttentivePooling(7, 3, [4])),
    "generalized": lambda: TransformerEncoder(E, pooling=GeneralizedPooling(8, [4]), **SIZES),
}
for name in ("first", "last", "mean", "max", "sum"):
    SEQUENCES[name] = lambda name=name: TransformerEncoder(E, pooling=name, **SIZES)
    SEQUENCES[f"cnn {name}"] = lambda name=name: CNNEncoder(E, [7, 8], pooling=name)

OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "embedding": (
        lambda: Embedder(EmbeddingEncoder(9, E, positions="learned", max_length=T), pooling="mean"),
        (torch.ones(B, T, dtype=torch.long),),
    ),
    "mixture": (lambda: MixtureOfSoftmaxes(E, 3), (torch.ones(B, E),)),
    "logistic": (lambda: LogisticRegression(E), (torch.ones(B, E),)),
    "images": (
        lambda: CNNEncoder(2, [3, 4], conv_dim=2, stride=2, activation="elu"),
        (torch.randn(3, 2, 9, 8),),
    ),
    "seq2seq": (
        lambda: Transformer(E, 8, 2, 1, 2, target_size=4, dim_feedforward=7),
        (torch.randn(B, 3, E), torch.randn(B, T, 4), torch.ones(B, 3, dtype=torch.bool), MASK),
    ),
}
EVERY = {**{name: (made, (torch.randn(B, T, E), MASK)) for name, made in SEQUENCES.items()}, **OTHERS}


@pytest.mark.parametrize("name", SEQUENCES)
def test_encoding_does_not_depend_on_padding(name: str) -> None:
    encoder = SEQUENCES[name]().eval()
    x = torch.randn(B, T, E, generator=torch.Generator().manual_seed(0))
    noisy = torch.cat([torch.where(MASK[:, :, None], x, 1e3), torch.full((B, 4, E), -50.0)], dim=1)
    longer = torch.cat([MASK, torch.zeros(B, 4, dtype=torch.bool)], dim=1)
    expected, padded = encoder(x, MASK), encoder(noisy, longer)
    if expected.ndim == 3:
        assert padded[:, expected.shape[1] :].count_nonzero() == 0
        padded = padded[:, : expected.shape[1]]
    torch.testing.assert_close(padded, expected, atol=1e-5, rtol=1e-4)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(x[row : row + 1, :length])
        seen = expected[row : row + 1] if expected.ndim == 2 else expected[row : row + 1, : alone.shape[1]]
        torch.testing.assert_close(seen, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SEQUENCES)
def test_rows_without_tokens_give_0_and_finite_gradients(name: str) -> None:
    encoder = SEQUENCES[name]()
    mask = MASK.clone()
    mask[1] = False
    output = encoder(torch.randn(B, T, E), mask)
    assert output[1].count_nonzero() == 0
    output.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", EVERY)
def test_every_parameter_is_trained(name: str) -> None:
    made, inputs = EVERY[name]
    torch.manual_seed(1)
    module = made()
    output = module(*inputs)
    (output * torch.randn(output.shape)).sum().backward()
    untouched = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


@pytest.mark.parametrize("name", EVERY)
def test_a_loaded_module_gives_what_the_saved_one_gave(name: str, tmp_path: Path) -> None:
    made, inputs = EVERY[name]
    module = made()
    module(*inputs)  # batch normalization has learned something
    module.eval()
    flambe.save(module, tmp_path / "saved")
    loaded = flambe.load(tmp_path / "saved").eval()
    torch.testing.assert_close(loaded(*inputs), module(*inputs), rtol=0, atol=0)


def test_parts_of_a_module_are_loaded_by_themselves(tmp_path: Path) -> None:
    model = Sequential(
        encoder=RNNEncoder(E, 7, pooling=SelfAttentivePooling(7, 3, [4])), classes=MixtureOfSoftmaxes(21, 3)
    ).eval()
    flambe.save(model, tmp_path / "saved")
    x = torch.randn(B, T, E)
    encoder = flambe.load(tmp_path / "saved" / "encoder")
    pooling = flambe.load(tmp_path / "saved" / "encoder" / "pooling")
    classes = flambe.load(tmp_path / "saved" / "classes")
    torch.testing.assert_close(classes(encoder(x, MASK)), model(x, MASK), rtol=0, atol=0)
    assert (pooling.scores[0].weight == model.encoder.pooling.scores[0].weight).all()
    by_position = Sequential(MLPEncoder(E, 7), MLPEncoder(7, 3))
    flambe.save(by_position, tmp_path / "positions")
    torch.testing.assert_close(flambe.load(tmp_path / "positions")(x), by_position(x), rtol=0, atol=0)


DROPOUTS: dict[str, Callable[[], nn.Module]] = {
    "attention": lambda: SelfAttentivePooling(E, 3, [4], attention_dropout=0.5),
    "attention's input": lambda: SelfAttentivePooling(E, 3, [4], input_dropout=0.5),
    "generalized attention": lambda: GeneralizedPooling(E, [4], attention_dropout=0.5),
    "generalized attention's input": lambda: GeneralizedPooling(E, [4], input_dropout=0.5),
    "cnn": lambda: CNNEncoder(E, [7], dropout=0.5),
    "rnn": lambda: RNNEncoder(E, 7, 2, dropout=0.5),
    "mlp": lambda: MLPEncoder(E, 7, dropout=0.5),
    "mixture": lambda: MixtureOfSoftmaxes(E, 3, dropout=0.5),
    "transformer": lambda: TransformerEncoder(E, dropout=0.5, **SIZES),
    "transformer's input": lambda: TransformerEncoder(E, dropout=0.5, **{**SIZES, "n_layers": 0}),
    "embedding": lambda: EmbeddingEncoder(9, E, dropout=0.5),
    "embedder": lambda: Embedder(EmbeddingEncoder(9, E), dropout=0.5),
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_what_is_dropped_is_dropped_in_training_alone(name: str) -> None:
    module = DROPOUTS[name]()
    x = torch.ones(B, T, dtype=torch.long) if name.startswith("embed") else torch.randn(B, T, E)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_every_layer_of_an_mlp_is_dropped_from() -> None:
    mlp, sizes = MLPEncoder(E, 3, n_layers=3, hidden_size=7, dropout=0.5), []
    mlp.dropout.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape[-1]))
    mlp(torch.randn(B, E))
    assert sizes == [E, 7, 7]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", EVERY)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    made, inputs = EVERY[name]
    module = made().eval()
    expected = module(*inputs)
    module.cuda()
    output = module(*(tensor.cuda() for tensor in inputs))
    output.sum().backward()
    torch.testing.assert_close(output.cpu(), expected, atol=1e-4, rtol=1e-3)
