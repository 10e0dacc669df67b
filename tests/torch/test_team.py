from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe_torch.lightning import team_size
from flambe_torch.metrics import Accuracy
from flambe_torch.nn import TransformerEncoder
from flambe_torch.samplers import BaseSampler
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


class Reader(nn.Module):
    """Sequences (B, T, E) to log-probabilities (B, 2), through a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TransformerEncoder(
            3, d_model=8, n_heads=2, n_layers=2, dim_feedforward=16, dropout=0.0, pooling="mean"
        )
        self.decoder = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x)).log_softmax(-1)


@pytest.mark.slow
def test_two_processes_train_a_transformer_as_one() -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(16, 5, 3, generator=random)
    table = torch.utils.data.TensorDataset(x, (x[:, 0, 0] > 0).long())

    def trained(devices: int) -> tuple[float | None, torch.Tensor]:
        torch.manual_seed(0)
        model = Reader()
        trainer = Trainer(
            BaseSampler(table, 8 // devices, shuffle=False),
            BaseSampler(table, 5),
            model,
            nn.NLLLoss(),
            Accuracy(),
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            max_steps=2,
            iter_per_step=2,
            accelerator="cpu",
            devices=devices,
        )
        return train(trainer, interrupt=True)

    metric, weights = trained(devices=2)
    expected_metric, expected = trained(devices=1)
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
