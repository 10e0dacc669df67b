"""Running configs that are written in the tests."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flambe import Experiment, Outcome
from flambe.language.read import read_text

MODULES = Path(__file__).parent / "modules"

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(MODULES))
    yield
    sys.modules.pop("walking", None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a config's pipeline and other keys; the results lie under `tmp_path`."""

    def run(text: str, *, backend: str = "in-process", **options: Any) -> Outcome:
        whole = f"my: walking\n---\nname: test\nsave_path: {tmp_path}/out\n{text}"
        return Experiment.from_document(read_text(whole, "test.yaml")).run(backend=backend, **options)

    return run
