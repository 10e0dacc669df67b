from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from flambe.errors import ExtensionError
from flambe.language.header import Folder, Git, Header, HeaderEntry, ImportPath, Requirement
from flambe.registry import environment, installing
from flambe.registry.checkouts import Checkout
from flambe.registry.extensions import ensure, module_of


def header(alias: str, source, module: str | None = None) -> Header:
    return Header((HeaderEntry(alias, source, module),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(installing, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, make_module) -> list[str]:
    """Stands for pip: notes what it should install, and makes the module `weather` importable."""
    installed: list[str] = []

    def install(target: str) -> None:
        installed.append(target)
        make_module("weather", "class Rain: ...\n")

    monkeypatch.setattr(environment, "pip_install", install)
    return installed


@pytest.mark.parametrize(
    ("entry", "module"),
    [
        (HeaderEntry("a", ImportPath("b.c")), "b.c"),
        (HeaderEntry("a", ImportPath("b.c"), "d"), "d"),
        (HeaderEntry("a", Folder("/b")), "a"),
        (HeaderEntry("a-b", Requirement("b==1")), "a_b"),
        (HeaderEntry("a", Git("https://example.org/b"), "d.e"), "d.e"),
    ],
)
def test_module_is_as_written_or_the_import_path_or_the_alias(entry: HeaderEntry, module: str):
    assert module_of(entry) == module


def test_import_path_is_imported_and_never_installed(make_module, pip):
    make_module("hail.stone", "size = 3\n")
    modules = ensure(header("h", ImportPath("hail.stone")), install=True)
    assert modules["h"].size == 3
    with pytest.raises(ExtensionError) as caught:
        ensure(header("h", ImportPath("hail.rain")), install=True)
    assert str(caught.value) == (
        "extension 'h': module 'hail.rain' is not installed; install the package that has it,"
        " or name its source: a folder, a git URL or a requirement"
    )
    assert pip == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ExtensionError) as caught:
        ensure(header("w", Folder(str(tmp_path / "nothing"))), install=False)
    assert str(caught.value) == (
        f"extension 'w': module 'w' is not installed; there is no folder {tmp_path / 'nothing'}; "
        "if its module is not 'w', give both `source:` and `module:`"
    )


def test_folder_is_installed_once_for_each_state_of_it(tmp_path: Path, pip):
    folder = tmp_path / "weather project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("1")
    entry = header("weather", Folder(str(folder)))
    with pytest.raises(ExtensionError) as caught:
        ensure(entry, install=False)
    assert str(caught.value) == (
        "extension 'weather': module 'weather' is not installed: run `flambe run -i …`, or"
        f" `pip install '{folder}'`; if its module is not 'weather', give both `source:` and `module:`"
    )
    said: list[str] = []
    assert ensure(entry, install=True, progress=said.append)["weather"].Rain
    assert said == [f"installing {folder}"]
    (folder / "build").mkdir()
    (folder / "build" / "out.txt").write_text("of pip")
    ensure(entry, install=True)
    assert pip == [str(folder)]
    (folder / "src" / "b.py").write_text("new")
    ensure(entry, install=True)
    assert pip == [str(folder)] * 2


def test_folder_that_does_not_exist_is_named(tmp_path: Path, pip):
    with pytest.raises(ExtensionError) as caught:
        ensure(header("w", Folder(str(tmp_path / "gone"))), install=True)
    assert str(caught.value) == f"extension 'w': there is no folder '{tmp_path / 'gone'}'"


def test_folder_installed_in_editable_mode_is_left_alone(tmp_path: Path, pip, make_module, site):
    make_module("weather", "")
    folder = tmp_path / "project"
    folder.mkdir()
    direct = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    (site("weather") / "weather-1.0.dist-info" / "direct_url.json").write_text(json.dumps(direct))
    ensure(header("weather", Folder(str(folder))), install=True)
    assert pip == []


def test_requirement_is_installed_unless_the_environment_has_it(pip, site):
    site("weather", "1.5")
    for text in ("weather>=1", "weather==1.5", "weather"):
        with pytest.raises(ExtensionError, match="module 'weather' is not installed"):
            ensure(header("weather", Requirement(text)), install=True)
    assert pip == []
    with pytest.raises(ExtensionError) as caught:
        ensure(header("weather", Requirement("weather==2.0")), install=False)
    assert str(caught.value) == (
        "extension 'weather': weather 1.5 is installed, not 'weather==2.0':"
        " run `flambe run -i …`, or `pip install weather==2.0`"
    )
    ensure(header("weather", Requirement("umbrella>2")), install=True)
    assert pip == ["umbrella>2"]


def test_git_is_installed_again_only_when_its_commit_is_another(
    pip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    commits = iter(["c1", "c1", "c2"])
    monkeypatch.setattr(installing, "check_out", lambda *_: Checkout(tmp_path, next(commits)))
    source = Git("https://example.org/w.git", "main")
    installed = [len(pip) for _ in range(3) if ensure(header("weather", source), install=True)]
    assert installed == [1, 1, 2]
    with pytest.raises(ExtensionError) as caught:
        ensure(header("weather", Git("https://example.org/w.git", "v2")), install=False)
    assert str(caught.value) == (
        "extension 'weather': 'main' of https://example.org/w.git is installed, not 'v2':"
        " run `flambe run -i …`, or `pip install git+https://example.org/w.git@v2`"
    )


def test_error_in_an_extension_keeps_its_type(make_module):
    make_module("stormy", "import missing_umbrella\n")
    with pytest.raises(ModuleNotFoundError, match="missing_umbrella") as caught:
        ensure(header("s", ImportPath("stormy")), install=False)
    assert caught.value.__notes__ == ["while importing 'stormy', the extension 's' of the header"]


def test_note_of_what_was_installed_survives_damage(tmp_path: Path):
    installed = environment.Installed(tmp_path)
    installed.remember("a", "1")
    installed.remember("b", "2")
    assert (installed.state("a"), installed.state("b"), installed.state("c")) == ("1", "2", None)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    assert installed.state("a") is None
    installed.remember("a", "3")
    assert installed.state("a") == "3"


def test_second_install_waits_for_the_first(tmp_path: Path):
    order: list[str] = []

    def other() -> None:
        with environment.locked(tmp_path):
            order.append("other")

    with environment.locked(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


PROJECT = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "storm-front"
    version = "{version}"

    [tool.hatch.build.targets.wheel]
    packages = ["storm_front"]
"""


def write_project(folder: Path, version: str) -> None:
    (folder / "storm_front").mkdir(parents=True, exist_ok=True)
    (folder / "storm_front" / "__init__.py").write_text(f"class Rain:\n    amount = {version!r}\n")
    (folder / "pyproject.toml").write_text(textwrap.dedent(PROJECT).format(version=version))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of a new environment that sees, and does not change, what is installed here."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("site-packages")]
    (packages / "here.pth").write_text("\n".join(lines))
    return tmp_path / "venv" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the layout of the environment is that of POSIX")
def test_folder_and_git_are_really_installed(python: Path, tmp_path: Path):
    folder, origin = tmp_path / "project", tmp_path / "origin"
    write_project(folder, "1.0")
    write_project(origin / "sub", "2.0")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], cwd=origin, check=True)
    code = """
        import sys
        from flambe.language.header import Folder, Git, Header, HeaderEntry
        from flambe.registry.extensions import ensure
        kind, text = sys.argv[1:]
        source = Folder(text) if kind == "folder" else Git(text, None, "sub")
        header = Header((HeaderEntry("storm_front", source),))
        print(ensure(header, install=True)["storm_front"].Rain.amount)
    """
    env = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "home"),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-c", textwrap.dedent(code), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    done = [run("folder", str(folder)), run("git", origin.as_uri())]
    assert [(one.stdout, one.stderr) for one in done] == [("1.0\n", ""), ("2.0\n", "")]
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'nothing_at_all'\n"
    )
    failed = run("folder", str(folder))
    assert f"ExtensionError: `pip install {folder}` failed:\n" in failed.stderr
    assert "nothing_at_all" in failed.stderr
