from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torchmetrics
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, ReduceLROnPlateau, StepLR

from flambe.logs import CURRENT, Record, Recorder
from flambe_torch.metrics import Accuracy, Perplexity
from flambe_torch.nn import SoftmaxDecoder
from flambe_torch.samplers import BaseSampler
from flambe_torch.schedulers import WarmupLR
from flambe_torch.trainer import Trainer

ROWS = 37


def rows(count: int = ROWS) -> torch.utils.data.TensorDataset:
    x = torch.randn(count, 5, generator=torch.Generator().manual_seed(1))
    return torch.utils.data.TensorDataset(x, (x.sum(1) > 0).long())


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.3), nn.ReLU(), SoftmaxDecoder(8, 2))


def make(seed: int = 0, **changes: Any) -> Trainer:
    """A trainer with everything that has state: dropout, momentum, schedulers, a shuffled stream."""
    torch.manual_seed(seed)
    model = changes.pop("model", None) or net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    given = {
        "loss_fn": nn.NLLLoss(),
        "metric_fn": Accuracy(),
        "optimizer": optimizer,
        "scheduler": ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
        "iter_scheduler": ExponentialLR(optimizer, 0.99),
        "max_steps": 6,
        "iter_per_step": 7,
        "accelerator": "cpu",
        **changes,
    }
    return Trainer(BaseSampler(rows(), 4), BaseSampler(rows(), 16), model, **given)


def train(trainer: Trainer) -> Trainer:
    while trainer.step():
        pass
    return trainer


@pytest.fixture(autouse=True)
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    token = CURRENT.set(recorder)
    yield recorder
    CURRENT.reset(token)
    assert not [thread for thread in threading.enumerate() if thread.name == "flambe-fit"], "a fit goes on"


def vector(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters())


def plain(records: list[Record]) -> list[tuple[str, Any, int | None]]:
    return [(record.name, record.value, record.step) for record in records]


def state_of(trainer: Trainer) -> dict[str, Any]:
    """What a save holds: the state of each part, apart."""
    parts = {"model": trainer.model, "optimizer": trainer.optimizer}
    parts |= {"scheduler": trainer.scheduler, "iter_scheduler": trainer.iter_scheduler}
    states = {name: part.state_dict() for name, part in parts.items()}
    states["samplers"] = [trainer.train_sampler.custom_state()]
    return copy.deepcopy({**states, "trainer": trainer.custom_state(), "random": torch.get_rng_state()})


def restored(state: dict[str, Any], **changes: Any) -> Trainer:
    """A fresh trainer, of another seed, that goes on from `state`."""
    trainer = make(seed=99, **changes)
    for name in ("model", "optimizer", "scheduler", "iter_scheduler"):
        getattr(trainer, name).load_state_dict(state[name])
    trainer.train_sampler.load_custom_state(state["samplers"][0])
    trainer.load_custom_state(state["trainer"])
    torch.set_rng_state(state["random"])
    return trainer


def test_a_step_logs_losses_rate_and_metrics(recorder: Recorder) -> None:
    trainer = make(max_steps=2, scheduler=None, iter_scheduler=None, extra_metrics=[Perplexity()])
    assert trainer.metric() is None
    assert trainer.step()
    records = plain(recorder.take())
    names = ["train/loss", "dev/loss", "dev/accuracy", "dev/perplexity", "train/lr", "best/accuracy"]
    assert [name for name, _, _ in records] == names
    assert {step for _, _, step in records} == {1}
    values = {name: value for name, value, _ in records}
    assert values["train/lr"] == 0.05
    assert values["dev/perplexity"] == pytest.approx(math.exp(values["dev/loss"]), rel=1e-5)
    assert values["dev/accuracy"] == values["best/accuracy"] == trainer.metric()
    assert not trainer.step()
    assert not trainer.step(), "a finished trainer stays finished"
    assert {step for _, _, step in plain(recorder.take())} == {2}


