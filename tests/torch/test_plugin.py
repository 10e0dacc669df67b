from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import flambe_torch
from flambe.registry.registry import Registry
from flambe_torch import plugin


def test_the_plugin_imports_no_framework() -> None:
    script = (
        "import sys, flambe_torch.plugin\n"
        "assert not {'torch', 'numpy', 'pytorch_lightning', 'tensorboard'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_training_is_checked_without_lightning(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(
        """
name: train
pipeline:
  train: !Trainer
    train_sampler: !BaseSampler {data: [[[0.0], 1]]}
    dev_sampler: !BaseSampler {data: [[[0.0], 1]]}
    model: !SoftmaxDecoder {input_size: 1, output_size: 2}
    loss_fn: !NLLLoss
    metric_fn: !g [!Accuracy , !Perplexity , !BinaryF1 ]
    optimizer: !torch.Adam {params: !@ train.model.params}
  evaluate: !Evaluator {model: !@ train.model, metric_fn: !AUC , eval_sampler: !@ train.dev_sampler}
"""
    )
    script = (
        "import sys\nfrom flambe.cli.main import main\n"
        "try:\n    main(['check', sys.argv[1]])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' in sys.modules\n"
        "slow = {'pytorch_lightning', 'lightning_fabric', 'torchmetrics'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "train.yaml")], check=True)


@pytest.mark.parametrize("tag", sorted(plugin.TAGS))
def test_every_tag_is_there(tag: str) -> None:
    module, _, name = plugin.TAGS[tag].partition(":")
    assert getattr(importlib.import_module(module), name).__name__ == tag


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("NLLLoss", torch.nn.NLLLoss),
        ("torch.Adam", torch.optim.Adam),
        ("Adam", torch.optim.Adam),
        ("torch.ExponentialLR", torch.optim.lr_scheduler.ExponentialLR),
    ],
)
def test_torchs_own_are_found(tag: str, expected: type) -> None:
    assert Registry.load().resolve(tag).callable is expected


def test_metrics_of_torchmetrics_are_found() -> None:
    import torchmetrics

    found = Registry.load().resolve("torchmetrics.MulticlassAccuracy").callable
    assert found is torchmetrics.classification.MulticlassAccuracy


def test_public_names_are_importable() -> None:
    for name in flambe_torch.__all__:
        assert getattr(flambe_torch, name).__name__ == name


@pytest.mark.parametrize(
    ("tag", "imported"), [("my.Walk", False), ("Trianer", False), ("Linaer", True), ("Linear", True)]
)
def test_torch_is_imported_for_a_wrong_tag_only_if_nothing_else_is_near(tag: str, imported: bool) -> None:
    code = (
        "import sys\n"
        "from flambe.registry.registry import Registry\n"
        "try:\n"
        f"    Registry.load().resolve({tag!r})\n"
        "except Exception as error:\n"
        "    print(error, file=sys.stderr)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{imported}\n"
    assert ("Linear" if tag == "Linaer" else "") in done.stderr
