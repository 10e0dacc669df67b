from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import flambe_nlp
from flambe.check import check
from flambe.language.read import read_text
from flambe.registry.registry import Registry

MODULES = [module.name for module in pkgutil.walk_packages(flambe_nlp.__path__, "flambe_nlp.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def blocks(language: str) -> list[str]:
    readme = Path(__file__).parents[2] / "packages" / "flambe-nlp" / "README.md"
    return re.findall(rf"```{language}\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_runs(code: str) -> None:
    exec(code, {})


@pytest.mark.parametrize("text", blocks("yaml"))
def test_configs_of_the_readme_have_no_problems(text: str) -> None:
    assert check(read_text(text), Registry.load()) == []
