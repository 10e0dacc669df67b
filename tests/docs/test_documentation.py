"""Every Python block of README and docs runs; every YAML block is a config without problems."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.check import check
from flambe.experiment.experiment import Experiment
from flambe.language.read import read_text
from flambe.registry.registry import Registry

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("packages/*/README.md")),
]
BLOCK = re.compile(r"^```(python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[object]:
    found = []
    for page in PAGES:
        if (page.name, language) == ("plugins.md", "yaml"):
            continue  # its config uses the plugin beside it: see test_hooks
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            if match[1] == language:
                line = text[: match.start()].count("\n") + 1
                found.append(pytest.param(page, match[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


def modules_of(page: Path) -> dict[str, str]:
    """The page's Python blocks that begin with the name of their file."""
    text = page.read_text(encoding="utf-8")
    named = (re.match(r"# (\w+\.py)\n", match[2]) for match in BLOCK.finditer(text))
    bodies = (match[2] for match in BLOCK.finditer(text))
    return {name[1]: body for name, body in zip(named, bodies, strict=True) if name}


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_blocks_run(page: Path, code: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(f"from __future__ import annotations\n{code}")
    done = subprocess.run(
        [sys.executable, "block.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "code"), blocks("yaml"))
def test_yaml_blocks_are_configs_without_problems(
    page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in modules_of(page).items():
        (tmp_path / name).write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    document = read_text(code, page.name)
    problems = check(document, Registry.load().with_header(document.header))
    for name in modules_of(page):  # another page or test may have one of that name
        sys.modules.pop(Path(name).stem, None)
    assert [str(problem) for problem in problems] == []


def test_the_readmes_config_is_short_and_has_the_variants_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    config, shown = re.findall(r"^```(?:yaml|text)\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[:2]
    plan, statuses = Experiment.from_document(read_text(config)).plan()
    variants = {
        stage["name"]: [v["id"] for v in stage["variants"]] for stage in plan.json(statuses)["stages"]
    }
    assert len(config.splitlines()) < 30
    assert sorted(re.findall(r"\S+~\w+", shown)[:-1]) == sorted(variants["train"])
    assert [name for name in variants if name in shown] == ["data", "train", "evaluate"]


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
