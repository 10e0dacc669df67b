"""Trials that are stopped, paused, changed and multiplied while their run is going."""

import json
import math
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flambe.errors import RunError
from flambe.executors.in_process import InProcess
from flambe.experiment.control.asking import ask, ask_for_more
from flambe.experiment.control.requests import Answer, Request, send
from flambe.experiment.experiment import Experiment
from flambe.experiment.ingredients import Update
from flambe.experiment.journal import TrialRecord, decode
from flambe.experiment.session import Outcome
from flambe.language.read import read_text
from flambe.storage.storage import open_storage
from flambe.trials.protocol import TrialKey

WALK = """
pipeline:
  walk: !my.Pliant {steps: 60, seconds: 0.01, stride: 1.0}
"""
TWO = """
devices: {cpu: 0.5}
pipeline:
  walk: !my.Pliant {steps: 50, seconds: 0.01, stride: !g [1.0, 2.0]}
"""


class Going:
    """A run that is going, seen from outside."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.interrupted = threading.Event()

    def interrupt(self) -> None:
        """Ctrl-C with the next thing that happens in the run: not a moment after its end."""
        self.interrupted.set()

    def ask(self, action: Any, trial: str, **values: Any) -> Answer:
        return ask(self.folder, action, trial, timeout_s=20, **values)

    def events(self, event: str) -> list[dict[str, Any]]:
        data = Path(self.folder, "journal.jsonl").read_bytes()
        return [found for found in decode(data) if found["event"] == event]

    def wait_for(self, event: str, count: int = 1, **values: Any) -> dict[str, Any]:
        """The journal's event number `count` of that kind and with these values, once it is there."""
        deadline = time.monotonic() + 20
        while True:
            found = [e for e in self.events(event) if values.items() <= e.items()]
            if len(found) >= count:
                return found[count - 1]
            assert time.monotonic() < deadline, f"no {event} with {values}"
            time.sleep(0.01)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambe.experiment.control.requests._LOCAL_S", 0.02)
    monkeypatch.setattr("flambe.experiment.control.asking._LOOK_S", 0.02)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """Runs a config, and meanwhile a talk with the run, in a thread of its own."""
    threads: list[threading.Thread] = []
    broken: list[BaseException] = []

    def live(
        text: str,
        talk: Callable[[Going], None],
        backend: str = "in-process",
        save_path: str = f"{tmp_path}/out",
        **options: Any,
    ) -> Outcome:
        going: list[Going] = []
        watch = options.pop("observe", lambda update: None)

        def safely(folder: str) -> None:
            going.append(Going(folder))
            try:
                talk(going[0])
            except BaseException as error:  # noqa: BLE001  # raised again where the test sees it
                broken.append(error)

        def started(folder: str, stages: object) -> None:
            threads.append(threading.Thread(target=safely, args=(folder,)))
            threads[-1].start()

        def observe(update: Update) -> None:
            watch(update)
            if going and going[0].interrupted.is_set():
                going[0].interrupted.clear()
                os.kill(os.getpid(), signal.SIGINT)

        whole = f"my: walking\n---\nname: test\nsave_path: {save_path}\n{text}"
        experiment = Experiment.from_document(read_text(whole, "test.yaml"))
        outcome = experiment.run(backend=backend, started=started, observe=observe, **options)
        threads[-1].join(20)
        assert not threads[-1].is_alive()
        if broken:
            raise broken[0]
        return outcome

    yield live
    for thread in threads:
        thread.join(20)


def only(outcome: Outcome) -> TrialRecord:
    [record] = outcome.records.values()
    return record


def by_id(outcome: Outcome) -> dict[str, TrialRecord]:
    return {key.variant.partition("~")[0]: record for key, record in outcome.records.items()}


def trial_file(tmp_path: Path, key: TrialKey) -> dict[str, Any]:
    return json.loads((tmp_path / "out/output__test" / key.stage / key.variant / "trial.json").read_text())


BACKENDS = pytest.mark.parametrize("backend", ["in-process", "pool"])


@BACKENDS
def test_a_stopped_trial_is_saved_and_what_links_to_it_goes_on(live, backend: str) -> None:
    text = WALK + "  report: !my.Report {walk: !@ walk, place: !@ walk.place}\n"

    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        answer = run.ask("stop", "walk")
        assert not answer.refused
        assert answer.why.startswith("after step ")

    outcome = live(text, talk, backend)
    walk, report = outcome.records.values()
    assert (walk.status, report.status) == ("stopped", "done")
    assert 3 <= walk.step < 60
    assert report.metric == pytest.approx(10.0 - (walk.metric or 0), abs=20)


