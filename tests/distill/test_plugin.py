from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import flambe_distill
from flambe.language.read import read_text
from flambe.registry.registry import Registry

MODULES = [module.name for module in pkgutil.walk_packages(flambe_distill.__path__, "flambe_distill.")]


@pytest.mark.parametrize("name", flambe_distill.__all__)
@pytest.mark.parametrize("header", ["", "dist: flambe_distill\n---\n"])
def test_tags_are_found_by_the_plugin_and_by_a_header(name: str, header: str) -> None:
    registry = Registry.load().with_header(read_text(f"{header}name: x\npipeline: {{}}\n").header)
    assert registry.resolve(f"dist.{name}").value is getattr(flambe_distill, name)


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'fsspec', 'flambe_torch', 'flambe_nlp'} & set(sys.modules)"
    code = f"import sys, flambe_distill.plugin; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="module 'flambe_distill' has no attribute 'Nothing'"):
        flambe_distill.Nothing
    assert dir(flambe_distill) == flambe_distill.__all__


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
