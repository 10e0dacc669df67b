"""Modules and plugins made for one test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flambe.registry.hookspecs import hookimpl

MakeModule = Callable[[str, str], str]
MakePlugin = Callable[..., Any]


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    """Writes an importable module (`a.b` makes the package `a` too) and returns its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def make(name: str, source: str) -> str:
        *packages, last = name.split(".")
        where = folder.joinpath(*packages)
        where.mkdir(parents=True, exist_ok=True)
        for depth in range(len(packages)):
            init = folder.joinpath(*packages[: depth + 1], "__init__.py")
            init.touch()
        target = where / last / "__init__.py" if (where / last).is_dir() else where / f"{last}.py"
        target.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        return name

    yield make
    for name in [name for name, module in sys.modules.items() if _lies_in(folder, module)]:
        del sys.modules[name]  # and no other: C extensions cannot be imported a second time


def _lies_in(folder: Path, module: ModuleType) -> bool:
    held = vars(module)  # some modules make up attributes
    places = [held.get("__file__"), *held.get("__path__", ())]
    return any(isinstance(place, str) and Path(place).is_relative_to(folder) for place in places)


@pytest.fixture
def make_plugin() -> MakePlugin:
    """A plugin module called `name`; each keyword is a hook without its prefix `flambe_register_`."""

    def make(name: str, **hooks: Callable[..., None]) -> Any:
        plugin = ModuleType(name)
        for hook, ask in hooks.items():

            def implementation(register: Any, ask: Callable[..., None] = ask) -> None:
                ask(register)

            setattr(plugin, f"flambe_register_{hook}", hookimpl(_named(implementation, hook)))
        return plugin

    return make


def _named(function: Callable[..., None], hook: str) -> Callable[..., None]:
    function.__name__ = f"flambe_register_{hook}"
    return function


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the metadata of an installed distribution into a folder of `sys.path`."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(distribution: str, version: str = "1.0", *, points: str = "", kind: str = "dist-info") -> Path:
        stem = distribution.replace("-", "_")
        info = folder / (f"{stem}-{version}.{kind}" if kind == "dist-info" else f"{stem}.{kind}")
        info.mkdir()
        metadata = "METADATA" if kind == "dist-info" else "PKG-INFO"
        (info / metadata).write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nText: no\n"
        )
        if points:
            (info / "entry_points.txt").write_text(textwrap.dedent(points))
        return folder

    return write