@BACKENDS
def test_paused_and_resumed_it_comes_to_what_it_would_have_come_to(live, run, backend: str) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        assert run.ask("pause", "walk").why.startswith("after step ")
        run.wait_for("paused")
        assert run.ask("pause", "walk").why.startswith("already, by ")
        assert run.ask("resume", "walk").why.startswith("from step ")
        refused = run.ask("resume", "walk")
        assert refused.refused
        assert "nobody has paused it" in refused.why

    disturbed = only(live(WALK, talk, backend))
    undisturbed = only(run(WALK, force=True))
    assert (disturbed.status, disturbed.step, disturbed.metric) == ("done", 60, undisturbed.metric)
    assert disturbed.attempts == 1


@BACKENDS
def test_new_values_hold_from_the_step_that_the_answer_names(live, tmp_path: Path, backend: str) -> None:
    said: list[int] = []

    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        answer = run.ask("set", "walk", values={"stride": 100.0})
        assert not answer.refused, answer
        said.append(int(answer.why.split()[2]))

    record = only(live(WALK, talk, backend))
    lines = (tmp_path / "out/output__test/walk/default/metrics.jsonl").read_text().splitlines()
    places = [0.0, *(json.loads(line)["value"] for line in lines)]
    strides = [after - before for before, after in pairwise(places)]
    assert len(strides) == 60
    assert max(strides[: said[0]]) <= 1.0 < max(strides[said[0] :])
    assert record.changes == {"stride": 100.0}
    assert trial_file(tmp_path, record.key)["changes"] == {"stride": 100.0}
    assert "stride: 100.0" in (tmp_path / "out/output__test/walk/default/config.yaml").read_text()


@BACKENDS
def test_a_stage_that_refuses_goes_on_as_it_was(live, run, tmp_path: Path, backend: str) -> None:
    def talk(going: Going) -> None:
        going.wait_for("step", 3)
        answer = going.ask("set", "walk", values={"stride": 500.0})
        assert answer == Answer(True, "stride cannot become 500.0")

    disturbed = only(live("max_failures: 0" + WALK, talk, backend))
    undisturbed = only(run(WALK, force=True))
    assert (disturbed.status, disturbed.metric, disturbed.changes) == ("done", undisturbed.metric, {})


def test_values_that_the_config_has_no_place_for_are_refused_at_once(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 2)
        answer = run.ask("set", "walk", values={"strid": 1.0})
        assert answer == Answer(True, "strid: my.Pliant has no argument 'strid'; did you mean 'stride'?")
        answer = run.ask("set", "walk", values={"stride": "abc", "goal": 2})
        assert answer == Answer(True, "Pliant: 'stride' must be float, not 'abc' (str)")
        assert not run.events("left"), "it was not touched"
        run.ask("stop", "walk")

    assert only(live(WALK, talk)).changes == {}


@BACKENDS
def test_a_paused_trial_holds_nobody_up_and_the_run_waits_for_it(live, backend: str) -> None:
    updates: list[Any] = []

    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        run.ask("pause", "stride=1")
        run.wait_for("finished")
        deadline = time.monotonic() + 20
        while not any(update.change == "idle" for update in updates):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.ask("resume", "stride=1")

    outcome = live(TWO, talk, backend, observe=updates.append)
    assert [record.status for record in outcome.records.values()] == ["done", "done"]
    [idle] = [update for update in updates if update.change == "idle"]
    assert [record.key.variant.partition("~")[0] for record in idle.paused] == ["stride=1.0"]


def test_what_was_never_begun_can_be_paused_changed_and_stopped(live) -> None:
    text = """
pipeline:
  walk: !my.Pliant {steps: 30, seconds: 0.01, stride: !g [1.0, 2.0, 3.0]}
  report: !my.Report {walk: !@ walk, place: !@ walk.place}
"""

    def talk(run: Going) -> None:
        run.wait_for("step", 2)
        assert run.ask("pause", "walk/stride=2").why == "before its first step"
        assert run.ask("set", "walk/stride=2", values={"stride": 0.0}).why == "when it begins"
        assert run.ask("stop", "walk/stride=3").why == "before it began"
        assert run.ask("stop", "walk/stride=3").refused
        run.ask("resume", "walk/stride=2")

    outcome = live(text, talk)
    walks = {k.variant.partition("~")[0]: r for k, r in outcome.records.items() if k.stage == "walk"}
    reports = [r for k, r in outcome.records.items() if k.stage == "report"]
    assert [walks[f"stride={n}.0"].status for n in (1, 2, 3)] == ["done", "done", "stopped"]
    assert walks["stride=2.0"].metric == 10.0
    assert sorted(record.status for record in reports) == ["done", "done", "pending"]
    assert outcome.exit_code == 0


