from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

import pytest

from flambe.check import check
from flambe.language.read import read_text
from flambe.registry.registry import Registry


@pytest.fixture
def problems(request: pytest.FixtureRequest) -> Callable[..., list[str]]:
    """Checks a config in which `p` is the test's own module; the config's first line is line 3."""
    registry = Registry.load(entry_points=False)
    header = f"p: {request.module.__name__}\n---\n"

    def problems(
        config: str,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[str]:
        document = read_text(header + textwrap.dedent(config).lstrip("\n"), "x.yaml")
        found = check(document, registry, secrets=secrets, environment=environment or {})
        assert all(problem.severity in ("error", "warning") for problem in found)
        return [f"{'warning ' * (each.severity == 'warning')}{each}" for each in found]

    return problems


@pytest.fixture
def stage(problems: Callable[..., list[str]]) -> Callable[[str], list[str]]:
    """Checks the pipeline of an experiment; its first line is line 5."""
    return lambda pipeline: problems(
        "name: x\npipeline:\n" + textwrap.indent(textwrap.dedent(pipeline).lstrip("\n"), "  ")
    )
