"""What a training may change while it runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from flambe.errors import CannotChangeError
from flambe.executors.workshop import TrialChannel
from flambe.language.read import read_text
from flambe.logs import CURRENT, Recorder
from flambe.registry.registry import Registry
from flambe.trials.protocol import Event, Finished, Setting, Stepped, TrialKey, TrialTask
from flambe.trials.runner import TrialRunner
from flambe_torch.nn import (
    EmbeddingEncoder,
    MLPEncoder,
    Module,
    RNNEncoder,
    SoftmaxDecoder,
    TransformerEncoder,
)
from flambe_torch.samplers import BaseSampler
from flambe_torch.trainer import Trainer


def rows(count: int = 37) -> torch.utils.data.TensorDataset:
    x = torch.randn(count, 5, generator=torch.Generator().manual_seed(1))
    return torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())


class Net(Module):
    """A model with every kind of dropout."""

    changeable = ("slope",)

    def __init__(self, dropout: float = 0.1, slope: float = 1.0) -> None:
        super().__init__()
        self.encoder = MLPEncoder(5, 8, dropout=dropout)
        self.parts = nn.ModuleList([nn.Sequential(nn.ReLU(), nn.Dropout(dropout))])
        self.decoder = SoftmaxDecoder(8, 2)
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.decoder(self.slope * self.parts[0](self.encoder(x)))
        return scores


def make(optimizer: Any = None, *, model: nn.Module | None = None, **more: Any) -> Trainer:
    torch.manual_seed(0)
    model = model or Net()
    made = (optimizer or (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)))(list(model.parameters()))
    more = {name: value(made) if callable(value) else value for name, value in more.items()}
    given = {"max_steps": 4, "iter_per_step": 3, "accelerator": "cpu", **more}
    return Trainer(
        BaseSampler(rows(), 4), BaseSampler(rows(), 16), model, nn.NLLLoss(), optimizer=made, **given
    )


@pytest.fixture(autouse=True)
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    token = CURRENT.set(recorder)
    yield recorder
    CURRENT.reset(token)
    assert not [thread for thread in threading.enumerate() if thread.name == "flambe-fit"], "a fit goes on"


def rates(trainer: Trainer) -> list[float]:
    assert trainer.optimizer is not None
    return [group["lr"] for group in trainer.optimizer.param_groups]


def logged(recorder: Recorder, name: str) -> list[Any]:
    return [record.value for record in recorder.take() if record.name == name]


# -- optimizers ---------------------------------------------------------------------------------------------


def test_a_learning_rate_changes_in_the_middle_of_training(recorder: Recorder) -> None:
    trainer = make()
    trainer.step()
    trainer.change("optimizer.lr", 0.01)
    trainer.step()
    trainer.close()
    assert logged(recorder, "train/lr") == [0.1, 0.01]


def test_a_changed_training_takes_the_steps_of_one_that_was_made_so() -> None:
    changed = make()
    changed.step()
    changed.change("optimizer.lr", 0.02)
    changed.step()
    changed.close()
    made = make()
    made.step()
    made.close()
    assert made.optimizer is not None
    made.optimizer.param_groups[0]["lr"] = 0.02
    made.step()
    made.close()
    for one, other in zip(changed.model.parameters(), made.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_all_groups_change_and_those_without_decay_stay_so() -> None:
    def groups(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            [{"params": parameters[:2]}, {"params": parameters[2:], "weight_decay": 0.0}], lr=0.1
        )

    trainer = make(groups)
    assert trainer.optimizer is not None
    trainer.change("optimizer.lr", 0.3)
    trainer.change("optimizer.weight_decay", 0.5)
    trainer.change("optimizer.betas", [0.8, 0.9])
    assert rates(trainer) == [0.3, 0.3]
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.5, 0.0]
    assert [group["betas"] for group in trainer.optimizer.param_groups] == [(0.8, 0.9)] * 2


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: LambdaLR(o, lambda n: 1 / (n + 1)),
        lambda o: ExponentialLR(o, 0.9),
        lambda o: CosineAnnealingLR(o, 20),
        lambda o: SequentialLR(o, [ExponentialLR(o, 0.5), ExponentialLR(o, 0.9)], [4]),
    ],
    ids=["lambda", "exponential", "cosine", "sequence"],
)
def test_a_schedule_goes_on_as_if_it_had_begun_with_the_new_rate(schedule: Any) -> None:
    changed, whole = (
        make(iter_scheduler=schedule),
        make(lambda p: torch.optim.SGD(p, lr=0.02), iter_scheduler=schedule),
    )
    for trainer in (changed, whole):
        trainer.step()
    changed.change("optimizer.lr", 0.02)
    changed.change("optimizer.lr", 0.02)
    for _ in range(2):
        assert rates(changed) == pytest.approx(rates(whole))
        for trainer in (changed, whole):
            trainer.step()
    for trainer in (changed, whole):
        trainer.close()


def test_what_a_plateau_has_reduced_is_forgotten() -> None:
    trainer = make(scheduler=lambda o: ReduceLROnPlateau(o, factor=0.5, patience=0))
    assert trainer.optimizer is not None
    trainer.optimizer.param_groups[0]["lr"] = 0.05
    trainer.change("optimizer.lr", 0.4)
    assert rates(trainer) == [0.4]


def test_a_trainer_tells_its_optimizer_how_many_updates_there_will_be() -> None:
    told = []

    class Counted(torch.optim.SGD):
        def set_total_iterations(self, count: int) -> None:
            told.append(count)

    trainer = make(lambda p: Counted(p, lr=0.1))
    trainer.step()
    trainer.change("max_steps", 6)
    trainer.step()
    trainer.close()
    assert told == [12, 18]


# -- modules ------------------------------------------------------------------------------------------------


def test_dropouts_change_along_the_path() -> None:
    trainer = make()
    trainer.change("model.encoder.dropout", 0.5)
    trainer.change("model.decoder.dropout", 0.25)
    trainer.change("model.parts[0][1].p", 0.75)
    trainer.change("model.slope", 2.0)
    model = trainer.model
    assert isinstance(model, Net)
    assert (model.encoder.dropout.p, model.decoder.mlp.dropout.p, model.slope) == (0.5, 0.25, 2.0)
    assert model.parts[0][1].p == 0.75


@pytest.mark.parametrize("layers", [1, 2])
def test_a_recurrent_encoder_changes_what_is_between_its_layers(layers: int) -> None:
    encoder = RNNEncoder(3, 4, n_layers=layers, dropout=0.1 if layers > 1 else 0.0)
    encoder.change("dropout", 0.3)
    assert encoder.rnn.dropout == (0.3 if layers > 1 else 0.0)


def test_an_embedding_changes_its_dropout() -> None:
    embedding = EmbeddingEncoder(3, 2, dropout=0.1)
    embedding.change("dropout", 0.2)
    assert embedding.dropout.p == 0.2


def test_a_transformer_changes_all_its_dropouts() -> None:
    encoder = TransformerEncoder(input_size=6, d_model=8, n_heads=2, n_layers=2, dropout=0.1)
    encoder.change("dropout", 0.4)
    made = TransformerEncoder(input_size=6, d_model=8, n_heads=2, n_layers=2, dropout=0.4)
    for one, other in zip(encoder.modules(), made.modules(), strict=True):
        assert getattr(one, "p", None) == getattr(other, "p", None)
        assert isinstance(one, nn.Module)
        if isinstance(one, nn.MultiheadAttention) and isinstance(other, nn.MultiheadAttention):
            assert one.dropout == other.dropout


def test_the_units_of_flambe_nlp_change_both_their_dropouts() -> None:
    pytest.importorskip("flambe_nlp")
    from flambe_nlp.sru import SRU

    sru = SRU(3, 4, num_layers=3)
    sru.change("dropout", 0.3)
    sru.change("rnn_dropout", 0.2)
    assert [(cell.dropout, cell.rnn_dropout) for cell in sru.rnn_lst] == [(0.3, 0.2), (0.3, 0.2), (0.0, 0.2)]
    with pytest.raises(CannotChangeError, match=r"^dropout is below 1$"):
        sru.change("dropout", 1)


def test_a_new_dropout_is_at_work_in_the_next_step() -> None:
    trainer = make()
    trainer.step()
    trainer.change("model.encoder.dropout", 1.0)
    before = [parameter.clone() for parameter in trainer.model.encoder.layers.parameters()]
    optimizer = trainer.optimizer
    assert optimizer is not None
    optimizer.param_groups[0]["momentum"] = 0.0
    weight = trainer.model.encoder.layers[0].weight
    trainer.step()
    trainer.close()
    assert torch.equal(weight, before[0]), "the layer sees nothing, so its weights get no gradient"


# -- the trainer itself -------------------------------------------------------------------------------------


def test_a_training_can_be_made_longer_or_shorter() -> None:
    trainer = make()
    trainer.step()
    trainer.change("max_steps", 2)
    assert not trainer.step()
    assert trainer.steps_done == 2


def test_gradient_limits_change() -> None:
    trainer = make()
    trainer.change("max_grad_norm", 1e-9)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    trainer.step()
    trainer.close()
    for one, other in zip(before, trainer.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "iter_per_step",
            3,
            "Trainer cannot change 'iter_per_step' while it trains; it can change max_steps, max_grad_norm, "
            "max_grad_abs_val, numbers of the optimizer such as optimizer.lr, and dropouts of the model",
        ),
        ("max_steps", 0, "max_steps is a whole number above the 0 steps that are done, not 0"),
        ("max_grad_norm", "x", "max_grad_norm is a number, not 'x'"),
        ("max_grad_norm", -1, "max_grad_norm must be above 0, but it is -1"),
        ("optimizer.lr", True, "lr is a number, not True"),
        ("optimizer.lr", None, "lr is a number, not None"),
        ("optimizer.lr", -1, "Adam does not take lr = -1: Invalid learning rate: -1.0"),
        (
            "optimizer.betas",
            [0.5, 2],
            "Adam does not take betas = [0.5, 2]: Invalid beta parameter at index 1: 2",
        ),
        ("optimizer.betas", 3, "betas is 2 numbers, not 3"),
        (
            "optimizer.amsgrad",
            True,
            "Adam cannot change 'amsgrad' while it trains; it can change lr, betas, eps, weight_decay",
        ),
        ("model.encoder.dropout", 2, "a dropout is a number from 0 to 1, not 2"),
        (
            "model.encoder.n_layers",
            2,
            "MLPEncoder cannot change 'n_layers' while it trains; it can change dropout",
        ),
        ("model.nothing.dropout", 0.1, "Net has no part 'nothing' that could change"),
        (
            "train_sampler.batch_size",
            2,
            "BaseSampler cannot change 'batch_size' while it trains; nothing of it can change",
        ),
        (
            "loss_fn.reduction",
            "sum",
            "NLLLoss cannot change 'reduction' while it trains; nothing of it can change",
        ),
    ],
)
def test_what_may_not_change_is_refused(path: str, value: Any, message: str) -> None:
    trainer = make(lambda p: torch.optim.Adam(p, lr=0.1))
    with pytest.raises(CannotChangeError) as caught:
        trainer.change(path, value)
    assert str(caught.value) == message


def test_a_schedule_with_rates_of_its_own_is_refused() -> None:
    trainer = make(iter_scheduler=lambda o: OneCycleLR(o, max_lr=0.1, total_steps=20))
    with pytest.raises(CannotChangeError) as caught:
        trainer.change("optimizer.lr", 0.2)
    assert str(caught.value) == "OneCycleLR decides the learning rate by arguments of its own"


def test_groups_with_rates_of_their_own_are_refused() -> None:
    trainer = make(lambda p: torch.optim.SGD([{"params": p[:2]}, {"params": p[2:], "lr": 0.5}], lr=0.1))
    with pytest.raises(CannotChangeError) as caught:
        trainer.change("optimizer.lr", 0.2)
    assert str(caught.value) == "groups of parameters have learning rates of their own (0.1, 0.5)"


# -- a trial ------------------------------------------------------------------------------------------------


TRIAL = """
!Trainer
train_sampler: !BaseSampler {data: ROWS, batch_size: 4}
dev_sampler: !BaseSampler {data: ROWS, batch_size: 16}
model: !SoftmaxDecoder {input_size: 5, output_size: 2}
loss_fn: !NLLLoss
optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.1}
iter_scheduler: !torch.ExponentialLR {optimizer: !@ train.optimizer, gamma: 0.5}
max_steps: 4
iter_per_step: 1
accelerator: cpu
"""


class Channel(TrialChannel):
    """Lets a trial leave after `steps` more steps."""

    def __init__(self, task: TrialTask, steps: int) -> None:
        super().__init__(task, None)  # type: ignore[arg-type]  # nothing is handed over
        self.left = steps
        self.events: list[Event] = []

    def send(self, event: Event) -> None:
        self.events.append(event)
        self.left -= isinstance(event, Stepped)

    def stop_requested(self) -> bool:
        return False

    def interrupt_requested(self) -> bool:
        return self.left <= 0


def test_a_trial_goes_on_with_new_values_and_its_save_shows_them(tmp_path: Path) -> None:
    rows = [[[0.1 * (n % 7), 0.2, 0.3, 0.4, 0.5], n % 2] for n in range(16)]
    document = read_text(TRIAL.replace("ROWS", json.dumps(rows)), "a.yaml")
    task = TrialTask(
        key=TrialKey("train", "v"),
        node=document.root,
        exports=(),
        imports={},
        seed=1,
        devices={},
        threads=1,
        folder=str(tmp_path / "train" / "v"),
        fingerprint="",
    )
    run = TrialRunner(Setting("a", str(tmp_path), 1), Registry.load())
    run(task, Channel(task, 2))
    changes = {"optimizer.lr": 0.4, "model.dropout": 0.25, "max_steps": 5}
    again = replace(task, restore="checkpoint", changes=changes)
    for steps in (1, 9):  # it leaves once more: what is told again must not be done again
        channel = Channel(again, steps)
        run(again, channel)
    assert isinstance(channel.events[-1], Finished), channel.events[-1]
    lines = map(json.loads, (tmp_path / "train/v/metrics.jsonl").read_text().splitlines())
    found = [line["value"] for line in lines if line["name"] == "train/lr"]
    assert found == pytest.approx([0.05, 0.025, 0.05, 0.025, 0.0125])
    config = (tmp_path / "train/v/config.yaml").read_text()
    assert "lr: 0.4\n" in config
    assert "dropout: 0.25\n" in config
