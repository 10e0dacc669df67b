from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe_torch.metrics import Accuracy
from flambe_torch.samplers import BaseSampler
from flambe_torch.team import team_size
from flambe_torch.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch.distributed")


def rows(count: int) -> torch.utils.data.TensorDataset:
    x = torch.randn(count, 5, generator=torch.Generator().manual_seed(1))
    return torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())


def make(devices: int, batch_size: int) -> Trainer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2), nn.LogSoftmax(-1))
    return Trainer(
        BaseSampler(rows(32), batch_size, shuffle=False),
        BaseSampler(rows(37), 5),
        model,
        nn.NLLLoss(),
        Accuracy(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
        max_steps=3,
        iter_per_step=3,
        accelerator="cpu",
        devices=devices,
    )


def train(trainer: Trainer, *, interrupt: bool) -> tuple[float | None, torch.Tensor]:
    while trainer.step():
        trainer.custom_state()
        if interrupt:
            trainer.close()
    return trainer.metric(), nn.utils.parameters_to_vector(trainer.model.parameters())


@pytest.mark.slow
def test_two_processes_train_as_one_with_batches_twice_as_large() -> None:
    metric, weights = train(make(devices=2, batch_size=4), interrupt=True)
    expected_metric, expected = train(make(devices=1, batch_size=8), interrupt=False)
    torch.testing.assert_close(weights, expected)
    assert metric == pytest.approx(expected_metric)


class Stubborn(nn.Module):
    def __reduce__(self) -> object:
        raise AssertionError("not to be sent")


@pytest.mark.slow
def test_a_trainer_that_cannot_be_sent_is_told() -> None:
    trainer = make(devices=2, batch_size=4)
    trainer.loss_fn = Stubborn()
    with pytest.raises(AssertionError, match="not to be sent"):
        trainer.step()


@pytest.mark.parametrize(
    ("devices", "size"), [(1, 1), (2, 2), ("auto", 1), ("2", 2), ("0,3", 2), ([1], 1), ([0, 1], 2), (-1, -1)]
)
def test_devices_are_counted(devices: int | str | list[int], size: int) -> None:
    assert team_size(devices) == size
