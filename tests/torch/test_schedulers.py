from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import flambe
from flambe.build.builder import Builder
from flambe.experiment.settings import settings_from
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe.saving.trial_folder import TrialFolder
from flambe_torch.schedulers import FactorLR, NoamLR, WarmupLR

MODULE = """
from flambe import Component


class Parts(Component):
    def __init__(self, model, optimizer, scheduler):
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler

    def step(self):
        rate = self.optimizer.param_groups[0]["lr"]
        self.model.zero_grad()
        self.model(self.model.mlp.layers[0].weight).sum().backward()
        self.optimizer.step()
        self.scheduler.step()
        return rate, self.model.mlp.layers[0].weight.sum().item()
"""


def rates(scheduler: FactorLR, count: int) -> list[float]:
    """The learning rates of the first updates."""
    used = []
    for _ in range(count):
        used.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return used


def optimizer(lr: float = 2.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def test_noam_is_the_papers_formula() -> None:
    expected = [2 * 16**-0.5 * min(n**-0.5, n * 3**-1.5) for n in range(1, 9)]
    assert rates(NoamLR(optimizer(), d_model=16, warmup=3), 8) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("decay", "behind"),
    [
        ("linear", lambda n: 1 - (n - 3) / 8),
        ("cosine", lambda n: 0.5 + 0.5 * math.cos(math.pi * (n - 3) / 8)),
        ("constant", lambda n: 1.0),
        ("inverse_sqrt", lambda n: math.sqrt(3 / n)),
    ],
)
def test_warmup_rises_then_decays(decay: Any, behind: Any) -> None:
    rising = [2 / 3, 4 / 3, 2.0]
    expected = rising + [2 * max(behind(n), 0.25) for n in range(3, 11)]
    scheduler = WarmupLR(optimizer(), 3, 11, decay=decay, min_factor=0.25)
    assert rates(scheduler, 11) == pytest.approx(expected)
    if decay in ("linear", "cosine"):
        assert rates(scheduler, 3) == pytest.approx([0.5] * 3), "what comes behind the end"


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_behind_the_last_update_the_rate_stays(decay: Any) -> None:
    scheduler = WarmupLR(optimizer(), warmup=2, total=6, decay=decay, min_factor=0.1)
    assert [scheduler.factor(updates) for updates in range(6, 15)] == pytest.approx([0.1] * 9)


def test_warmup_may_be_a_share_or_nothing() -> None:
    assert rates(WarmupLR(optimizer(), 0.25, 8), 8) == rates(WarmupLR(optimizer(), 2, 8), 8)
    assert rates(WarmupLR(optimizer(), 0, 4), 4) == pytest.approx([2, 1.5, 1, 0.5])


def test_a_loaded_scheduler_goes_on_where_the_saved_one_was() -> None:
    whole = rates(WarmupLR(optimizer(), 2, 9), 9)
    scheduler = WarmupLR(optimizer(), 2, 9)
    rates(scheduler, 4)
    state, held = scheduler.state_dict(), scheduler.optimizer.state_dict()
    resumed = WarmupLR(optimizer(), 2, 9)
    resumed.optimizer.load_state_dict(held)
    resumed.load_state_dict(state)
    assert rates(resumed, 5) == whole[4:]


def test_the_total_may_be_told_later() -> None:
    whole = rates(WarmupLR(optimizer(), 0.25, 8), 8)
    for warmup in (0.25, 2):
        told = WarmupLR(optimizer(), warmup)
        told.set_total_iterations(8)
        assert rates(told, 3) == whole[:3]
        told.set_total_iterations(8)  # again, where training goes on
        assert rates(told, 5) == whole[3:]
    own = WarmupLR(optimizer(), 2, 8)
    own.set_total_iterations(99)
    assert rates(own, 8) == whole
    untold = WarmupLR(optimizer(), 2)
    with pytest.raises(
        ValueError, match="WarmupLR with decay 'linear' needs total, the number of all updates"
    ):
        rates(untold, 2)
    with pytest.raises(ValueError, match=r"warmup must be from 0 to total \(1\), but it is 2"):
        untold.set_total_iterations(1)
    assert rates(WarmupLR(optimizer(), 2, decay="constant"), 3) == [1.0, 2.0, 2.0]


