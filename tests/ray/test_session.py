"""What a run on Ray leaves on the machine, and what it says in the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
name: quiet
save_path: {folder}
pipeline:
  count: !flambe.testing.stages:Counter {{steps: !g [1, 2]}}
schedulers:
  count: !tune.HyperBandScheduler {{max_t: 2}}  # for which Ray is imported long before it is started
"""


@pytest.mark.slow
def test_a_run_leaves_nothing_behind_but_its_folder(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "t"
    home.mkdir()
    temporary.mkdir()
    config = tmp_path / "quiet.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "out"))
    outside = {name: value for name, value in os.environ.items() if "RAY_" not in name}
    environment = {**outside, "HOME": str(home), "TMPDIR": f"/tmp/{os.getpid()}"}
    Path(environment["TMPDIR"]).mkdir()
    command = [sys.executable, "-m", "flambe", "run", "--backend", "ray", str(config)]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    assert list(home.rglob("*")) == []
    assert list(Path(environment["TMPDIR"]).iterdir()) == []
    Path(environment["TMPDIR"]).rmdir()
    said = [line.split("  ", 1)[1] for line in ran.stderr.splitlines()]
    assert all(line.startswith(("run folder: ", "count/", "results: ")) for line in said), ran.stderr
    assert {path.name for path in (tmp_path / "out/output__quiet").iterdir()} >= {"count", "run.json"}
    assert not (tmp_path / "out/output__quiet/ray-logs").exists()
