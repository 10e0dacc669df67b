from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

from flambe.component import origin_of
from flambe_torch.nn import (
    EmbeddingEncoder,
    MLPEncoder,
    Model,
    Module,
    RNNEncoder,
    SoftmaxDecoder,
    pooling_of,
)

B, T, C, E = 4, 6, 3, 5  # unequal, so that no test passes with two of them confused
LENGTHS = torch.tensor([6, 1, 3, 4])
MASK = torch.arange(T)[None] < LENGTHS[:, None]


def inputs() -> torch.Tensor:
    return torch.randn(B, T, E, generator=torch.Generator().manual_seed(0))


def lstm_reference(x: torch.Tensor, rnn: nn.LSTM, suffix: str) -> torch.Tensor:
    """The outputs (T, H) for one sequence (T, input) in one layer and direction, gate by gate.

    Source: Hochreiter and Schmidhuber 1997, with forget gates, as `torch.nn.LSTM` documents.
    """
    w_i, w_h, b_i, b_h = (
        getattr(rnn, f"{n}_{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = torch.zeros(w_h.shape[1])
    outputs = []
    for step in x if "reverse" not in suffix else x.flip(0):
        i, f, g, o = (w_i @ step + b_i + w_h @ h + b_h).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    stacked = torch.stack(outputs)
    return stacked if "reverse" not in suffix else stacked.flip(0)


def test_lstm_outputs_are_those_of_each_row_alone() -> None:
    encoder = RNNEncoder(E, 7, n_layers=2)
    output = encoder(inputs(), MASK)
    assert output.shape == (B, T, 7)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = lstm_reference(inputs()[row, :length], encoder.rnn, "l0")
        expected = lstm_reference(expected, encoder.rnn, "l1")
        torch.testing.assert_close(output[row, :length], expected)
        assert output[row, length:].count_nonzero() == 0


def test_last_pooling_of_both_directions_takes_their_final_states() -> None:
    encoder = RNNEncoder(E, 7, bidirectional=True, pooling="last")
    assert encoder.output_size == 14
    output = encoder(inputs(), MASK)
    for row, length in enumerate(LENGTHS.tolist()):
        forward = lstm_reference(inputs()[row, :length], encoder.rnn, "l0")
        backward = lstm_reference(inputs()[row, :length], encoder.rnn, "l0_reverse")
        torch.testing.assert_close(output[row], torch.cat([forward[-1], backward[0]]))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("rnn_type", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("pooling", [None, "first", "last", "mean", "max", "sum"])
def test_encoding_does_not_depend_on_padding(pooling: str | None, rnn_type: str, bidirectional: bool) -> None:
    encoder = RNNEncoder(E, 7, 2, rnn_type=rnn_type, bidirectional=bidirectional, pooling=pooling)
    noisy = torch.where(MASK[:, :, None], inputs(), 1e3)
    longer = torch.cat([noisy, torch.full((B, 5, E), -50.0)], dim=1)  # (B, T + 5, E)
    longer_mask = torch.cat([MASK, torch.zeros(B, 5, dtype=torch.bool)], dim=1)
    expected, padded = encoder(inputs(), MASK), encoder(longer, longer_mask)
    torch.testing.assert_close(padded if pooling else padded[:, :T], expected)
    alone = encoder(inputs()[1:2, :1])
    torch.testing.assert_close(expected[1:2] if pooling else expected[1:2, :1], alone)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projected_states_of_an_lstm_are_as_wide_as_their_projection() -> None:
    torch.manual_seed(0)
    encoder = RNNEncoder(5, 8, bidirectional=True, pooling="last", rnn_options={"proj_size": 3})
    x = torch.randn(4, 6, 5)
    _, (last, _) = encoder.rnn(x)  # (2, B, 3)
    assert encoder.output_size == 6
    torch.testing.assert_close(encoder(x), torch.cat([last[0], last[1]], 1))


def test_nearly_full_batches_are_not_packed_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = RNNEncoder(E, 7, pooling="mean")
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[0, -1] = False
    plain = encoder(inputs(), mask)
    monkeypatch.setattr("flambe_torch.nn.rnn.DENSE", 1.1)
    torch.testing.assert_close(encoder(inputs(), mask), plain)


def test_empty_rows_are_encoded() -> None:
    mask = MASK.clone()
    mask[1] = False
    for pooling in ("first", "last", "mean", "max", "sum"):
        output = RNNEncoder(E, 7, bidirectional=True, pooling=pooling)(inputs(), mask)
        assert output.isfinite().all()
        assert output[1].count_nonzero() == 0


def test_unknown_types_and_poolings_are_named() -> None:
    with pytest.raises(ValueError, match=re.escape("no RNN is called 'lstn'; there are lstm, gru, rnn")):
        RNNEncoder(E, 7, rnn_type="lstn")
    with pytest.raises(
        ValueError, match="no pooling is called 'avg'; there are first, last, sum, mean, average, max"
    ):
        RNNEncoder(E, 7, pooling="avg")


@pytest.mark.parametrize("name", ["first", "last", "sum", "mean", "max"])
def test_poolings_agree_with_a_loop(name: str) -> None:
    reference = {
        "first": lambda rows: rows[0],
        "last": lambda rows: rows[-1],
        "sum": lambda rows: rows.sum(0),
        "mean": lambda rows: rows.mean(0),
        "max": lambda rows: rows.max(0).values,
    }[name]
    pooling = pooling_of(name)
    assert pooling is not None
    x = inputs()
    expected = torch.stack([reference(x[row, :length]) for row, length in enumerate(LENGTHS.tolist())])
    torch.testing.assert_close(pooling(x, MASK), expected)
    torch.testing.assert_close(pooling(x), torch.stack([reference(row) for row in x]))


def test_embeddings_look_up_the_matrix_and_keep_padding_at_zero() -> None:
    matrix = np.arange(1, 36, dtype=np.float64).reshape(7, E)
    encoder = EmbeddingEncoder(7, E, matrix)
    tokens = torch.tensor([[1, 6, 0], [3, 0, 0]])
    embedded = encoder(tokens)
    assert embedded.shape == (2, 3, E)
    assert embedded[0, 1].tolist() == matrix[6].tolist()
    assert embedded[:, 2].count_nonzero() == 0
    embedded.sum().backward()
    assert encoder.embedding.weight.grad is not None
    assert encoder.embedding.weight.grad[0].count_nonzero() == 0
    matrix[1] = 0
    assert encoder(tokens)[0, 0, 0] == 6, "the matrix is copied"
    assert EmbeddingEncoder(7, embedding_matrix=matrix).embedding_size == E
    assert EmbeddingEncoder(7, 2, freeze=True).trainable_params == []


def test_embedding_sizes_that_do_not_fit_are_told() -> None:
    expected = "embedding_matrix must be (7, 4), but it is (7, 5)"
    with pytest.raises(ValueError, match=re.escape(expected)):
        EmbeddingEncoder(7, 4, np.zeros((7, 5)))
    expected = "embedding_matrix must be (8, any), but it is (7, 5)"
    with pytest.raises(ValueError, match=re.escape(expected)):
        EmbeddingEncoder(8, embedding_matrix=np.zeros((7, 5)))
    with pytest.raises(ValueError, match="EmbeddingEncoder needs embedding_size or embedding_matrix"):
        EmbeddingEncoder(7)


def test_softmax_decoder_gives_log_probabilities() -> None:
    decoder = SoftmaxDecoder(E, C)
    x = inputs()[:, 0]
    (linear,) = decoder.mlp.layers
    scores = x @ linear.weight.T + linear.bias
    torch.testing.assert_close(decoder(x), scores - scores.exp().sum(-1, keepdim=True).log())
    torch.testing.assert_close(SoftmaxDecoder(E, C, take_log=False)(x).sum(-1), torch.ones(B))
    assert SoftmaxDecoder(E, C, n_layers=3, hidden_size=9)(inputs()).shape == (B, T, C)


def test_mlp_applies_its_layers_in_turn() -> None:
    mlp = MLPEncoder(E, C, n_layers=2, hidden_size=9, output_activation=nn.Tanh())
    first, second = mlp.layers
    expected = torch.tanh(second(torch.relu(first(inputs()))))
    torch.testing.assert_close(mlp(inputs()), expected)


class Net(Model):
    def __init__(self, first: Module, second: Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


def net() -> Net:
    return Net(MLPEncoder(2, 3), second=SoftmaxDecoder(3, 2))


def test_parameters_and_norms() -> None:
    model = net()
    model.first.requires_grad_(False)
    assert len(model.params) == 4
    assert [name for name, _ in model.named_trainable_params] == [
        "second.mlp.layers.0.weight",
        "second.mlp.layers.0.bias",
    ]
    assert model.num_parameters() == 9 + 8
    assert model.num_parameters(trainable=True) == 8
    assert model.gradient_norm == 0
    model(torch.ones(4, 2))[:, 0].sum().backward()
    squares = sum(float((p.grad**2).sum()) for p in model.trainable_params if p.grad is not None)
    assert float(model.gradient_norm) == pytest.approx(squares**0.5)
    model.clip_gradient_norm(0.01)
    assert float(model.gradient_norm) == pytest.approx(0.01, rel=1e-3)
    model.clip_params(0.1)
    assert max(float(p.detach().abs().max()) for p in model.params) == pytest.approx(0.1)
    assert float(model.parameter_norm.detach()) == pytest.approx(
        sum(float((p.detach() ** 2).sum()) for p in model.params) ** 0.5
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_modules_can_be_copied_and_pickled(copied: object) -> None:
    model = net()
    twin = copied(model)  # type: ignore[operator]
    x = torch.ones(4, 2)
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=0)
    origin = origin_of(twin)
    assert origin is not None
    assert origin.arguments["first"] is twin.first
    with torch.no_grad():
        twin.first.layers[0].weight.zero_()
    assert model.first.layers[0].weight.count_nonzero() > 0
