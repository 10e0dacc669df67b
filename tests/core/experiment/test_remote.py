"""A run whose folder is a URL."""

import fsspec
import pytest

from flambe import Experiment
from flambe.errors import RunError
from flambe.experiment.reading import read_run
from flambe.language.read import read_text

CONFIG = """\
my: walking
---
name: far
save_path: memory://runs
pipeline:
  walk: !my.Walk {stride: !g [1.0, 2.0]}
  report: !my.Report {walk: !@ walk, place: !@ walk.place}
reduce: {walk: 1}
"""


@pytest.fixture(autouse=True)
def _empty() -> None:
    fsspec.filesystem("memory").store.clear()


def test_a_run_can_lie_at_a_url_and_be_resumed_there() -> None:
    experiment = Experiment.from_document(read_text(CONFIG))
    first = experiment.run(backend="in-process")
    assert first.folder == "memory://runs/output__far"
    assert {record.status for record in first.records.values()} == {"done"}
    again = experiment.run(backend="in-process", resume=True)
    assert again.reused == set(again.records)
    shown = read_run("memory://runs/output__far")
    assert {k: r.metric for k, r in shown.records.items()} == {k: r.metric for k, r in first.records.items()}


def test_worker_processes_are_not_sent_to_the_memory_of_another() -> None:
    with pytest.raises(RunError, match=r"lies in the memory of this process.* give another save_path, or"):
        Experiment.from_document(read_text(CONFIG.replace("runs", "elsewhere"))).run(backend="pool")
