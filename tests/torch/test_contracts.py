from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from flambe.logs import MetricSink
from flambe.saving.protocol import StateCodec
from flambe.testing import CodecContract, FrameworkContract, SinkContract
from flambe.testing.sinks import Scalars
from flambe.trials.frameworks import Framework
from flambe_torch.codec import TorchCodec
from flambe_torch.frameworks import TorchFramework
from flambe_torch.tensorboard import TensorBoard


class TestTorchFramework(FrameworkContract):
    @pytest.fixture
    def framework(self) -> Framework:
        return TorchFramework()

    def draw(self) -> Sequence[float]:
        drawn: list[float] = [*torch.rand(3).tolist(), torch.randn(()).item()]
        return drawn


class TestTorchCodec(CodecContract):
    @pytest.fixture
    def codec(self) -> StateCodec:
        return TorchCodec()

    def make(self, seed: int) -> Any:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(200, 100), nn.BatchNorm1d(100))

    def content(self, value: Any) -> Any:
        return {name: tensor.tolist() for name, tensor in value.state_dict().items()}

    def change(self, value: Any) -> None:
        with torch.no_grad():
            value[0].weight.add_(1)


class TestTensorBoardSink(SinkContract):
    @pytest.fixture
    def sink(self) -> MetricSink:
        return TensorBoard()

    def shown(self, folder: Path) -> Scalars:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        shown = {}
        for place in sorted(folder.glob("tensorboard/*/*")):
            events = EventAccumulator(str(place)).Reload()
            shown[place.parent.name, place.name] = {
                name: [(event.step, event.value) for event in events.Scalars(name)]
                for name in events.Tags()["scalars"]
            }
        return shown