def test_training_is_that_of_a_plain_loop(recorder: Recorder) -> None:
    trainer = train(make(scheduler=None, max_steps=4, max_grad_norm=0.5))
    logged = plain(recorder.take())

    torch.manual_seed(0)
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    schedule = ExponentialLR(optimizer, 0.99)
    stream = BaseSampler(rows(), 4).stream()
    data, target = rows().tensors
    best, best_weights = -1.0, {}
    for step in range(1, 5):
        losses = []
        for _ in range(7):
            x, y = next(stream)
            loss = nn.functional.nll_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            predictions = model(data)
        model.train()
        accuracy = float((predictions.argmax(1) == target).float().mean())
        values = {name: value for name, value, at in logged if at == step}
        assert values["train/loss"] == pytest.approx(sum(losses) / 7, rel=1e-5)
        assert values["dev/loss"] == pytest.approx(
            float(nn.functional.nll_loss(predictions, target)), rel=1e-5
        )
        assert values["dev/accuracy"] == pytest.approx(accuracy)
        assert values["train/lr"] == pytest.approx(schedule.get_last_lr()[0])
        if accuracy > best:
            best, best_weights = accuracy, copy.deepcopy(model.state_dict())
    assert trainer.metric() == pytest.approx(best)
    torch.testing.assert_close(dict(trainer.model.state_dict()), dict(best_weights))


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_an_interrupted_training_goes_on_exactly(at: int, recorder: Recorder) -> None:
    whole = train(make())
    expected = plain(recorder.take())
    first = make()
    for _ in range(at):
        first.step()
    state = state_of(first)
    first.close()
    second = train(restored(state))
    assert plain(recorder.take()) == expected
    assert (second.best_metric, second.best_step) == (whole.best_metric, whole.best_step)
    assert torch.equal(vector(second.model), vector(whole.model))
    assert second.optimizer.state_dict()["state"].keys() == whole.optimizer.state_dict()["state"].keys()
    last, expected_last = second.last_weights, whole.last_weights
    assert (last is None) == (expected_last is None)
    for name, weights in (expected_last or {}).items():
        assert torch.equal((last or {})[name], weights)


def test_a_training_interrupted_at_every_step_goes_on_exactly(recorder: Recorder) -> None:
    train(make())
    expected = plain(recorder.take())
    trainer, more = make(), True
    while more:
        more = trainer.step()
        state = state_of(trainer)
        trainer.close()
        trainer = restored(state)
    assert plain(recorder.take()) == expected
    assert trainer.finished


def test_a_copy_goes_on_exactly(recorder: Recorder) -> None:
    whole = train(make())
    expected = plain(recorder.take())
    first = make()
    first.step()
    first.step()
    random, copied = torch.get_rng_state(), pickle.dumps(first)
    first.close()
    torch.set_rng_state(random)
    second = train(pickle.loads(copied))
    assert plain(recorder.take()) == expected
    assert second.best_metric == whole.best_metric


def test_a_closed_training_goes_on_exactly(recorder: Recorder) -> None:
    train(make())
    expected = plain(recorder.take())
    trainer = make()
    while trainer.step():
        trainer.close()
    assert plain(recorder.take()) == expected


