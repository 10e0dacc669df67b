from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from flambe.logs import MetricSink, Record
from flambe.testing import SinkContract
from flambe.testing.sinks import Scalars


class JsonSink:
    """Keeps numbers in memory, and writes one file at the end."""

    def open(self, folder: str, *, merge_plot: bool) -> None:
        self.file = Path(folder, "numbers.json")
        self.numbers: dict[str, dict[str, list[tuple[int, float]]]] = {}

    def write(self, stage: str, variant: str, records: Sequence[Record]) -> None:
        for record in records:
            if record.kind == "scalar":
                curves = self.numbers.setdefault(f"{stage}/{variant}", {})
                curves.setdefault(record.name, []).append((record.step or 0, record.value))

    def restart(self, stage: str, variant: str, records: Sequence[Record]) -> None:
        self.numbers.pop(f"{stage}/{variant}", None)
        self.write(stage, variant, records)

    def close(self) -> None:
        self.file.write_text(json.dumps(self.numbers))


class TestJsonSink(SinkContract):
    @pytest.fixture
    def sink(self) -> MetricSink:
        return JsonSink()

    def shown(self, folder: Path) -> Scalars:
        found = json.loads((folder / "numbers.json").read_text())
        return {
            (name.split("/")[0], name.split("/")[1]): {
                curve: [(step, value) for step, value in points] for curve, points in curves.items()
            }
            for name, curves in found.items()
        }
