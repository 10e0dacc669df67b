from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import flambe
from flambe_nlp.language_modeling import CorpusSampler, LanguageModel
from flambe_nlp.sru import TransformerSRUEncoder
from flambe_torch.evaluator import Evaluator
from flambe_torch.metrics import BPC, Perplexity
from flambe_torch.nn import (
    CNNEncoder,
    EmbeddingEncoder,
    MLPEncoder,
    RNNEncoder,
    Sequential,
    SoftmaxDecoder,
    TransformerEncoder,
)
from flambe_torch.samplers import BaseSampler
from flambe_torch.trainer import Trainer

V, E, H, B, T = 11, 6, 7, 3, 5
KINDS = ["lstm", "gru", "rnn", "sru", "transformer", "transformer-sru"]


def encoder(kind: str, hidden: int = H) -> nn.Module:
    if kind.startswith("transformer"):
        made = TransformerEncoder if kind == "transformer" else TransformerSRUEncoder
        return made(E, hidden, n_heads=1, n_layers=1, dim_feedforward=9, dropout=0, causal=True)
    return RNNEncoder(E, hidden, 2, rnn_type=kind)


def make(kind: str = "lstm", hidden: int = H, **options: Any) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(EmbeddingEncoder(V, E), encoder(kind, hidden), SoftmaxDecoder(hidden, V), **options)


def corpus(count: int = 200, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, V, (count,), generator=torch.Generator().manual_seed(seed))


def trainer(**options: Any) -> Trainer:
    model = make(dropout=0.3, **options)
    return Trainer(
        CorpusSampler(corpus(), B, T),  # 14 batches a pass
        CorpusSampler(corpus(90, 1), 2, 4),
        model,
        nn.NLLLoss(),
        Perplexity(),
        optimizer=torch.optim.Adam(model.parameters(), lr=0.02),
        max_steps=6,
        iter_per_step=5,  # passes and steps end at different batches
        accelerator="cpu",
    )


def train(trained: Trainer) -> Trainer:
    while trained.step():
        pass
    return trained


def taken_up(stopped: Trainer, folder: Path, **options: Any) -> Trainer:
    """Another trainer, trained to its end from what `stopped` saves and the random numbers after that."""
    flambe.save(stopped, str(folder / "saved"))
    random = torch.get_rng_state()
    stopped.close()
    other = trainer(**options)
    flambe.load_state(other, str(folder / "saved"))
    other.optimizer.load_state_dict(stopped.optimizer.state_dict())  # no config built it
    torch.set_rng_state(random)
    return train(other)


def vector(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_sees_what_is_before_it_and_nothing_after(kind: str) -> None:
    model = make(kind).eval()
    tokens = corpus(B * 8).view(B, 8)
    before = model(tokens)
    assert before.shape == (B, 8, V)
    torch.testing.assert_close(before.exp().sum(-1), torch.ones(B, 8))
    later = tokens.clone()
    later[:, 5] = later[:, 5] % (V - 1) + 1
    after = model(later)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not torch.allclose(after[:, 5:], before[:, 5:])


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "sru"])
def test_streams_are_encoded_as_if_read_in_one_go(kind: str) -> None:
    model = make(kind).eval()
    sampler = CorpusSampler(corpus(), B, T)
    for _ in range(2):  # a second pass starts anew
        parts = torch.cat([model(tokens, start) for tokens, start, _ in sampler], dim=1)
        whole = model(torch.cat([tokens for tokens, _, _ in sampler], dim=1))
        torch.testing.assert_close(parts, whole)


def test_a_row_that_starts_forgets_alone() -> None:
    model = make().eval()
    first, second = corpus(B * T).view(B, T), corpus(B * T, 1).view(B, T)
    model(first, torch.ones(B, dtype=torch.bool))
    mixed = model(second, torch.tensor([False, True, False]))
    joined, alone = model(torch.cat([first, second], 1))[:, T:], model(second)
    torch.testing.assert_close(mixed[[0, 2]], joined[[0, 2]])
    torch.testing.assert_close(mixed[1], alone[1])


def test_gradients_do_not_reach_the_batch_before() -> None:
    model = make()
    going_on = torch.zeros(B, dtype=torch.bool)
    model(corpus(B * T).view(B, T), ~going_on)
    (carried,) = model._carried.values()
    assert not any(tensor.requires_grad for tensor in carried)
    model(corpus(B * T, 1).view(B, T), going_on).sum().backward()


