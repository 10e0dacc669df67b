"""What a run on Ray leaves on the machine, and what it says in the terminal."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from flambe.errors import RunError
from flambe_ray.session import _join, reach

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


@pytest.mark.slow
def test_a_cluster_that_asks_for_no_token_is_joined(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    config = tmp_path / "quiet.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "out"))
    port, place = free_port(), tempfile.mkdtemp(dir="/tmp")  # Ray's sockets need a short path
    environment = {name: value for name, value in os.environ.items() if "RAY_" not in name}
    environment["HOME"] = str(tmp_path / "home")
    start = (
        "start",
        "--head",
        "--block",
        f"--port={port}",
        f"--temp-dir={place}",
        "--num-cpus=2",
    )
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
    cluster = subprocess.Popen(
        [*ray, *start, "--include-dashboard=false", "--disable-usage-stats"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"127.0.0.1:{port}"
        wait_for(address)
        command = [sys.executable, "-m", "flambe", "run", "--ray-address", address, str(config)]
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.count(" done ") == 2
        assert list((tmp_path / "home").rglob("*")) == []
    finally:
        cluster.terminate()
        cluster.wait(60)
        shutil.rmtree(place, ignore_errors=True)


def test_an_address_where_nobody_answers_is_refused_at_once() -> None:
    with pytest.raises(RunError, match=r"no Ray cluster answers at 127\.0\.0\.1:"):
        _join(None, f"127.0.0.1:{free_port()}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(address: str) -> None:
    """Until a cluster answers there, and a little longer: its machine joins after it answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError):
            reach(address, timeout_s=1)
            time.sleep(5)
            return
        time.sleep(0.2)
    pytest.fail("the cluster has not started")


@pytest.mark.slow
@pytest.mark.parametrize("length", [16, 40])
def test_rays_folder_is_nobody_elses_wherever_temporary_files_lie(tmp_path: Path, length: int) -> None:
    place = Path(tempfile.mkdtemp(dir="/tmp", prefix="f"))
    temporary = place / ("t" * (length - len(str(place)) - 1))
    temporary.mkdir()
    code = (
        "from flambe_ray.session import Session\n"
        "session = Session({'cpu': 1})\n"
        "folder = session._folder.path\n"
        "print(folder.parent, oct(folder.stat().st_mode & 0o777), len(list(folder.iterdir())) > 1)\n"
        "session.close()\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        where = temporary if length == 16 else Path("/tmp")
        assert ran.stdout.splitlines() == [f"{where} 0o700 True"]
        assert list(temporary.iterdir()) == []
    finally:
        shutil.rmtree(place)
