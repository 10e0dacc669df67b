"""The contract of metric sinks, as tests that each inherits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flambe.logs import Kind, MetricSink, Record

Scalars = Mapping[tuple[str, str], Mapping[str, list[tuple[int, float]]]]


def scalar(name: str, value: float, step: int) -> Record:
    """A logged number."""
    return Record("scalar", name, value, step, time.time())


class SinkContract:
    """What every metric sink does. Inherit it, give the fixture `sink` and the method `shown`."""

    @pytest.fixture
    def sink(self) -> MetricSink:
        """A new sink, not opened."""
        raise NotImplementedError("give a fixture `sink`")

    def shown(self, folder: Path) -> Scalars:
        """What a reader sees: of each (stage, variant), the numbers by name as (step, value)."""
        raise NotImplementedError("give a method `shown`")

    def test_numbers_are_there_once_it_is_closed(self, sink: MetricSink, tmp_path: Path) -> None:
        sink.open(str(tmp_path), merge_plot=True)
        sink.write("train", "lr=1~a", [scalar("loss", 3.0, 1), scalar("accuracy", 0.5, 1)])
        sink.write("train", "lr=2~b", [scalar("loss", 4.0, 1)])
        sink.write("train", "lr=1~a", [scalar("loss", 2.0, 2)])
        sink.close()
        assert self.shown(tmp_path) == {
            ("train", "lr=1~a"): {"loss": [(1, 3.0), (2, 2.0)], "accuracy": [(1, 0.5)]},
            ("train", "lr=2~b"): {"loss": [(1, 4.0)]},
        }

    def test_a_trial_that_goes_back_is_shown_from_there(self, sink: MetricSink, tmp_path: Path) -> None:
        sink.open(str(tmp_path), merge_plot=True)
        kept = [scalar("loss", 3.0, 1)]
        sink.write("train", "v", [*kept, scalar("loss", 2.0, 2)])
        sink.write("train", "w", [scalar("loss", 1.0, 1)])
        sink.restart("train", "v", kept)
        sink.write("train", "v", [scalar("loss", 2.5, 2)])
        sink.close()
        assert self.shown(tmp_path) == {
            ("train", "v"): {"loss": [(1, 3.0), (2, 2.5)]},
            ("train", "w"): {"loss": [(1, 1.0)]},
        }

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("scalar", float("nan")),
            ("scalar", 3),
            ("scalars", {"a": 1.0, "b": 2.0}),
            ("text", "some *text*"),
            ("hparams", {"lr": 0.1, "name": "x", "deep": True}),
        ],
    )
    def test_every_kind_is_taken(self, sink: MetricSink, tmp_path: Path, kind: Kind, value: Any) -> None:
        sink.open(str(tmp_path), merge_plot=False)
        sink.write("train", "v", [Record(kind, "name", value, 1, time.time())])
        sink.write("train", "v", [Record(kind, "name", value, None, time.time())])
        sink.close()

    def test_a_run_without_numbers_ends_well(self, sink: MetricSink, tmp_path: Path) -> None:
        sink.open(str(tmp_path), merge_plot=True)
        sink.write("train", "v", [])
        sink.close()
        assert self.shown(tmp_path) == {}
