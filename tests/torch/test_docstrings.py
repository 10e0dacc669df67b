from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import flambe_torch

MODULES = [module.name for module in pkgutil.walk_packages(flambe_torch.__path__, "flambe_torch.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
