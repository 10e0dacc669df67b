"""Makes the modules beside the tests importable: configs and saves name their classes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flambe.registry.registry import Registry

sys.path.insert(0, str(Path(__file__).parent))
import parts  # noqa: F401  # a save may build the Components of what is imported
from saved_run import Run

sys.path.pop(0)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load().with_aliases({"p": "parts"})


@pytest.fixture
def run(tmp_path: Path, registry: Registry) -> Run:
    return Run(tmp_path / "run", registry)
