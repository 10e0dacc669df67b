"""A disk that runs full, and a folder that cannot be written: named, nothing half-written, resumable."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "modules"

CONFIG = """\
my: walking
---
name: test
max_failures: 0
pipeline:
  heavy: !my.Heavy {kilobytes: !g [20, 40, 600, 30]}
  light: {size: !@ heavy.kilobytes}
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def flambe(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    paths = [str(MODULES), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "flambe", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("backend", ["in-process", "pool"])
def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(small_disk: Path, backend: str) -> None:
    config = small_disk.parent / "test.yaml"
    config.write_text(CONFIG)
    first = flambe(small_disk, "run", str(config), "--backend", backend)
    assert first.returncode == 1
    assert "the disk is full; free some space and try again" in first.stderr
    assert "Traceback" not in first.stderr
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = flambe(small_disk, "run", str(config), "--backend", backend, "--resume")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done") == 8


def test_a_read_only_disk_is_named(small_disk: Path) -> None:
    config = small_disk.parent / "test.yaml"
    config.write_text(CONFIG)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = flambe(small_disk, "run", str(config))
    assert done.returncode == 1
    assert done.stderr == (
        f"flambe: cannot write {small_disk}/flambe-output/output__test: "
        "the file system is read-only; choose another folder\n"
    )
