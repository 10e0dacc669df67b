"""What code logs reaches the trial that it belongs to, from whichever thread."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import flambe
from flambe import Experiment
from flambe.language.read import read_text
from flambe.logs import CURRENT, Recorder


@contextmanager
def recording() -> Iterator[Recorder]:
    recorder = Recorder()
    claim = CURRENT.set(recorder)
    try:
        yield recorder
    finally:
        CURRENT.reset(claim)


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def names(recorder: Recorder) -> list[str]:
    return [record.name for record in recorder.take()]


def test_what_threads_log_is_the_trials() -> None:
    with recording() as recorder:
        in_thread(lambda: flambe.log("scalar", 0.9))
        in_thread(lambda: flambe.log_text("text", "said"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda n: flambe.log(f"pool/{n}", n), range(3)))
    in_thread(lambda: flambe.log("too late", 1))
    assert sorted(names(recorder)) == ["pool/0", "pool/1", "pool/2", "scalar", "text"]


def test_an_inner_recorder_has_the_threads_until_it_ends() -> None:
    with recording() as outer:
        with recording() as inner:
            in_thread(lambda: flambe.log("inner", 1))
        in_thread(lambda: flambe.log("outer", 1))
    assert (names(inner), names(outer)) == (["inner"], ["outer"])


def test_two_threads_with_recorders_of_their_own_do_not_mix() -> None:
    both, found = threading.Barrier(2), {}

    def trial(name: str) -> None:
        with recording() as recorder:
            both.wait()
            flambe.log(name, 1)
            both.wait()
        found[name] = names(recorder)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(trial, "ab"))
    assert found == {"a": ["a"], "b": ["b"]}


def test_a_thread_that_was_handed_the_context_of_a_trial_serves_the_next_one_too() -> None:
    with recording() as first, recording() as second:
        context = contextvars.copy_context()
        in_thread(lambda: context.run(flambe.log, "second", 1))
    with recording() as third:
        in_thread(lambda: context.run(flambe.log, "third", 1))
    in_thread(lambda: context.run(flambe.log, "none", 1))
    assert [names(recorder) for recorder in (first, second, third)] == [[], ["second"], ["third"]]


def test_nothing_is_lost_where_the_trial_hands_on_while_a_thread_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr("flambe.logs.time", SimpleNamespace(time=lambda: float(len(recorder.take()))))
        in_thread(lambda: recorder.add("scalar", "loss", 1, None))  # the clock is read in the midst of it
    assert names(recorder) == ["loss"]


STAGE = """
import threading
from flambe import Component, log

class Threaded(Component):
    def __init__(self, number=0):
        self.number = number

    def step(self):
        thread = threading.Thread(target=log, args=("score", self.number))
        thread.start()
        thread.join()
        return False
"""


@pytest.mark.parametrize("backend", ["in-process", "pool"])
def test_each_trial_keeps_what_its_threads_log(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threaded.py").write_text(STAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = f"""\
m: threaded
---
name: threaded
save_path: {tmp_path}/out
pipeline:
  one: !m.Threaded {{number: !g [1, 2]}}
"""
    outcome = Experiment.from_document(read_text(text)).run(backend=backend)
    assert outcome.exit_code == 0
    logged = sorted(
        (file.parent.name.split("~")[0], file.read_text().count('"score"'))
        for file in Path(outcome.folder, "one").glob("*/metrics.jsonl")
    )
    assert logged == [("number=1", 1), ("number=2", 1)]
    sys.modules.pop("threaded", None)
