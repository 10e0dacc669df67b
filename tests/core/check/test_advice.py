"""Warnings of plugins about stages with a scheduler or a search."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from flambe.check import check
from flambe.check.advice import Advice, StageUnderCheck
from flambe.errors import Problem
from flambe.language.read import read_text
from flambe.registry.hookspecs import hookimpl
from flambe.registry.registry import Registry


class Still:
    def metric(self) -> float:
        return 1.0


class Stepping(Still):
    def __init__(self, max_steps: int = 7) -> None:
        self.max_steps = max_steps

    def step(self) -> bool:
        return False


class Judge:
    pass


class Oracle:
    pass


def tell_all(stage: str, found: StageUnderCheck) -> Iterator[Advice]:
    names = [cls.__name__ for cls in (found.scheduler, found.search) if cls is not None]
    yield Advice("schedulers", f"{stage}: {names} {found.steps} {found.max_steps}")


class Plugin:
    @staticmethod
    @hookimpl
    def flambe_register_checks(register) -> None:  # type: ignore[no-untyped-def]
        register("all", "advising:tell_all")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    module = ModuleType("advising")
    for value in (Still, Stepping, Judge, Oracle, tell_all):
        setattr(module, value.__name__, value)
        if isinstance(value, type):
            monkeypatch.setattr(value, "__module__", "advising")
    monkeypatch.setitem(sys.modules, "advising", module)
    return Registry.load(entry_points=False, plugins=[Plugin])


def problems(registry: Registry, text: str) -> list[Problem]:
    return check(read_text(f"my: advising\n---\nname: a\n{text}", "a.yaml"), registry)


@pytest.mark.parametrize(
    ("stage", "known"),
    [
        ("!my.Still", "False None"),
        ("!my.Stepping", "True 7"),
        ("!my.Stepping {max_steps: 1}", "True 1"),
        ("!my.Stepping {max_steps: !g [2, 5]}", "True 5"),
        ("!my.Stepping {max_steps: !randint [2, 5]}", "True None"),
        ("!g [!my.Still , !my.Stepping {max_steps: 3}]", "True None"),
    ],
)
def test_checks_of_plugins_are_told_what_is_known_of_a_stage(
    registry: Registry, stage: str, known: str
) -> None:
    (problem,) = problems(registry, f"pipeline: {{b: {stage}}}\nschedulers:\n  b: !my.Judge\n")
    assert problem.message == f"b: ['Judge'] {known}"


def test_advice_is_a_warning_at_the_stages_entry(registry: Registry) -> None:
    (problem,) = problems(
        registry, "pipeline: {b: !my.Stepping }\nschedulers:\n  b: !my.Judge\nsearch: {b: !my.Oracle }\n"
    )
    assert (problem.severity, problem.path, str(problem.position)) == (
        "warning",
        "schedulers.b",
        "a.yaml:6:6",
    )
    assert problem.message == "b: ['Judge', 'Oracle'] True 7"


def test_a_config_with_errors_is_given_no_advice(registry: Registry) -> None:
    found = problems(registry, "pipeline: {b: !my.Stepping {steps: 1}}\nschedulers: {b: !my.Judge }\n")
    assert {problem.severity for problem in found} == {"error"}


def test_a_stage_without_scheduler_or_search_is_left_alone(registry: Registry) -> None:
    assert problems(registry, "pipeline: {b: !my.Stepping }\n") == []
