from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import flambe
from flambe import Experiment
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_file
from flambe_torch.nn import CNNEncoder, SoftmaxDecoder
from flambe_torch.vision import ImageClassifier


def test_a_classifier_is_its_parts_one_after_the_other() -> None:
    torch.manual_seed(0)
    encoder = CNNEncoder(3, [5], conv_dim=2, stride=2, batch_norm=False)
    decoder = SoftmaxDecoder(5 * 2 * 3, 4)
    model = ImageClassifier(encoder, decoder, dropout=0.5).eval()
    x = torch.randn(2, 3, 4, 6)
    (convolution,) = encoder.convolutions
    (linear,) = (module for module in decoder.modules() if isinstance(module, nn.Linear))
    maps = functional.conv2d(functional.pad(x, (1, 1, 1, 1)), convolution.weight, convolution.bias, stride=2)
    scores = maps.relu().reshape(2, -1) @ linear.weight.T + linear.bias
    torch.testing.assert_close(model(x), scores.log_softmax(-1))
    model.train()
    assert not torch.equal(model(x), model(x))  # dropout
    model.change("dropout", 0.0)
    assert torch.equal(model(x), model(x))


EXAMPLE = Path(__file__).parents[3] / "examples/mnist.yaml"


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of horizontal, vertical or no strokes, and which of them it is."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, 9, 8), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 3
    for image, label in zip(images, labels, strict=True):
        place = random.integers(1, 7)
        if label == 0:
            image[place] = 255
        elif label == 1:
            image[:, place] = 255
    return images, labels


def test_the_example_learns_to_see(tmp_path: Path) -> None:
    for part, count in (("train", 200), ("t10k", 60)):
        images, labels = drawn(count, seed=count)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (tmp_path / name).write_bytes(head + array.tobytes())
    assignments = [
        f"data.path={tmp_path}",
        f"save_path={tmp_path}/out",
        "train.iter_per_step=8",
        "num_samples=1",
    ]
    outcome = Experiment.from_document(apply_overrides(read_file(str(EXAMPLE)), assignments)).run()
    assert outcome.exit_code == 0
    (found,) = [record.metric for key, record in outcome.records.items() if key.stage == "evaluate"]
    assert found is not None
    assert found > 0.9  # a third by chance
    (best,) = outcome.chosen["train"]
    model = flambe.load(f"{outcome.folder}/train/{best}/model")
    images, labels = drawn(60, seed=60)
    predicted = model.eval()(torch.from_numpy(images[:, None] / np.float32(255))).argmax(-1)
    assert (predicted.numpy() == labels).mean() == pytest.approx(found)
