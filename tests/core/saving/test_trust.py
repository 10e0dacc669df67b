"""Loading a save builds only what somebody on this machine vouched for."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import parts
import pytest

from flambe import saving
from flambe.errors import SavingError
from flambe.saving.seal import SEAL, seal_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saving.save(parts.Encoder(1), tmp_path / "s")
    return tmp_path / "s"


def forge(folder: Path, config: str) -> None:
    data = config.encode()
    seal = json.loads((folder / SEAL).read_bytes())
    (folder / "config.yaml").write_bytes(data)
    seal["files"]["config.yaml"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / SEAL).write_bytes(seal_text(seal["files"], seal["parts"]))


def refusal(folder: Path, what: str, module: str) -> str:
    return (
        f"{folder} asks to build {what}, for which nobody vouched: if you trust the save, load it with "
        f"trust=[{module!r}], or import a module whose classes inherit flambe.Component first"
    )


@pytest.mark.parametrize(
    ("config", "what", "module"),
    [
        ("!os:system 'touch {mark}'", "'os:system'", "posix"),
        ("!subprocess:Popen [[touch, '{mark}']]", "'subprocess:Popen'", "subprocess"),
        ("!pathlib:Path '{mark}'", "'pathlib:Path'", Path.__module__),
        (
            "!flambe.storage.local:LocalStorage '{mark}'",
            "'flambe.storage.local:LocalStorage'",
            "flambe.storage.local",
        ),
        ("!parts:total [1]", "'parts:total'", "parts"),
        ("!parts:Plain {{value: 1}}", "'parts:Plain'", "parts"),
        ("!parts:Encoder {{size: !os:system 'touch {mark}'}}", "'os:system'", "posix"),
        ("!Experiment {{name: x, pipeline: {{a: 1}}}}", "'Experiment'", "flambe.experiment.experiment"),
        ("s: subprocess\n---\n!s.run [[touch, '{mark}']]", "'s.run'", "subprocess"),
    ],
)
def test_what_nobody_vouched_for_is_not_built(
    folder: Path, tmp_path: Path, config: str, what: str, module: str
) -> None:
    mark = tmp_path / "mark"
    forge(folder, config.format(mark=mark) + "\n")
    with pytest.raises(SavingError) as caught:
        saving.load(folder)
    assert str(caught.value) == refusal(folder, what, module)
    assert not mark.exists()


def test_a_module_is_not_imported_for_a_save(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for config in ("!evil_module:Thing {}\n", "e: evil_module\n---\n!e.Thing {}\n"):
        forge(folder, config)
        with pytest.raises(SavingError):
            saving.load(folder)
    assert "evil_module" not in sys.modules
    assert not (tmp_path / "mark").exists()


def test_a_save_cannot_bring_an_extension(folder: Path) -> None:
    forge(folder, "e: ./here\n---\n!e.Thing {}\n")
    with pytest.raises(SavingError) as caught:
        saving.load(folder)
    assert str(caught.value) == f"{folder}/config.yaml: the header of a save can only name modules"


def test_a_trusted_module_is_imported_and_built(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
class Thing:
    def __init__(self, size): self.size = size
    def load_custom_state(self, state): pass
"""
    (tmp_path / "good_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    forge(folder, "g: good_module\n---\n!g.Thing {size: 3}\n")
    assert saving.load(folder, trust=["good_module"]).size == 3


def test_trust_covers_the_modules_inside_a_package_and_no_others(folder: Path) -> None:
    forge(folder, "!os.path:join [a]\n")
    with pytest.raises(SavingError):
        saving.load(folder, trust=["posixpat", "o", "parts"])


@pytest.mark.parametrize(
    ("call", "name", "module"),
    [
        ("target: this.heads.fill, args: [1]", "ndarray.fill", "numpy"),
        ("target: this.heads.all", "ndarray.all", "numpy"),
        ("target: this.encoder.grow, args: [1]", "Growing.grow", "parts"),
    ],
)
def test_a_save_only_calls_methods_without_arguments_of_what_it_built(
    tmp_path: Path, call: str, name: str, module: str
) -> None:
    folder = tmp_path / "s"
    saving.save(parts.Model(parts.Growing(2), heads=np.ones(2)), folder)
    config = "!parts:Model\nencoder: !parts:Growing {size: 2}\nheads: !@ values.heads\nmatrix: !call {%s}\n"
    forge(folder, config % call)
    with pytest.raises(SavingError) as caught:
        saving.load(folder)
    assert str(caught.value) == (
        f"{folder} asks to call {name}: without trust=[{module!r}] a save may only call methods, without "
        "arguments, of objects that it built"
    )
    assert saving.load(folder, trust=["parts", "numpy"]).encoder.size in (2, 3)


def test_a_save_may_call_methods_of_what_it_built(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    saving.save(parts.Model(parts.Growing(2)), folder)
    forge(folder, "!parts:Model\nencoder: !parts:Growing {size: 2}\nmatrix: !call this.encoder.doubled\n")
    assert saving.load(folder).matrix == 4