def test_a_refusal_that_comes_late_leaves_the_old_values(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 2)
        run.ask("pause", "walk")
        assert run.ask("set", "walk", values={"stride": 500.0}).why == "when it goes on"
        run.ask("resume", "walk")
        assert run.wait_for("unchanged")["why"] == "stride cannot become 500.0"

    record = only(live("max_failures: 0" + WALK, talk))
    assert (record.status, record.changes) == ("done", {})


BRITTLE = WALK.replace("Pliant", "Brittle")


@BACKENDS
def test_a_first_step_that_fails_with_new_values_takes_them_back(
    live, run, tmp_path: Path, backend: str
) -> None:
    def talk(going: Going) -> None:
        going.wait_for("step", 3)
        going.ask("set", "walk", values={"stride": -1.0})
        assert going.wait_for("unchanged")["why"] == "ArithmeticError: a stride below 0"
        assert going.wait_for("unchanged")["changes"] == {}

    disturbed = only(live("max_failures: 0" + BRITTLE, talk, backend))
    undisturbed = only(run(WALK, force=True))
    assert (disturbed.status, disturbed.metric, disturbed.changes) == ("done", undisturbed.metric, {})
    assert disturbed.attempts == 1


def test_the_log_says_which_values_were_taken_back(live, tmp_path: Path) -> None:
    def talk(going: Going) -> None:
        going.wait_for("step", 3)
        going.ask("set", "walk", values={"stride": 2.0})
        changed = going.wait_for("changed")["step"]
        going.wait_for("step", step=changed + 1)
        going.ask("set", "walk", values={"stride": -1.0})
        assert going.wait_for("unchanged")["changes"] == {"stride": 2.0}

    record = only(live("max_failures: 0" + BRITTLE, talk))
    assert record.changes == {"stride": 2.0}
    log = (tmp_path / "out/output__test/walk/default/log.txt").read_text()
    assert re.search(r"from step \d+ on: without stride = -1.0 \(ArithmeticError: a stride below 0\)", log)


def test_a_failure_after_a_step_with_new_values_is_one(live) -> None:
    def talk(going: Going) -> None:
        going.wait_for("step", 3)
        going.ask("set", "walk", values={"stride": 2.0})
        going.wait_for("changed")

    text = "max_failures: 0\npipeline: {walk: !my.Doomed {steps: 60, seconds: 0.01, stride: 1.0}}\n"
    record = only(live(text, talk))
    assert (record.status, record.changes) == ("failed", {"stride": 2.0})


def test_values_for_a_paused_trial_are_taken_back_too(live) -> None:
    def talk(going: Going) -> None:
        going.wait_for("step", 3)
        going.ask("pause", "walk")
        going.ask("set", "walk", values={"stride": -1.0})
        going.ask("resume", "walk")
        assert going.wait_for("unchanged")["changes"] == {}

    record = only(live("max_failures: 0" + BRITTLE, talk))
    assert (record.status, record.changes) == ("done", {})