def test_a_look_at_dev_does_not_disturb_training() -> None:
    model = make()
    batches = list(CorpusSampler(corpus(), B, T))
    plain = [model(tokens, start) for tokens, start, _ in batches]
    disturbed = []
    for tokens, start, _ in batches:
        disturbed.append(model(tokens, start))
        model.eval()
        for dev, first, _ in CorpusSampler(corpus(50, 1), 4, 3):
            model(dev, first)
        model.train()
    torch.testing.assert_close(disturbed, plain)


def test_streams_cannot_change_their_number_on_the_way() -> None:
    model = make()
    model(corpus(B * T).view(B, T), torch.ones(B, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"^a batch of 2 streams cannot go on from one of 3$"):
        model(corpus(2 * T).view(2, T), torch.zeros(2, dtype=torch.bool))
    assert model(corpus(2 * T).view(2, T), torch.ones(2, dtype=torch.bool)).shape == (2, T, V)


def test_training_that_is_taken_up_again_goes_on_exactly(tmp_path: Path) -> None:
    expected = train(trainer())
    for steps in (1, 3):
        stopped = trainer()
        for _ in range(steps):
            stopped.step()
        resumed = taken_up(stopped, tmp_path / str(steps))
        assert torch.equal(vector(resumed.model), vector(expected.model))
        assert resumed.metric() == expected.metric()
    without = trainer()
    for _ in range(3):
        without.step()
    without.model._carried = {}  # what is carried makes a difference
    assert not torch.equal(vector(train(without).model), vector(expected.model))


def test_perplexity_is_that_of_all_tokens_and_agrees_with_the_dev_loss() -> None:
    trained = trainer()
    trained.step()
    model, sampler = trained.model.eval(), trained.dev_sampler
    total, count = 0.0, 0
    for tokens, start, target in sampler:  # its last batch is shorter
        scores = model(tokens, start)
        for row, targets in zip(scores.tolist(), target.tolist(), strict=True):
            total -= sum(places[token] for places, token in zip(row, targets, strict=True))
            count += len(targets)
    assert count == 88
    assert trained.metric() == pytest.approx(math.exp(total / count), rel=1e-5)
    evaluator = Evaluator(model, BPC(), sampler, extra_metrics=[Perplexity()])
    evaluator.step()
    assert evaluator.metric() == pytest.approx(total / count / math.log(2), rel=1e-5)
    assert trained._fit is not None
    assert trained._fit.results["dev/loss"] == pytest.approx(total / count, rel=1e-5)
    trained.close()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_counts_for_nothing(kind: str) -> None:
    model = make(kind).eval()
    texts = [corpus(length, length).tolist() for length in (8, 3, 5)]
    data = [(text[:-1], text[1:]) for text in texts]
    loss = sum(float(-model(torch.tensor([x]))[0].gather(1, torch.tensor(y)[:, None]).sum()) for x, y in data)
    evaluator = Evaluator(model, Perplexity(), BaseSampler(data, 3))
    evaluator.step()
    assert evaluator.metric() == pytest.approx(math.exp(loss / 13), rel=1e-5)


def test_tied_weights_are_one_and_stay_so(tmp_path: Path) -> None:
    model = make(hidden=E, tie_weights=True)
    separate = make(hidden=E)
    assert model.num_parameters() == separate.num_parameters() - V * E
    weight = model.embedding.embedding.weight
    layer = model.decoder.mlp.layers[0]
    assert layer.weight is weight
    made = [model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.double()]
    flambe.save(make(hidden=E, tie_weights=True), str(tmp_path / "saved"))
    made.append(flambe.load(str(tmp_path / "saved")))
    for other in made:
        assert other.decoder.mlp.layers[0].weight is other.embedding.embedding.weight
    stored = {
        path.parent.name: torch.load(path, weights_only=True)
        for path in (tmp_path / "saved").rglob("state.pt")
    }
    assert {name: list(state) for name, state in stored.items() if name in ("embedding", "decoder")} == {
        "embedding": ["embedding.weight"],
        "decoder": ["mlp.layers.0.bias"],
    }


def test_tied_weights_learn_from_both_sides() -> None:
    model = make(hidden=E, tie_weights=True)
    separate = make(hidden=E)
    separate.load_state_dict(
        {**model.state_dict(), "decoder.mlp.layers.0.weight": model.embedding.embedding.weight}
    )
    tokens, target = corpus(B * T).view(B, T), corpus(B * T, 1)
    for each in (model, separate):
        nn.functional.nll_loss(each(tokens).flatten(0, 1), target).backward()
    expected = separate.embedding.embedding.weight.grad + separate.decoder.mlp.layers[0].weight.grad
    torch.testing.assert_close(model.embedding.embedding.weight.grad, expected)


def test_tied_weights_survive_training_that_is_taken_up_again(tmp_path: Path) -> None:
    expected = train(trainer(hidden=E, tie_weights=True))
    stopped = trainer(hidden=E, tie_weights=True)
    stopped.step()
    resumed = taken_up(stopped, tmp_path, hidden=E, tie_weights=True)
    assert torch.equal(vector(resumed.model), vector(expected.model))


def test_weights_of_other_shapes_cannot_be_tied() -> None:
    with pytest.raises(ValueError, match="tie_weights") as caught:
        make(tie_weights=True)
    assert str(caught.value) == (
        "tie_weights needs an embedding of the shape of the decoder's last weights, (11, 7), but there is "
        "(11, 6); give the encoder (or the decoder's hidden_size) the embedding's size"
    )
    with pytest.raises(ValueError, match="needs a decoder with a linear layer in it, such as SoftmaxDecoder"):
        LanguageModel(EmbeddingEncoder(V, E), encoder("lstm"), nn.Linear(E, V), tie_weights=True)
    with pytest.raises(ValueError, match=r"^the decoder, a Identity, has no linear layer$"):
        LanguageModel(EmbeddingEncoder(V, E), encoder("lstm"), nn.Identity(), tie_weights=True)


def test_weights_are_drawn_from_the_given_range() -> None:
    model = make(init_range=0.05)
    table, layer = (
        model.embedding.embedding.weight.detach(),
        model.decoder.mlp.layers[0].requires_grad_(False),
    )
    assert 0.03 < float(table.abs().max()) <= 0.05
    assert 0.03 < float(layer.weight.abs().max()) <= 0.05
    assert float(table[0].abs().max()) == float(layer.bias.abs().max()) == 0


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_what_the_encoder_gives_is_dropped_from_in_training_alone(dropout: float) -> None:
    model, tokens = make(dropout=dropout), corpus(B * T).view(B, T)
    assert torch.equal(model(tokens), model(tokens)) == (dropout == 0)
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (RNNEncoder(E, H, bidirectional=True), "is bidirectional"),
        (RNNEncoder(E, H, pooling="last"), "has a pooling"),
        (TransformerEncoder(E, 8, 2, 1), r"is not causal \(set causal: true\)"),
    ],
)
def test_an_encoder_that_sees_later_tokens_is_refused(made: nn.Module, what: str) -> None:
    with pytest.raises(ValueError, match=f"must not see later tokens, but it {what}$"):
        LanguageModel(EmbeddingEncoder(V, E), made, SoftmaxDecoder(H, V))


