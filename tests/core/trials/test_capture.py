"""What a trial says, from whichever thread."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from flambe.trials.capture import Lines, captured


def test_what_another_thread_says_is_handed_on_by_the_trials_own() -> None:
    handed: list[tuple[int, list[str]]] = []
    lines = Lines(lambda: handed.append((threading.get_ident(), lines.take())))
    with captured(lines):
        other = threading.Thread(target=print, args=("from a thread",))
        other.start()
        other.join()
        assert handed == []
        print("from the trial")
    assert handed == [(threading.get_ident(), ["from a thread", "from the trial"])]


def test_what_handing_on_itself_says_is_not_handed_on_at_once() -> None:
    calls: list[list[str]] = []

    def hand_on() -> None:
        calls.append(lines.take())
        logging.getLogger("storage").warning("slow down")

    lines = Lines(hand_on)
    with captured(lines):
        print("hello")
    assert calls == [["hello"]]
    (line,) = lines.take()
    assert line.endswith("WARNING storage: slow down")


def test_who_holds_on_to_the_stream_of_a_trial_does_not_hold_the_trial() -> None:
    class Trial:
        def hand_on(self) -> None:
            pass

    trial, beneath = Trial(), io.StringIO()
    gone = weakref.ref(trial)
    with redirect_stderr(beneath), captured(Lines(trial.hand_on)):
        handler = logging.StreamHandler(sys.stderr)  # as libraries make one when they are imported
    del trial
    gc.collect()
    assert gone() is None
    handler.emit(logging.makeLogRecord({"msg": "said later"}))
    assert beneath.getvalue() == "said later\n"


def said(*calls: Callable[[], object]) -> list[str]:
    """The lines that a trial says by these calls."""
    lines = Lines(lambda: None)
    with captured(lines):
        for call in calls:
            call()
    return lines.take()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_the_streams_of_a_trial_are_text_streams(name: str) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), captured(Lines(lambda: None)):
        stream = getattr(sys, name)
        assert isinstance(stream, io.TextIOBase)
        assert (stream.name, stream.encoding, stream.errors) == (f"<{name}>", "utf-8", "backslashreplace")
        assert (stream.isatty(), stream.closed, stream.writable(), stream.readable()) == (
            False,
            False,
            True,
            False,
        )
        assert stream.buffer.writable()
        assert stream.buffer.name == stream.name
        for one in (stream, stream.buffer):
            with pytest.raises(io.UnsupportedOperation, match="fileno"):  # as the stream beneath has none
                one.fileno()


def test_the_descriptor_is_the_one_beneath(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w") as file, redirect_stdout(file), captured(Lines(lambda: None)):
        assert sys.stdout.fileno() == sys.stdout.buffer.fileno() == file.fileno()


def test_lines_are_written_in_every_way() -> None:
    assert said(
        lambda: sys.stdout.reconfigure(encoding="latin-1", line_buffering=True),  # type: ignore[union-attr]
        lambda: print("printed é", flush=True),
        lambda: sys.stdout.writelines(["one\n", "two\n"]),
        lambda: sys.stdout.buffer.write(b"bytes\n"),
        lambda: sys.stdout.buffer.writelines([b"three\n", memoryview(b"four\n")]),
        sys.stdout.flush,
    ) == ["printed é", "one", "two", "bytes", "three", "four"]


def test_bytes_are_text_in_utf_8() -> None:
    euro = "€\n".encode()
    counts: list[int] = []
    assert said(
        lambda: counts.append(sys.stdout.buffer.write(euro[:2])),
        lambda: sys.stderr.buffer.write(b"\xff!\n"),
        lambda: counts.append(sys.stdout.buffer.write(euro[2:])),
        lambda: sys.stdout.buffer.write(b"cut: " + euro[:1]),
    ) == ["\N{REPLACEMENT CHARACTER}!", "€", "cut: \N{REPLACEMENT CHARACTER}"]
    assert counts == [2, 2]
    with captured(Lines(lambda: None)), pytest.raises(TypeError, match="bytes-like object is required"):
        sys.stdout.buffer.write("text")  # type: ignore[arg-type]


def test_a_closed_stream_goes_on() -> None:
    def leave() -> None:
        with sys.stdout:
            print("inside")

    assert said(
        lambda: sys.stdout.close(),
        lambda: sys.stdout.buffer.close(),
        leave,
        lambda: print("said later"),
        lambda: sys.stdout.buffer.write(b"and in bytes\n"),
    ) == ["inside", "said later", "and in bytes"]


@pytest.mark.parametrize("bytes_of", [lambda stream: stream.buffer, lambda stream: stream.detach()])
def test_what_a_wrapper_around_the_stream_holds_back_is_handed_on(bytes_of: Callable[..., Any]) -> None:
    wrappers: list[object] = []

    def wrap() -> None:
        sys.stdout = io.TextIOWrapper(bytes_of(sys.stdout), encoding="utf-8")
        wrappers.append(sys.stdout)  # as a traceback would keep it
        print("wrapped é")

    assert said(wrap) == ["wrapped é"]
    wrappers.clear()
    assert said(lambda: print("the next trial")) == ["the next trial"]


def test_bytes_said_after_the_trial_go_to_the_stream_beneath() -> None:
    beneath = io.StringIO()
    with redirect_stdout(beneath):
        with captured(Lines(lambda: None)):
            kept = sys.stdout
        kept.buffer.write(b"late\n")
        kept.close()
        kept.write("later\n")
    assert beneath.getvalue() == "late\nlater\n"
