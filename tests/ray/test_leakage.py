"""A process runs one trial after the other: nothing that one changes of it reaches the next."""

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

CONFIG = """
my: messy
---
name: messy
save_path: {folder}
devices: {{cpu: 2}}
max_failures: 0
pipeline:
  mess: !my.Messy {{number: !g [1, 2, 3], fail: {fail}}}
"""


@pytest.mark.parametrize(("backend", "fail"), [("pool", True), ("ray", False)])
def test_a_trial_finds_its_process_as_the_one_before_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, backend: str, fail: bool
) -> None:
    if backend == "ray":
        request.getfixturevalue("ray_session")
    monkeypatch.syspath_prepend(str(MODULES))
    monkeypatch.setenv("FLAMBE_KEPT", "kept")
    document = read_text(CONFIG.format(folder=tmp_path, fail=str(fail).lower()))
    outcome = Experiment.from_document(document).run(backend=backend)
    assert outcome.exit_code == int(fail)
    storage = open_storage(outcome.folder)
    files = [
        storage.read(f"mess/{key.variant}/metrics.jsonl").decode() for key in read_run(outcome.folder).records
    ]
    assert len({texts(file, "process")[0] for file in files}) == 1
    found = {texts(file, "found")[0] for file in files}
    assert len(found) == 1, found