def test_a_paused_trial_can_be_stopped_and_is_saved(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        run.ask("pause", "walk")
        assert run.ask("stop", "walk").why.startswith("after step ")

    record = only(live(WALK, talk))
    assert record.status == "stopped"
    assert 3 <= record.step < 60


def test_ctrl_c_while_the_executor_starts_is_heeded_when_it_has(run, monkeypatch: pytest.MonkeyPatch) -> None:
    started, start = [], InProcess.start

    def interrupted(*arguments: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(*arguments, **options)
        started.append(True)

    with monkeypatch.context() as patched:
        patched.setattr(InProcess, "start", interrupted)
        outcome = run(WALK)
    assert started
    assert outcome.exit_code == 130
    assert [record.status for record in outcome.records.values()] == ["pending"]
    assert run(WALK, resume=True).exit_code == 0


def test_reduce_waits_for_a_paused_trial(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        run.ask("pause", "stride=2")
        run.wait_for("finished")
        time.sleep(0.3)
        assert not run.events("reduced")
        run.ask("resume", "stride=2")

    outcome = live(TWO + "reduce: {walk: 1}\n", talk)
    assert len(outcome.chosen["walk"]) == 1


def test_ctrl_c_leaves_paused_trials_resumable(live, run) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        run.ask("pause", "walk")
        os.kill(os.getpid(), signal.SIGINT)  # it does not end while the trial is paused

    def go_on(run: Going) -> None:
        time.sleep(0.3)
        assert not run.events("finished")
        run.ask("resume", "walk")

    left = live(WALK, talk)
    assert left.exit_code == 130
    assert only(left).paused_by is not None
    again = only(live(WALK, go_on, resume=True))
    assert (again.status, again.metric) == ("done", only(run(WALK, force=True)).metric)


def test_a_request_that_nobody_answered_is_carried_out_by_the_resume(live, run, tmp_path: Path) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        run.interrupt()

    live(WALK, talk)
    storage = open_storage(tmp_path / "out/output__test")
    request = Request("set", "walk", "ann", variant="default", values={"stride": 5.0})
    send(storage, request)
    again = live(WALK, lambda run: None, resume=True)
    assert only(again).changes == {"stride": 5.0}
    [changed] = [e for e in decode(storage.read("journal.jsonl")) if e["event"] == "changed"]
    assert changed["origin"] == "ann"
    assert not storage.exists(request.file)


def test_changes_are_recovered_from_the_journal(live, tmp_path: Path) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        run.ask("set", "walk", values={"stride": 50.0})
        run.interrupt()

    first = only(live(WALK, talk))
    assert (first.status, first.changes) == ("paused", {"stride": 50.0})
    again = only(live(WALK, lambda run: None, resume=True))
    assert (again.status, again.changes) == ("done", {"stride": 50.0})
    assert "stride: 50.0" in (tmp_path / "out/output__test/walk/default/config.yaml").read_text()


WRONG: list[dict[str, Any]] = [
    {"stage": ["walk"]},
    {"variant": 3},
    {"values": ["stride"]},
    {"values": {"stride": math.nan}},
    {"action": "extend", "samples": "3"},
    {"user": None},
]


def test_what_is_no_request_is_answered_and_taken_out(live, tmp_path: Path) -> None:
    def talk(run: Going) -> None:
        run.wait_for("step", 2)
        open_storage(run.folder).write("control/scribble.json", b"not json")
        open_storage(run.folder).write("control/strange.json", b'{"action": "dance"}')
        for number, wrong in enumerate(WRONG):
            request = {"action": "set", "stage": "walk", "user": "ann", "variant": "default", **wrong}
            text = json.dumps({**request, "id": f"wrong-{number}"})
            open_storage(run.folder).write(f"control/wrong-{number}.json", text.encode())
        run.wait_for("control", 2 + len(WRONG))

    assert live(WALK, talk).exit_code == 0
    events = list(decode((tmp_path / "out/output__test/journal.jsonl").read_bytes()))
    answers = [event for event in events if event["event"] == "control"]
    wrong = {f"wrong-{number}" for number in range(len(WRONG))}
    assert {event["request"]["id"] for event in answers} == {"scribble", "strange", *wrong}
    assert all(event["answer"] == "refused" for event in answers)


def test_every_answer_is_journalled_with_user_and_time(live, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")

    def talk(run: Going) -> None:
        run.wait_for("step", 2)
        run.ask("stop", "walk")

    live(WALK, talk)
    events = list(decode((tmp_path / "out/output__test/journal.jsonl").read_bytes()))
    [answer] = [event for event in events if event["event"] == "control"]
    assert (answer["answer"], answer["request"]["user"], answer["request"]["action"]) == (
        "done",
        "ann",
        "stop",
    )
    assert answer["time"] >= answer["request"]["time"] > 0


def test_a_run_that_is_not_going_is_not_asked(run, tmp_path: Path) -> None:
    run("pipeline: {walk: !my.Walk {steps: 1}}")
    with pytest.raises(RunError) as raised:
        ask(f"{tmp_path}/out/output__test", "stop", "walk")
    assert str(raised.value) == (
        f"{tmp_path}/out/output__test: the run is not going (it is done); go on with: "
        "flambe run test.yaml --resume, and ask again while it is going"
    )
    assert not (tmp_path / "out/output__test/control").exists()


@pytest.mark.parametrize("command", [["run"], []])
def test_how_a_run_goes_on_is_said_with_what_it_was_started_with(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/flambe", *command, "test.yaml", "walk.goal=a b", "--force"])
    run("pipeline: {walk: !my.Walk {steps: 1}}")
    with pytest.raises(RunError, match=r"flambe run test\.yaml 'walk\.goal=a b' --resume, and"):
        ask(f"{tmp_path}/out/output__test", "stop", "walk")


@pytest.mark.parametrize("text", [b"name: x", b"pipeline: 3", b"!foo {a: 1}", b"\xff"])
def test_a_run_with_a_damaged_config_is_not_extended(run, tmp_path: Path, text: bytes) -> None:
    run(DRAWS)
    (tmp_path / "out/output__test/config.yaml").write_bytes(text)
    with pytest.raises(RunError, match=r"config\.yaml is damaged: it holds no experiment"):
        ask_for_more(f"{tmp_path}/out/output__test", 1)


def test_who_asks_as_a_run_ends_is_told_so(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("pipeline: {walk: !my.Walk {steps: 1}}")
    going = iter([True, False])
    monkeypatch.setattr("flambe.experiment.control.asking.is_going", lambda storage: next(going))
    monkeypatch.setattr("flambe.experiment.control.asking._CHECK_S", 0.0)
    with pytest.raises(RunError) as raised:
        ask(f"{tmp_path}/out/output__test", "stop", "walk")
    assert str(raised.value) == "the run has ended before it answered"
    assert not list((tmp_path / "out/output__test/control").iterdir())


DRAWS = """
num_samples: 2
pipeline:
  base: 2
  walk: !my.Walk {steps: !@ base, seconds: 0.1, stride: !uniform [0.5, 1.5], goal: !g [10.0, 20.0]}
  report: !my.Report {walk: !@ walk, place: !@ walk.place}
"""


def test_more_draws_leave_the_earlier_ones_alone_and_flow_on(live, run) -> None:
    def talk(run: Going) -> None:
        run.wait_for("finished", 2)
        assert not ask_for_more(run.folder, 2).refused

    extended = live(DRAWS, talk)
    plain = run(DRAWS.replace("num_samples: 2", "num_samples: 4"), force=True)
    assert extended.exit_code == 0
    assert {key: record.metric for key, record in extended.records.items()} == {
        key: record.metric for key, record in plain.records.items()
    }
    assert sum(key.stage == "report" for key in extended.records) == 8


def test_an_extension_is_recovered_from_the_journal(live, run) -> None:
    def talk(run: Going) -> None:
        run.wait_for("finished", 2)
        ask_for_more(run.folder, 1)

    first = live(DRAWS, talk)
    again = run(DRAWS, resume=True)
    assert again.reused == set(first.records)
    assert len(first.records) == 1 + 6 + 6


def test_a_run_that_is_not_going_is_extended_when_it_is_resumed(run, tmp_path: Path) -> None:
    first = run(DRAWS)
    answer = ask_for_more(f"{tmp_path}/out/output__test", 1)
    assert answer.why.endswith("go on with: flambe run test.yaml --resume, which then tries them")
    whole = f"my: walking\n---\nname: test\nsave_path: {tmp_path}/out\n{DRAWS}"
    plan, statuses = Experiment.from_document(read_text(whole, "test.yaml")).plan()
    assert len(plan.stages["walk"].variants) == 6
    assert list(statuses.values()) == ["reused"] * len(first.records)
    again = run(DRAWS, resume=True)
    assert again.reused == set(first.records)
    assert len(again.records) == len(first.records) + 4


@pytest.mark.parametrize(
    ("text", "stage", "message"),
    [
        ("pipeline: {walk: 1}", None, "no stage of the run has a search, or distributions to draw from"),
        (DRAWS, "base", "stage base has no search and no distributions to draw from"),
        (DRAWS, "walks", "the run has no stage 'walks'; it has base, walk, report"),
    ],
)
def test_what_cannot_be_extended_is_said(run, tmp_path: Path, text: str, stage: str, message: str) -> None:
    run(text)
    with pytest.raises(RunError) as raised:
        ask_for_more(f"{tmp_path}/out/output__test", 1, stage=stage)
    assert str(raised.value) == message


LONG_WALK = "!my.Walk {stride: !@ walk.place, steps: 100, seconds: 0.01}"


def test_what_hindered_a_reduce_is_forgotten_when_more_samples_are_enough(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("finished", stage="walk")
        assert not ask_for_more(run.folder, 1, stage="walk").refused

    outcome = live(
        """
reduce: {walk: 2}
pipeline:
  walk: !my.Walk {steps: 1, stride: !uniform [0.0, 1.0]}
  apart: !my.Walk {steps: 60, seconds: 0.01}
""",
        talk,
    )
    assert len(outcome.chosen["walk"]) == 2
    assert (outcome.status, outcome.problems) == ("done", ())


def test_a_stage_whose_reduce_has_chosen_is_not_extended(live) -> None:
    def talk(run: Going) -> None:
        run.wait_for("reduced")
        answer = ask_for_more(run.folder, 1)
        assert answer.refused
        assert answer.why == ("the variants of stage walk that flow on after its `reduce` are chosen already")

    slow = DRAWS.replace("!my.Report {walk: !@ walk, place: !@ walk.place}", LONG_WALK)
    live(slow + "reduce: {walk: 1}\n", talk)


def test_a_run_on_remote_storage_is_asked_in_the_same_way(live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambe.experiment.control.requests._REMOTE_S", 0.02)
    monkeypatch.setattr(Going, "events", lambda run, event: remote_events(run.folder, event))

    def talk(run: Going) -> None:
        run.wait_for("step", 3)
        assert run.ask("set", "walk", values={"stride": 5.0}).why.startswith("from step ")
        assert run.ask("pause", "walk").why.startswith("after step ")
        assert run.ask("stop", "walk").why.startswith("after step ")

    text = WALK.replace("steps: 60", "steps: 600")
    record = only(live(text, talk, save_path="memory://live-control", force=True))
    assert (record.status, record.changes) == ("stopped", {"stride": 5.0})


def remote_events(folder: str, event: str) -> list[dict[str, Any]]:
    storage = open_storage(folder)
    data = storage.read("journal.jsonl") if storage.exists("journal.jsonl") else b""
    return [found for found in decode(data) if found["event"] == event]


PIPELINE = """
devices: {cpu: 0.5}
max_failures: 100
pipeline:
  base: 40
  walk: !my.Walk {steps: !@ base, seconds: 0.01, stride: !g [0.5, 1.0, 1.5, 2.0]}
  report: !my.Report {walk: !@ walk, place: !@ walk.place}
reduce: {walk: 2}
"""


def table(outcome: Outcome) -> dict[TrialKey, tuple[Any, ...]]:
    return {key: (record.status, record.step, record.metric) for key, record in outcome.records.items()}


@pytest.mark.parametrize(
    ("backend", "seed"),
    [
        ("in-process", 0),
        ("pool", 1),
        *(pytest.param("pool", seed, marks=pytest.mark.slow) for seed in range(2, 12)),
        *(pytest.param("in-process", seed, marks=pytest.mark.slow) for seed in range(12, 22)),
    ],
)
def test_pauses_interrupts_and_resumes_at_any_time_change_no_result(
    live, run, backend: str, seed: int
) -> None:
    rng = random.Random(seed)
    expected = table(run(PIPELINE))

    def disturb(run: Going) -> None:
        run.wait_for("step", 2)
        for _ in range(rng.randrange(4, 12)):
            time.sleep(rng.uniform(0, 0.1))
            trial = f"walk/stride={rng.choice([0.5, 1.0, 1.5, 2.0])}"
            run.ask(rng.choice(["pause", "resume"]), trial)
        if rng.random() < 0.7:
            run.interrupt()
        wake(run)

    def wake(run: Going) -> None:
        with suppress(RunError):  # it has ended
            for stride in (0.5, 1.0, 1.5, 2.0):
                run.ask("resume", f"walk/stride={stride}")

    rounds = 0
    outcome = live(PIPELINE, guarded(disturb), backend, force=True)
    while outcome.exit_code == 130:
        rounds += 1
        outcome = live(PIPELINE, guarded(wake if rounds > 2 else disturb), backend, resume=True)
    assert table(outcome) == expected


def guarded(talk: Callable[[Going], None]) -> Callable[[Going], None]:
    """A talk that ends with the run."""

    def safely(run: Going) -> None:
        with suppress(RunError):
            talk(run)

    return safely
