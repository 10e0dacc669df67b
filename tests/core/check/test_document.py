from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from flambe.check import check, render
from flambe.check.experiment import KEYS
from flambe.experiment.settings import Settings
from flambe.language.overrides import apply_overrides
from flambe.language.read import read_text
from flambe.registry.registry import Registry


def messages(config: str, *overrides: str) -> list[str]:
    document = read_text(config, "x.yaml")
    if overrides:
        document = apply_overrides(document, list(overrides))
    return [str(problem) for problem in check(document, Registry.load(entry_points=False))]


class Model:
    def __init__(self, size: int) -> None:
        raise AssertionError("checking builds nothing")


HERE = f"p: {__name__}\n---\n"


def test_nothing_is_built() -> None:
    assert messages(HERE + "name: x\npipeline: {a: !p.Model {size: 3}}") == []


def test_problems_of_the_reader_come_in_document_order_with_the_others() -> None:
    found = messages("name: a b\npipeline:\n  a: !Nowhere {x: 1, x: 2}\n  b: !@ a..b\n  c: !@ d\n")
    assert [message.partition("  ")[0] for message in found] == [
        "x.yaml:1:7",
        "x.yaml:3:6",
        "x.yaml:3:22",
        "x.yaml:4:10",
        "x.yaml:5:6",
    ]


def test_an_extension_that_is_missing_is_reported_once_where_it_is_named() -> None:
    found = messages("ext: nowhere.at_all\n---\nname: x\npipeline: {a: !ext.A {b: !ext.B 1}, c: !ext.D 1}")
    assert len(found) == 1
    assert found[0].startswith("x.yaml:1:1  ext: extension 'ext': module 'nowhere.at_all' is not installed")


def test_an_extension_that_fails_to_import_is_reported_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_extension.py").write_text("raise RuntimeError('no luck')")
    (tmp_path / "leaving_extension.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    found = messages("a: broken_extension\nb: leaving_extension\n---\nname: x\npipeline: {a: !a.A 1}")
    assert found == [
        "x.yaml:1:1  a: extension 'a' cannot be imported: RuntimeError: no luck",
        "x.yaml:2:1  b: extension 'b' cannot be imported: SystemExit: 3",
    ]


def test_overrides_are_checked_and_their_problems_name_the_argument() -> None:
    config = HERE + "name: x\npipeline: {a: !p.Model {size: 3}}"
    found = messages(config, "a.size=two", "a.sise=1", "seed=x")
    assert found == [
        "<argument 'a.sise=1'>:1:1  pipeline.a.sise: Model has no argument 'sise'; did you mean 'size'?",
        "<argument 'a.size=two'>:1:8  pipeline.a.size: Model: 'size' must be int, not 'two' (str)",
        "<argument 'seed=x'>:1:6  seed: expected an int, not 'x' (str)",
    ]


def test_problems_show_the_line_they_are_about() -> None:
    document = read_text(HERE + "name: x\npipeline:\n  a: !p.Model {size: two}\n", "x.yaml")
    problems = check(document, Registry.load(entry_points=False))
    assert render.text(problems) == (
        "x.yaml:5:22  pipeline.a.size: Model: 'size' must be int, not 'two' (str)\n"
        "      a: !p.Model {size: two}\n"
        "                         ^"
    )


class Hostile(type):
    """A class whose every inspection raises."""

    def __getattribute__(cls, name: str) -> Any:
        if name in (
            "__mro__",
            "__signature__",
            "__init__",
            "__abstractmethods__",
            "__annotations__",
            "metric",
        ):
            raise RuntimeError(name)
        return super().__getattribute__(name)

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError

    def __subclasscheck__(cls, subclass: type) -> bool:
        raise RuntimeError


class Unreadable(metaclass=Hostile):
    pass


class Taker:
    def __init__(self, it: Unreadable, size: int = 1) -> None: ...


def test_classes_that_cannot_be_inspected_do_not_break_the_check() -> None:
    config = """
    name: x
    pipeline:
      a: !p.Unreadable {anything: 1}
      b: !p.Taker {it: !@ a.it, size: !@ "a[it]"}
      c: !p.Taker {it: 3}
      d: !p.Taker {it: !@ b}
      e: !p.Taker {it: !p.Unreadable }
    reduce: {a: 1}
    """
    assert messages(HERE + config) == []


def test_settings_and_keys_agree() -> None:
    defaults = {field.name: field for field in Settings.__dataclass_fields__.values()}
    assert set(defaults) == {key.name for key in KEYS}
    for key in KEYS:
        field = defaults[key.name]
        made = field.default_factory() if callable(field.default_factory) else field.default
        assert key.required or key.default == made, key.name


def test_many_problems_and_many_variants_take_little_time() -> None:
    stages = "".join(
        f"  s{n}: !p.Model {{size: !g [{', '.join(map(str, range(50)))}], sise: !@ s{n}.x}}\n"
        for n in range(200)
    )
    document = read_text(f"{HERE}name: x\npipeline:\n{stages}", "x.yaml")
    registry = Registry.load(entry_points=False)
    began = time.perf_counter()
    assert len(check(document, registry)) == 400
    assert time.perf_counter() - began < 5


def test_modules_that_appear_later_are_seen() -> None:
    made = types.ModuleType("made_for_this_test")
    made.Model = Model  # type: ignore[attr-defined]
    config = "name: x\npipeline: {a: !made_for_this_test:Model {size: 1}}"
    assert len(messages(config)) == 1
    sys.modules[made.__name__] = made
    try:
        assert messages(config) == []
    finally:
        del sys.modules[made.__name__]
