"""What handing a large value to many trials costs in memory: one copy of it, whoever runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flambe import Experiment
from flambe.experiment.reading import read_run
from flambe.language.read import read_text
from flambe.storage.storage import open_storage

sys.path.insert(0, str(Path(__file__).parent))
from clusters import MODULES, texts

sys.path.pop(0)

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells of memory")

CONFIG = """
my: holding
---
name: {name}
save_path: {folder}
devices: {{cpu: {cpu}}}
pipeline:
  block: !my.Block {{kind: {kind}, mib: {mib}}}
  hold: !my.Hold {{number: !g {numbers}, of: {count}, place: {folder}/{name}, data: !@ block.data}}
"""


class Memory:
    """Runs trials that hold a value at the same time, and tells what their processes hold, in MiB."""

    def __init__(self, folder: Path, backend: str, kind: str, count: int) -> None:
        self._folder, self._backend, self._kind, self._count = folder, backend, kind, count

    def growth(self, mib: int) -> tuple[float, float]:
        """By how much a value of this size adds to all processes together, and to the worst one alone."""
        with_none, with_value = self._measure(0), self._measure(mib)
        alone = max(own for _, own in with_value) - min(own for _, own in with_none)
        return sum(share for share, _ in with_value) - sum(share for share, _ in with_none), alone

    def _measure(self, mib: int) -> list[tuple[float, float]]:
        name = f"hold-{mib}"
        (self._folder / name).mkdir()
        config = CONFIG.format(
            name=name,
            folder=self._folder,
            kind=self._kind,
            mib=mib,
            cpu=2 / self._count,
            numbers=list(range(self._count)),
            count=self._count,
        )
        outcome = Experiment.from_document(read_text(config)).run(backend=self._backend)
        assert outcome.exit_code == 0, outcome.failed
        records = read_run(outcome.folder).records
        storage = open_storage(outcome.folder)
        return [
            (
                r.metric or 0.0,
                float(texts(storage.read(f"hold/{key.variant}/metrics.jsonl").decode(), "own")[0]),
            )
            for key, r in records.items()
            if key.stage == "hold"
        ]


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Memory:
    backend, kind, count = request.param
    if backend == "ray":
        request.getfixturevalue("ray_session")
    monkeypatch.syspath_prepend(str(MODULES))
    return Memory(tmp_path, backend, kind, count)


@pytest.mark.parametrize("memory", [("ray", "array", 3)], indirect=True)
def test_trials_share_an_array(memory: Memory) -> None:
    together, alone = memory.growth(64)
    assert together < 1.5 * 64
    assert alone < 32


@pytest.mark.slow
@pytest.mark.parametrize(
    "memory",
    [
        ("pool", "array", 8),
        ("pool", "rows", 8),
        ("pool", "tensor", 8),
        ("ray", "array", 8),
        ("ray", "rows", 8),
    ],
    indirect=True,
)
def test_eight_trials_hold_500_mb_once(memory: Memory, request: pytest.FixtureRequest) -> None:
    together, alone = memory.growth(500)
    print(f"{request.node.name}: together {together:.0f} MiB, one alone {alone:.0f} MiB")
    assert together < 1.2 * 500
    assert alone < 0.2 * 500


@pytest.mark.slow
@pytest.mark.parametrize("memory", [("ray", "tensor", 3)], indirect=True)
def test_a_tensor_on_ray_is_copied_into_each_trial(memory: Memory, request: pytest.FixtureRequest) -> None:
    together, alone = memory.growth(200)
    print(f"{request.node.name}: together {together:.0f} MiB, one alone {alone:.0f} MiB")
    assert 150 < alone < 250