@pytest.mark.parametrize(
    "made",
    [
        CNNEncoder(E, [H], kernel_size=3),
        Sequential(first=RNNEncoder(E, 4, bidirectional=True), second=MLPEncoder(8, H)),
    ],
    ids=["convolution", "inside"],
)
def test_an_encoder_that_turns_out_to_see_later_tokens_is_refused(made: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"what this one gives for a token changes with those behind it$"):
        LanguageModel(EmbeddingEncoder(V, E), made, SoftmaxDecoder(H, V))


def test_trying_an_encoder_leaves_no_trace() -> None:
    torch.manual_seed(0)
    encoder = Sequential(rnn=RNNEncoder(E, H), drop=nn.Dropout(0.5))
    encoder.rnn.eval()
    embedding, decoder = EmbeddingEncoder(V, E), SoftmaxDecoder(H, V)
    before = torch.get_rng_state()
    LanguageModel(embedding, encoder, decoder)
    assert torch.equal(torch.get_rng_state(), before)
    assert (encoder.training, encoder.rnn.training, encoder.drop.training) == (True, False, True)


def test_layers_that_would_forget_between_batches_are_refused() -> None:
    encoder = Sequential(rnn=RNNEncoder(E, H), more=MLPEncoder(H, H))
    model = LanguageModel(EmbeddingEncoder(V, E), encoder, SoftmaxDecoder(H, V))
    tokens = corpus(B * T).view(B, T)
    assert model(tokens).shape == (B, T, V)  # rows by themselves
    with pytest.raises(
        ValueError, match=r"^a Sequential cannot carry the state of its RNNEncoder from batch to"
    ):
        model(tokens, torch.ones(B, dtype=torch.bool))


def test_streams_are_not_dealt_out_to_several_processes() -> None:
    model = make()
    with pytest.raises(ValueError, match="each batch of a CorpusSampler goes on where the one before ended"):
        Trainer(
            CorpusSampler(corpus(), B, T),
            CorpusSampler(corpus(), B, T),
            model,
            nn.NLLLoss(),
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            accelerator="cpu",
            devices=2,
        )
