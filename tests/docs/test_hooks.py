"""docs/plugins.md says what the hooks really are, and its plugin works."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flambe.testing
from flambe.registry import hookspecs
from flambe.registry.registry import Registry

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
DOCUMENTED = {line for language, block in BLOCKS if language == "python" for line in block.splitlines()}
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "flambe_spec")}


def written(name: str, function: object) -> str:
    return f"def {name}{inspect.signature(function)}: ...".replace("'", "")


def documented_signature(name: str) -> str:
    (line,) = [line for line in DOCUMENTED if line.startswith(f"def {name}(") and line.endswith(": ...")]
    return line.replace('"', "")


@pytest.mark.parametrize("name", HOOKS)
def test_signature_of_every_hook_is_documented(name: str):
    assert documented_signature(name) == written(name, HOOKS[name])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("tag", hookspecs.ComponentRegister.tag),
        ("namespace", hookspecs.ComponentRegister.namespace),
        ("__call__", hookspecs.Register.__call__),
    ],
)
def test_signature_of_what_hooks_receive_is_documented(name: str, function: object):
    assert documented_signature(name) == written(name, function)


def test_no_hook_is_documented_that_does_not_exist():
    assert set(re.findall(r"flambe_register_\w+", PAGE)) == set(HOOKS)


def test_every_hook_has_an_implementation_in_our_plugins():
    brought = {kind for record in Registry.load().plugins for kind in record.brings}
    kinds = {name.removeprefix("flambe_register_") for name in HOOKS}
    assert {kind.replace("tags", "components") for kind in brought} >= kinds


def test_contracts_and_protocols_that_are_named_exist():
    for path in re.findall(r"`(flambe\.[a-z_.]+\.[A-Z]\w+)`", PAGE):
        module, _, name = path.rpartition(".")
        __import__(module)
        assert hasattr(sys.modules[module], name), path
    assert flambe.testing


def test_documented_plugin_works_when_installed(tmp_path: Path):
    (code,) = [block for language, block in BLOCKS if language == "python" and "hookimpl" in block]
    (points,) = [block for language, block in BLOCKS if language == "toml"]
    (config,) = [block for language, block in BLOCKS if language == "yaml"]
    (tmp_path / "flambe_garden.py").write_text(code)
    (tmp_path / "garden.yaml").write_text(config)
    info = tmp_path / "flambe_garden-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flambe-garden\nVersion: 1.0\n")
    name = re.search(r"entry-points\.(\w+)", points)[1]
    point = points.splitlines()[1].replace('"', "")
    (info / "entry_points.txt").write_text(f"[{name}]\n{point}\n")
    script = (
        "from flambe.language.read import read_file\n"
        "from flambe.check import check\n"
        "from flambe.registry.registry import Registry\n"
        "registry = Registry.load()\n"
        "print([str(problem) for problem in check(read_file('garden.yaml'), registry)])\n"
        "print(registry.resolve('Plant').provider, registry.resolve('garden.Plant').value(2.0).step())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\nflambe-garden 1.0 True\n", "")
