from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe.logs import CURRENT, Recorder
from flambe_torch.evaluator import Evaluator
from flambe_torch.metrics import Accuracy, Perplexity
from flambe_torch.samplers import BaseSampler


class Halves(nn.Module):
    """Gives class 1 where the first column is positive; wrong in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.gradients: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.stack([-x[:, 0], x[:, 0]], dim=1) * self.weight
        self.gradients.append(logits.requires_grad)
        return -logits if self.training else logits


def evaluator() -> Evaluator:
    x = torch.tensor([[1.0], [-1.0], [2.0], [-2.0], [3.0]])
    data = torch.utils.data.TensorDataset(x, torch.tensor([1, 0, 1, 0, 0]))
    return Evaluator(
        Halves(), Accuracy(), BaseSampler(data, 2), extra_metrics=[Perplexity()], accelerator="cpu"
    )


def test_one_pass_is_measured_without_dropout_or_gradients() -> None:
    recorder = Recorder()
    token = CURRENT.set(recorder)
    made = evaluator()
    assert made.metric() is None
    assert made.step() is False
    CURRENT.reset(token)
    assert made.metric() == made.results["accuracy"]
    assert round(made.results["accuracy"], 6) == 0.8
    assert made.model.gradients == [False] * 3
    records = [(record.name, record.value, record.step) for record in recorder.take()]
    assert sorted(records) == sorted((f"eval/{name}", value, 1) for name, value in made.results.items())
    made.step()
    assert round(made.results["accuracy"], 6) == 0.8, "a second pass begins anew"


def test_the_model_is_left_in_the_mode_in_which_it_was() -> None:
    made = evaluator()
    made.model.train()
    made.step()
    assert made.model.training
    made.model.eval()
    made.step()
    assert not made.model.training


def test_a_model_of_64_bits_takes_columns_of_32() -> None:
    data = torch.utils.data.TensorDataset(torch.rand(5, 3), torch.tensor([1, 0, 1, 0, 0]))
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU()).double()
    made = Evaluator(model, Accuracy(), BaseSampler(data, 2), accelerator="cpu")
    made.step()
    right = model(data.tensors[0].double()).argmax(1) == data.tensors[1]
    assert made.metric() == pytest.approx(right.double().mean().item())


def test_no_metric_takes_the_place_of_another() -> None:
    made = evaluator()
    message = r"^two metrics are called 'accuracy'; name the extra_metrics by a mapping$"
    with pytest.raises(ValueError, match=message):
        Evaluator(made.model, Accuracy(), made.eval_sampler, extra_metrics=[Accuracy(top_k=2)])
    both = Evaluator(made.model, Accuracy(), made.eval_sampler, extra_metrics={"top_2": Accuracy(top_k=2)})
    both.step()
    assert both.results == {"top_2": 1.0, "accuracy": pytest.approx(0.8)}


def test_a_saved_evaluator_tells_its_metric() -> None:
    measured, loaded = evaluator(), evaluator()
    measured.step()
    loaded.load_custom_state(measured.custom_state())
    assert loaded.metric() == measured.metric()
    assert loaded.model.gradients == []


def test_the_direction_is_the_metrics() -> None:
    assert not evaluator().lower_is_better
    made = evaluator()
    assert Evaluator(made.model, Perplexity(), made.eval_sampler).lower_is_better


def test_rows_without_a_target_are_told() -> None:
    evaluator = Evaluator(nn.Identity(), Accuracy(), BaseSampler([([1.0, 0.0],)]))
    with pytest.raises(
        ValueError, match=r"^the last column of a batch is the target, but the rows have only one"
    ):
        evaluator.step()
