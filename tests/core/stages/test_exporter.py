from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe import Experiment
from flambe.experiment.exporting import export
from flambe.language.read import read_text
from flambe.stages.exporter import Exporter
from flambe.testing.stages import Counter

GROUPED = """
counting: flambe.testing.stages
---
name: grouped
save_path: FOLDER
pipeline:
  one: !counting.Counter {steps: 2}
  two: !counting.Counter {steps: 3}
  both: !Exporter {first: !@ one, second: !@ two, own: !counting.Counter {steps: 9}, sizes: [1, 2]}
"""


def load(folder: str) -> Any:
    return flambe.load(folder, trust=["flambe.testing"])  # the stages, not the Exporter


def test_objects_are_saved_and_loaded_under_their_names(tmp_path: Path) -> None:
    first, second = Counter(), Counter(5)
    first.step()
    flambe.save(Exporter(first=first, second=second, note="both"), str(tmp_path / "saved"))
    loaded = load(str(tmp_path / "saved"))
    assert (loaded.first.count, loaded.second.count, loaded.note) == (1, 0, "both")
    assert list(loaded.objects) == ["first", "second", "note"]
    assert load(str(tmp_path / "saved" / "first")).count == 1


def test_a_stage_groups_what_other_stages_made(tmp_path: Path) -> None:
    text = GROUPED.replace("FOLDER", json.dumps(str(tmp_path / "out")))
    outcome = Experiment.from_document(read_text(text, "test.yaml")).run(backend="in-process")
    assert outcome.exit_code == 0
    for found in (
        str(Path(outcome.folder) / "both" / "default"),
        export(outcome.folder, "both", str(tmp_path / "exported")),
    ):
        loaded = load(found)
        assert (loaded.first.count, loaded.second.count, loaded.own.count) == (2, 3, 0)
        assert loaded.sizes == [1, 2]


def test_what_an_exporter_does_not_hold_is_named() -> None:
    with pytest.raises(AttributeError, match=r"^this Exporter has no 'modle'; it holds model, labels$"):
        _ = Exporter(model=1, labels=[2]).modle


@pytest.mark.parametrize("name", ["objects", "custom_state", "metric", "step", "__class__"])
def test_names_that_an_exporter_is_asked_for_are_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^{name} would be taken for the Exporter's own; call these objects"
    ):
        Exporter(**{name: print, "model": 2})
