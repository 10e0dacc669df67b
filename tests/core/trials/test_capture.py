"""What a trial says, from whichever thread."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
import weakref
from contextlib import redirect_stderr

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
