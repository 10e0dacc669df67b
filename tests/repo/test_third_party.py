"""A plugin that somebody else wrote and installed: a stage type, a metric sink and a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "third_party"
CONFIG = """\
name: weather
pipeline:
  forecast: !Forecast
    sun: !g [1, 5, 3]
reduce:
  forecast: 1
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plugin is installed with pip."""
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-warn-conflicts"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(HERE)], check=True
    )
    return target


def flambe(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "flambe", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_plugin_is_under_30_lines() -> None:
    assert len((HERE / "src/flambe_weather.py").read_text().splitlines()) < 30


def test_its_stage_runs_and_its_sink_receives_what_is_logged(site: Path, tmp_path: Path) -> None:
    (tmp_path / "weather.yaml").write_text(CONFIG)
    done = flambe(site, tmp_path, "run", "weather.yaml")
    assert done.returncode == 0, done.stderr
    almanac = (tmp_path / "flambe-output/output__weather/almanac.txt").read_text().splitlines()
    assert sorted(line for line in almanac if line.startswith("sun")) == ["sun 1", "sun 3", "sun 5"]


def test_its_command_runs(site: Path, tmp_path: Path) -> None:
    assert flambe(site, tmp_path, "sky").stdout == "blue\n"
    assert "The colour of the sky." in flambe(site, tmp_path, "--help").stdout


def test_it_is_listed_with_its_version_and_what_it_brings(site: Path, tmp_path: Path) -> None:
    listed = flambe(site, tmp_path, "plugins").stdout
    row = next(line for line in listed.splitlines() if line.startswith("weather"))
    assert row.split()[:3] == ["weather", "flambe-weather", "2.1"]
    assert "tags: Forecast" in listed
