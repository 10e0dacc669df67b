"""What the packages of this repository have in common."""

import configparser
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
MODULES = [source.name for package in PACKAGES for source in package.glob("src/*")]
LICENSE = (ROOT / "LICENSE").read_text(encoding="utf-8")


def project(package: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


VERSION = project(ROOT / "packages/flambe-core")["version"]

each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


@each_package
def test_versions_are_in_lockstep(package: Path) -> None:
    about = project(package)
    ours = [line for line in about["dependencies"] if line.startswith("flambe-")]
    assert about["version"] == VERSION
    assert [line.partition("==")[2] for line in ours] == [VERSION] * len(ours)


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == VERSION


@each_package
def test_metadata_says_what_is_supported(package: Path) -> None:
    about = project(package)
    pythons = {f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)}
    assert about["name"] == package.name
    assert about["requires-python"] == ">=3.10"
    assert pythons | {"Typing :: Typed"} <= set(about["classifiers"])
    assert (about["license"], about["license-files"]) == ("MIT", ["LICENSE"])
    assert (package / "LICENSE").read_text(encoding="utf-8") == LICENSE


@each_package
def test_readme_says_what_it_is_how_to_install_it_and_shows_an_example(package: Path) -> None:
    text = (package / project(package)["readme"]).read_text(encoding="utf-8")
    assert text.startswith(f"# {package.name}\n\n")
    assert f"pip install {package.name}" in text
    assert re.search(r"^```(yaml|python)$", text, re.MULTILINE)


@each_package
def test_the_wheel_holds_every_file_of_the_source(package: Path) -> None:
    source = package / "src"
    (module,) = [path.name for path in source.iterdir() if path.is_dir()]
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    packed = {file.distribution_path for file in WheelBuilder(str(package)).recurse_included_files()}
    assert packed == files
    assert f"{module}/py.typed" in packed


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module: str) -> None:
    package = importlib.import_module(module)
    bare = [name for name in getattr(package, "__all__", ()) if not inspect.getdoc(getattr(package, name))]
    assert package.__doc__
    assert bare == []


def test_import_contracts_hold_every_package() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    assert sorted(contracts["importlinter"]["root_packages"].split()) == sorted(MODULES)
    layers = contracts["importlinter:contract:direction"]["layers"].replace("|", " ")
    assert sorted(layers.split()) == sorted(MODULES)


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    home = re.compile(r"(?<![\w.:/~])/(?:root|Users|work|opt|mnt)/[\w.]")
    folders = ("packages", "tests", "docs", "examples", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    written = [path for path in files if path.suffix in {".py", ".md", ".toml", ".yaml", ".txt", ".label"}]
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in written
        if path != Path(__file__)
        for line in path.read_text(encoding="utf-8").splitlines()
        if home.search(line)
    ]
    assert found == []