def test_a_total_that_is_told_again_leaves_the_rate_alone() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = WarmupLR(optimizer, warmup=2)
    scheduler.set_total_iterations(6)
    optimizer.param_groups[0]["lr"] = 0.25  # another scheduler's
    scheduler.set_total_iterations(6)
    assert optimizer.param_groups[0]["lr"] == 0.25
    scheduler.set_total_iterations(8)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_what_cannot_be_is_told() -> None:
    for arguments, message in [
        ({"warmup": 9, "total": 8}, "warmup must be from 0 to total (8), but it is 9"),
        (
            {"warmup": 1, "decay": "lin"},
            "decay is 'linear', 'cosine', 'constant' or 'inverse_sqrt', not 'lin'",
        ),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            WarmupLR(optimizer(), **arguments)
    with pytest.raises(ValueError, match="d_model and warmup must be at least 1, but they are 16 and 0"):
        NoamLR(optimizer(), 16, 0)


PARTS = """
pipeline:
  train: !my.Parts
    model: !SoftmaxDecoder {input_size: 2, output_size: 2}
    optimizer: !torch.RAdam {params: !@ train.model.params, lr: 0.5}
    scheduler: !SCHEDULER
"""
TORCHS = [
    "WarmupLR {optimizer: !@ train.optimizer, warmup: 2, total: 16, decay: cosine}",
    "NoamLR {optimizer: !@ train.optimizer, d_model: 4, warmup: 3}",
    "torch.StepLR {optimizer: !@ train.optimizer, step_size: 2}",
    "torch.ExponentialLR {optimizer: !@ train.optimizer, gamma: 0.9}",
    "torch.CosineAnnealingLR {optimizer: !@ train.optimizer, T_max: 9}",
    "torch.CosineAnnealingWarmRestarts {optimizer: !@ train.optimizer, T_0: 3}",
    "torch.LinearLR {optimizer: !@ train.optimizer, total_iters: 4}",
    "torch.OneCycleLR {optimizer: !@ train.optimizer, max_lr: 0.5, total_steps: 16}",
    "torch.PolynomialLR {optimizer: !@ train.optimizer, total_iters: 9}",
]


@pytest.mark.parametrize("scheduler", TORCHS, ids=lambda text: text.split()[0])
def test_schedulers_of_a_config_go_on_from_a_checkpoint(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scheduled.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = f"my: scheduled\n---\nname: a\nsave_path: {tmp_path}\n" + PARTS.replace("SCHEDULER", scheduler)
    node = read_text(text)
    registry = Registry.load().with_header(node.header)

    def built(seed: int = 0) -> Any:
        torch.manual_seed(seed)
        return Builder(registry, stage="train", outside=lambda path: None).build(
            settings_from(node.root).pipeline["train"]
        )

    whole = built()
    expected = [whole.step() for _ in range(9)]
    first, second = built(), built(seed=1)
    assert [first.step() for _ in range(4)] == expected[:4]
    folder = TrialFolder(str(tmp_path / "trial"), registry)
    folder.write_checkpoint(first, step=4, extra={})
    folder.load_checkpoint(second)
    assert [second.step() for _ in range(5)] == expected[4:]
    flambe.save(second, tmp_path / "saved")
    sys.modules.pop("scheduled")


def test_tags_reach_them_and_torchs_own() -> None:
    registry = Registry.load()
    assert registry.resolve("NoamLR").callable is registry.resolve("torch.NoamLR").callable is NoamLR
    assert registry.resolve("torch.WarmupLR").callable is WarmupLR
    assert registry.resolve("torch.RAdam").callable is torch.optim.RAdam
