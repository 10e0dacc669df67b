from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import flambe
from flambe import Experiment
from flambe.language.read import read_text
from flambe.storage.storage import open_storage
from flambe.trials.once import SHELF, Shelf

np = pytest.importorskip("numpy")  # core itself gets by without


class Compute:
    """Counts its calls."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls = 0
        self.seconds = seconds

    def __call__(self) -> dict[str, object]:
        self.calls += 1
        time.sleep(self.seconds)
        return {"scores": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 3), dtype=np.float32)}


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield str(tmp_path / "run") if request.param == "local" else "memory://run"
    fsspec.filesystem("memory").store.clear()


def shelf(url: str) -> Shelf:
    return Shelf(open_storage(url))


def test_what_one_trial_computed_another_reads(url: str) -> None:
    compute = Compute()
    first, second = shelf(url).get("a-1", compute), shelf(url).get("a-1", compute)
    assert compute.calls == 1
    for arrays in (first, second):
        assert {name: array.shape for name, array in arrays.items()} == {"scores": (2, 3), "none": (0, 3)}
        assert arrays["scores"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert arrays["none"].dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            arrays["scores"][0] = 7


def test_each_key_has_arrays_of_its_own(url: str) -> None:
    compute = Compute()
    shelf(url).get("a", compute)
    shelf(url).get("b", compute)
    assert compute.calls == 2


def test_local_arrays_are_mapped_from_their_files(tmp_path: Path) -> None:
    arrays = shelf(str(tmp_path)).get("a", Compute())
    assert isinstance(arrays["scores"], np.memmap)
    assert (tmp_path / "shared/a/scores.npy").exists()
    assert not (tmp_path / "shared/a.lock").exists()


def test_others_wait_while_one_computes(url: str) -> None:
    compute = Compute(seconds=0.3)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(shelf(url).get("a", compute)["scores"].sum()))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (compute.calls, found) == (1, [15, 15, 15])


def test_where_the_one_that_computes_fails_the_next_computes(url: str) -> None:
    def fail() -> dict[str, object]:
        raise OSError("no teacher")

    with pytest.raises(OSError, match="no teacher"):
        shelf(url).get("a", fail)
    assert shelf(url).get("a", Compute())["scores"].sum() == 15


def test_where_the_one_that_computes_is_killed_the_next_computes(tmp_path: Path) -> None:
    code = f"""
import time
from flambe.storage.storage import open_storage
from flambe.trials.once import Shelf
def compute():
    print("computing", flush=True)
    time.sleep(60)
Shelf(open_storage({str(tmp_path)!r})).get("a", compute)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"computing\n"
        process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert shelf(str(tmp_path)).get("a", Compute())["scores"].sum() == 15
    assert time.monotonic() - began < 5


def test_damaged_arrays_are_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compute = Compute()
    shelf(str(tmp_path)).get("a", compute)
    file = tmp_path / "shared/a/scores.npy"
    file.write_bytes(file.read_bytes()[:-1])
    assert shelf(str(tmp_path)).get("a", compute)["scores"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert compute.calls == 2
    assert "was cut short" in caplog.text
    assert "it is computed again" in caplog.text


def test_outside_a_run_it_is_simply_computed() -> None:
    compute = Compute()
    assert SHELF.get() is None
    assert flambe.once("a", compute)["scores"].sum() == flambe.once("a", compute)["scores"].sum()
    assert compute.calls == 2


@pytest.mark.parametrize("key", ["", "../up", "a/b", ".hidden", "a b", "x" * 121, "a.lock"])
def test_a_key_is_a_safe_file_name(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be a key: use up to 120 letters"):
        flambe.once(key, Compute())


def test_only_arrays_of_numbers_are_kept() -> None:
    with pytest.raises(TypeError, match="once keeps arrays of numbers, but 'a' is of <U1"):
        flambe.once("a", lambda: {"a": np.array(["x"])})


MODULE = """
import os
import numpy as np
from flambe import Component, log, once

class Share(Component):
    def __init__(self, place, by=0):
        self.place, self.by = place, by

    def _compute(self):
        with open(self.place, "a") as out:
            out.write(f"{os.getpid()}\\n")
        return {"x": np.arange(4)}

    def step(self):
        log("sum", int(once("x-4", self._compute)["x"].sum()) + self.by)
        return False
"""


@pytest.mark.parametrize("backend", ["in-process", "local"])
def test_the_trials_of_a_run_share_it_and_so_does_one_that_is_resumed(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sharing.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = f"""\
m: sharing
---
name: shared
save_path: {tmp_path}/out
pipeline:
  one: !m.Share {{place: {tmp_path}/calls, by: !g [1, 2, 3, 4]}}
"""
    outcome = Experiment.from_document(read_text(text)).run(backend=backend)
    assert outcome.exit_code == 0, [record.error for record in outcome.records.values()]
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    more = text.replace("[1, 2, 3, 4]", "[1, 2, 3, 4, 5]")
    assert Experiment.from_document(read_text(more)).run(backend=backend, resume=True).exit_code == 0
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    sys.modules.pop("sharing", None)