class Waning(nn.Module):
    """Right about all rows in its first evaluation, about fewer in each later one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return torch.stack([self.weight.expand(len(x)), -self.weight.expand(len(x))], dim=1)
        self.passes += 1
        right = x.sum(1) > 0
        right[: self.passes - 1] ^= True
        return torch.stack([~right, right], dim=1).float() + self.weight * 0


def test_the_model_ends_with_the_best_weights_and_the_last_are_kept() -> None:
    model = Waning()
    trainer = Trainer(
        BaseSampler(rows(), 4),
        BaseSampler(rows(), ROWS),
        model,
        nn.CrossEntropyLoss(),
        Accuracy(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        max_steps=3,
        accelerator="cpu",
    )
    trainer.step()
    after_first = float(model.weight.detach())
    train(trainer)
    assert (trainer.best_step, trainer.best_metric) == (1, 1.0)
    assert float(model.weight.detach()) == after_first
    assert trainer.last_weights is not None
    assert float(trainer.last_weights["weight"]) != after_first
    assert model.passes == 3, "validation is one pass a step"
    assert not model.training


def test_a_training_that_is_finished_early_ends_with_the_best_weights() -> None:
    model = Waning()
    trainer = make(model=model, loss_fn=nn.CrossEntropyLoss(), max_steps=9)
    trainer.finish()
    assert not trainer.finished, "there is nothing to finish before the first step"
    trainer.step()
    best = float(model.weight.detach())
    trainer.step()
    trainer.finish()
    assert (float(model.weight.detach()), trainer.finished, trainer.step()) == (best, True, False)


@pytest.mark.parametrize(("lower", "expected"), [(True, 4), (False, 1), (None, 4)])
def test_the_direction_of_the_metric_decides_what_is_best(lower: bool | None, expected: int) -> None:
    trainer = make(metric_fn=None, max_steps=4, scheduler=None, lower_is_better=lower)
    assert trainer.lower_is_better is (lower is not False)
    train(trainer)
    assert trainer.best_step == expected, "the dev loss falls with each step here"


def test_metrics_of_torchmetrics_and_functions_are_taken() -> None:
    def error(predictions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (predictions.argmax(1) != target).float().mean()

    names = {"error": error, "f1": torchmetrics.classification.MulticlassF1Score(2)}
    trainer = make(metric_fn=nn.NLLLoss(), extra_metrics=names, max_steps=1)
    assert trainer.lower_is_better
    train(trainer)
    assert trainer.metric() == pytest.approx(trainer.best_metric)
    assert not make(metric_fn=torchmetrics.classification.MulticlassAccuracy(2)).lower_is_better
    assert make(metric_fn=torchmetrics.MeanSquaredError()).lower_is_better


def test_a_diverged_first_step_is_not_the_best() -> None:
    trainer = make()
    assert trainer._is_better(math.nan)
    trainer.best_metric = math.nan
    assert trainer._is_better(0.1)
    trainer.best_metric = 0.1
    assert not trainer._is_better(math.nan)


def test_a_step_is_one_pass_unless_said() -> None:
    assert make(iter_per_step=None).iter_per_step == 10, "37 rows in batches of 4"
    assert make(iter_per_step=None, batches_per_iter=3).iter_per_step == 4


def test_accumulated_batches_train_as_one_large_batch() -> None:
    def weights(batch_size: int, batches_per_iter: int) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 2), nn.LogSoftmax(-1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train(
            Trainer(
                BaseSampler(rows(36), batch_size, shuffle=False),
                BaseSampler(rows(), 16),
                model,
                nn.NLLLoss(),
                optimizer=optimizer,
                iter_scheduler=ExponentialLR(optimizer, 0.9),
                max_steps=2,
                iter_per_step=5,
                batches_per_iter=batches_per_iter,
                accelerator="cpu",
                metric_fn=Accuracy(),
                lower_is_better=True,
            )
        )
        return vector(model)

    torch.testing.assert_close(weights(4, 3), weights(12, 1))


def test_gradients_are_clipped_by_norm_and_by_value() -> None:
    class Look(pl.Callback):
        def __init__(self) -> None:
            self.norms: list[float] = []
            self.largest: list[float] = []

        def on_before_zero_grad(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
            grads = [p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]
            if grads:
                self.norms.append(float(torch.cat(grads).norm()))
                self.largest.append(float(torch.cat(grads).abs().max()))

    free, by_norm, by_value = Look(), Look(), Look()
    train(make(max_steps=1, callbacks=[free]))
    train(make(max_steps=1, callbacks=[by_norm], max_grad_norm=0.1))
    train(make(max_steps=1, callbacks=[by_value], max_grad_norm=0.1, max_grad_abs_val=0.01))
    assert max(free.norms) > 0.2
    assert max(by_norm.norms) == pytest.approx(0.1, rel=1e-3)
    assert max(by_norm.largest) > 0.02
    assert max(by_value.largest) == pytest.approx(0.01)


def test_callbacks_see_what_is_logged_and_can_stop() -> None:
    stopping = pl.callbacks.EarlyStopping("dev/accuracy", mode="max", patience=1, min_delta=1.0)
    trainer = make(callbacks=[stopping], max_steps=6)
    assert trainer.step()
    assert not trainer.step()
    assert (trainer.steps_done, trainer.finished) == (2, True)


def test_callbacks_go_on_with_their_state() -> None:
    def stopping() -> pl.Callback:
        return pl.callbacks.EarlyStopping("dev/accuracy", mode="max", patience=2, min_delta=1.0)

    first = make(callbacks=[stopping()])
    first.step()
    first.step()
    state = state_of(first)
    first.close()
    second = restored(state, callbacks=[stopping()])
    assert not second.step()
    assert second.steps_done == 3


def test_a_training_with_averaged_weights_goes_on_exactly(recorder: Recorder) -> None:
    def averaging() -> list[pl.Callback]:
        return [pl.callbacks.EMAWeightAveraging(decay=0.9)]

    whole = train(make(callbacks=averaging()))
    expected = plain(recorder.take())
    trainer, more = make(callbacks=averaging()), True
    while more:
        more = trainer.step()
        state = state_of(trainer)
        trainer.close()
        trainer = restored(state, callbacks=averaging())
    assert plain(recorder.take()) == expected
    assert torch.equal(vector(trainer.model), vector(whole.model))
    closed = make(callbacks=averaging())
    while closed.step():
        closed.close()
    assert plain(recorder.take()) == expected


@pytest.mark.parametrize("restart", [False, True])
def test_the_model_ends_with_the_averages_that_were_measured_best(restart: bool, recorder: Recorder) -> None:
    def new(make: Any, *given: Any) -> Trainer:
        averaging = pl.callbacks.EMAWeightAveraging(decay=0.9)
        made: Trainer = make(
            *given, callbacks=[averaging], max_steps=3, metric_fn=None, lower_is_better=False
        )
        return made

    trainer = new(make)
    while trainer.step():
        if restart:
            state = state_of(trainer)
            trainer.close()
            trainer = new(restored, state)
    losses = [value for name, value, _ in plain(recorder.take()) if name == "dev/loss"]
    assert trainer.best_metric == max(losses) == losses[trainer.best_step - 1]
    x, target = rows().tensors
    with torch.no_grad():
        loss = nn.functional.nll_loss(trainer.model(x), target)
    assert float(loss) == pytest.approx(max(losses), rel=1e-5)


def test_a_training_with_averages_that_is_finished_where_it_goes_on_ends_with_them() -> None:
    first = make(callbacks=[pl.callbacks.EMAWeightAveraging(decay=0.9)])
    first.step()
    state = state_of(first)
    first.finish()
    second = restored(state, callbacks=[pl.callbacks.EMAWeightAveraging(decay=0.9)])
    second.finish()
    assert torch.equal(vector(second.model), vector(first.model))


def test_callbacks_are_told_of_the_end() -> None:
    class End(pl.Callback):
        ended = 0

        def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
            End.ended += 1

    train(make(max_steps=2, callbacks=[End()]))
    assert End.ended == 1


class Counting(nn.Linear):
    """Counts its training batches; the count is state, but no tensor."""

    def __init__(self) -> None:
        super().__init__(5, 2)
        self.batches = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches += self.training
        return super().forward(x)

    def get_extra_state(self) -> Any:
        return {"batches": self.batches}

    def set_extra_state(self, state: Any) -> None:
        self.batches = state["batches"]


def test_a_model_with_extra_state_ends_with_that_of_its_best_step() -> None:
    metric = iter([0.2, 0.9, 0.3])
    trainer = make(
        model=Counting(),
        loss_fn=nn.CrossEntropyLoss(),
        metric_fn=lambda predictions, target: next(metric),
        lower_is_better=False,
        max_steps=3,
    )
    trainer.dev_sampler.batch_size = ROWS
    train(trainer)
    assert (trainer.best_step, trainer.model.batches) == (2, 2 * 7)
    assert trainer.last_weights is not None
    assert trainer.last_weights["_extra_state"] == {"batches": 3 * 7}


def test_bf16_trains_on_the_cpu() -> None:
    seen = []

    class Net(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(self[0](x).dtype)
            return super().forward(x)

    trainer = train(make(model=Net(*net()), precision="bf16-mixed", max_steps=1))
    assert set(seen) == {torch.bfloat16}
    assert trainer.model[0].weight.dtype == torch.float32


class Constant(nn.Module):
    """A loss that is the same for all batches."""

    def __init__(self, loss: float) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, predictions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return predictions.sum() * 0 + self.loss


def test_losses_of_low_precision_are_averaged_in_a_higher_one(recorder: Recorder) -> None:
    train(make(loss_fn=Constant(0.75), precision="bf16-true", max_steps=1, iter_per_step=600))
    losses = {name: value for name, value, _ in plain(recorder.take()) if name.endswith("/loss")}
    assert losses == {"train/loss": 0.75, "dev/loss": 0.75}  # bfloat16 stops counting at 256 times as much


def test_losses_of_64_bits_keep_their_digits(recorder: Recorder) -> None:
    train(make(loss_fn=Constant(1 + 1e-9), precision="64-true", max_steps=1, iter_per_step=1))
    losses = [value for name, value, _ in plain(recorder.take()) if name.endswith("/loss")]
    assert losses == pytest.approx([1 + 1e-9] * 2, rel=1e-12)


class Lit(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.nll_loss(self.net(x), y)

    def validation_step(self, batch: Any, _: int) -> None:
        x, y = batch
        self.log("val_acc", (self.net(x).argmax(1) == y).float().mean(), batch_size=len(y))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        return [optimizer], [{"scheduler": ExponentialLR(optimizer, 0.99), "interval": "step"}]


def lit(seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    train_sampler, dev_sampler = BaseSampler(rows(), 4, seed=3), BaseSampler(rows(), 16)
    options: dict[str, Any] = {"max_steps": 4, "iter_per_step": 7, "accelerator": "cpu"}
    return Trainer(train_sampler, dev_sampler, Lit(), metric_fn="val_acc", **options)


def test_a_lightning_module_brings_its_own_loss_and_optimizer(recorder: Recorder) -> None:
    whole = train(lit())
    expected = plain(recorder.take())
    assert [name for name, _, step in expected if step == 1] == ["val_acc", "train/lr", "best/val_acc"]
    assert whole.metric() is not None
    assert whole.metric() > 0.8
    first = lit()
    first.step()
    state = copy.deepcopy((first.model.state_dict(), first.custom_state(), torch.get_rng_state()))
    first.close()
    second = lit(seed=9)
    second.model.load_state_dict(state[0])
    second.load_custom_state(state[1])
    torch.set_rng_state(state[2])
    train(second)
    assert plain(recorder.take()) == expected


def test_a_lightning_module_with_another_value_to_rank_by_is_told() -> None:
    trainer = lit()
    trainer._ranked_by = "val_f1"
    with pytest.raises(ValueError, match="metric_fn is 'val_f1', but the model logs val_acc"):
        trainer.step()
    trainer.close()


def test_errors_keep_their_type_and_traceback() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError("in the model")

    trainer = make(loss_fn=nn.NLLLoss(), model=nn.Sequential(nn.Linear(5, 2), Broken()))
    with pytest.raises(ZeroDivisionError, match="in the model") as caught:
        trainer.step()
    assert "raise ZeroDivisionError" in "".join(traceback.format_tb(caught.value.__traceback__))
    trainer.close()


def test_logging_works_in_the_model(recorder: Recorder) -> None:
    from flambe.logs import log

    class Loud(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            log("seen", len(x), 0)
            return super().forward(x)

    train(make(model=Loud(*net()), max_steps=1))
    assert sum(name == "seen" for name, _, _ in plain(recorder.take())) == 7 + 3


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="Trainer needs loss_fn and optimizer, unless"):
        make(optimizer=None)
    with pytest.raises(ValueError, match="a LightningModule brings its own loss_fn and optimizer"):
        make(model=Lit())
    with pytest.raises(ValueError, match="the Trainer's own arguments decide Lightning's max_steps"):
        make(lightning={"max_steps": 3})
    with pytest.raises(ValueError, match=r"decide Lightning's limit_train_batches, min_epochs$"):
        make(lightning={"limit_train_batches": 3, "min_epochs": 1})
    with pytest.raises(ValueError, match="StochasticWeightAveraging acts when an epoch ends, and"):
        make(callbacks=[pl.callbacks.StochasticWeightAveraging(0.1)])
    with pytest.raises(ValueError, match="two metrics are called 'accuracy'; name the"):
        make(extra_metrics=[Accuracy()])
    for name in ("max_steps", "iter_per_step", "batches_per_iter"):
        with pytest.raises(ValueError, match=f"^{name} must be at least 1, but it is 0$"):
            make(**{name: 0})
    optimizer = torch.optim.SGD(net().parameters())
    plateau = ReduceLROnPlateau(optimizer, mode="max")
    with pytest.raises(ValueError, match="ReduceLROnPlateau with mode max needs a metric"):
        make(scheduler=plateau, metric_fn=None)
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs what is measured after a step: give it as"):
        make(iter_scheduler=plateau)
    with pytest.raises(
        ValueError, match=r"^GradientAccumulationScheduler counts epochs; use batches_per_iter$"
    ):
        make(callbacks=[pl.callbacks.GradientAccumulationScheduler({0: 2})])
    with pytest.raises(
        ValueError, match=r"^dev/loss is the loss: call the metric by another name than 'loss'$"
    ):
        make(extra_metrics={"loss": Accuracy()})
    known = "dev/loss, dev/accuracy, train/loss"
    with pytest.raises(ValueError, match=f"^metric_fn is 'accuracy', but what is logged is {known}$"):
        make(metric_fn="accuracy", extra_metrics=[Accuracy()])
    frozen = net().requires_grad_(False)
    with pytest.raises(
        ValueError, match=r"^nothing can be trained: all parameters of the optimizer are frozen$"
    ):
        make(model=frozen)
    for name in ("max_grad_norm", "max_grad_abs_val"):
        with pytest.raises(ValueError, match=f"^{name} must be above 0, but it is -1$"):
            make(**{name: -1})


def test_what_a_lightning_module_would_not_use_is_refused() -> None:
    own: dict[str, Any] = {"loss_fn": None, "optimizer": None, "metric_fn": "val_acc", "scheduler": None}
    with pytest.raises(ValueError, match=r"leave out iter_scheduler and extra_metrics$"):
        make(model=Lit(), **own, extra_metrics=[Accuracy()])
    with pytest.raises(ValueError, match="limited by max_grad_norm or max_grad_abs_val, not both"):
        make(model=Lit(), **own, iter_scheduler=None, max_grad_norm=1.0, max_grad_abs_val=1.0)


@pytest.mark.parametrize(
    "scheduler",
    [lambda optimizer: WarmupLR(optimizer, 1), lambda optimizer: LambdaLR(optimizer, lambda updates: 0.5)],
)
def test_schedulers_that_undo_each_other_are_refused(scheduler: Any) -> None:
    optimizer = torch.optim.SGD(net().parameters())
    iter_scheduler = scheduler(optimizer)
    with pytest.raises(ValueError, match=f"^{type(iter_scheduler).__name__} sets the learning rate anew"):
        make(scheduler=StepLR(optimizer, 1), iter_scheduler=iter_scheduler)


@pytest.mark.parametrize("batch_size", [40, 20, 10, 7])
def test_the_dev_loss_is_that_of_rows_with_a_target(batch_size: int, recorder: Recorder) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(40, 5), torch.randint(0, 2, (40,))
    y[:18] = -100
    sampler = BaseSampler(torch.utils.data.TensorDataset(x, y), batch_size)
    trainer = make(metric_fn=None, max_steps=1, iter_per_step=1)
    trainer.dev_sampler = sampler
    train(trainer)
    (found,) = [value for name, value, _ in plain(recorder.take()) if name == "dev/loss"]
    with torch.no_grad():
        expected = trainer.loss_fn(trainer.model.eval()(x[18:]), y[18:])
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_nothing_is_printed_and_no_folder_appears(tmp_path: Path) -> None:
    script = (
        "import sys, importlib.util as util\n"
        "spec = util.spec_from_file_location('tests', sys.argv[1])\n"
        "tests = util.module_from_spec(spec)\n"
        "spec.loader.exec_module(tests)\n"
        "tests.train(tests.make())\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, __file__],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_training_on_a_gpu_goes_on_exactly(precision: str, recorder: Recorder) -> None:
    whole = train(make(accelerator="gpu", precision=precision))
    assert next(whole.model.parameters()).device.type == "cpu"
    expected = plain(recorder.take())
    first = make(accelerator="gpu", precision=precision)
    first.step()
    first.step()
    state = state_of(first)
    state["cuda"] = torch.cuda.get_rng_state_all()
    first.close()
    second = restored(state, accelerator="gpu", precision=precision)
    torch.cuda.set_rng_state_all(state["cuda"])
    train(second)
    assert plain(recorder.take()) == expected


def test_where_the_last_step_is_kept_its_weights_and_its_metric_count(recorder: Recorder) -> None:
    measured = iter([0.5, 0.9, 0.2])
    trainer = make(max_steps=3, keep="last", metric_fn=lambda predictions, target: next(measured))
    trainer.dev_sampler = BaseSampler(rows(), ROWS)  # one batch, measured once
    train(trainer)
    assert trainer.metric() == pytest.approx(0.2)
    assert (trainer.best_step, trainer.last_weights) == (3, None)


def test_keep_is_best_or_last() -> None:
    with pytest.raises(ValueError, match="keep must be 'best' or 'last', not 'first'"):
        make(keep="first")
