"""Arguments of a trial that has begun take new values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe.errors import CannotChangeError
from flambe.executors.workshop import TrialChannel
from flambe.language import nodes
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe.saving.trial_folder import TrialFolder
from flambe.testing.stages import Tunable
from flambe.trials.changing import changed, places
from flambe.trials.protocol import (
    Event,
    Failed,
    Finished,
    Left,
    Setting,
    Started,
    Stepped,
    TrialKey,
    TrialTask,
)
from flambe.trials.runner import TrialRunner

PIPELINE = """
name: a
pipeline:
  s: {text}
"""


def node_of(text: str) -> nodes.Node:
    root = read_text(PIPELINE.format(text=text), "a.yaml").root
    assert isinstance(root, nodes.Mapping)
    pipeline = root.get("pipeline")
    assert isinstance(pipeline, nodes.Mapping)
    found = pipeline.get("s")
    assert found is not None
    return found


# -- the config ---------------------------------------------------------------------------------------------


COUNTER = "!flambe.testing.stages:Counter"
TAKER = "!flambe.testing.stages:Taker"


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        (f"{COUNTER} {{steps: 2}}", "steps", 5, f"{COUNTER} {{steps: 5}}"),
        (f"{COUNTER} {{steps: 2}}", "seconds", 0.5, f"{COUNTER} {{steps: 2, seconds: 0.5}}"),
        (f"{COUNTER} [2]", "steps", 5, f"{COUNTER} {{steps: 5}}"),
        (f"{COUNTER} 2", "seconds", 0.5, f"{COUNTER} {{steps: 2, seconds: 0.5}}"),
        (COUNTER, "steps", 5, f"{COUNTER} {{steps: 5}}"),
        (
            f"{TAKER} {{box: {{a: {{b: [1, 2]}}}}}}",
            "box.a.b[1]",
            [3, 4],
            f"{TAKER} {{box: {{a: {{b: [1, [3, 4]]}}}}}}",
        ),
        (
            f"{TAKER} {{number: {COUNTER} {{steps: 1}}}}",
            "number.steps",
            9,
            f"{TAKER} {{number: {COUNTER} {{steps: 9}}}}",
        ),
    ],
)
def test_a_new_value_stands_in_the_config(text: str, path: str, value: Any, expected: str) -> None:
    assert changed(node_of(text), {path: value}, Registry.load()) == node_of(expected)


def test_what_is_shared_changes_in_all_its_places() -> None:
    text = "!flambe.testing.stages:Taker {number: &x {rate: 1}, items: *x}"
    new = changed(node_of(text), {"number.rate": 2}, Registry.load())
    (one,), (other,) = places(new, "number", Registry.load()), places(new, "items", Registry.load())
    assert one.node is other.node


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "stepps",
            "stepps: flambe.testing.stages:Counter has no argument 'stepps'; did you mean 'steps'?",
        ),
        ("x", "x: flambe.testing.stages:Counter has no argument 'x'; it has seconds, steps"),
        ("steps.x", "steps.x: there is nothing to go into at 'x'"),
        ("seconds.x", "seconds.x: the config gives no 'seconds' to go into"),
        ("a b", "cannot read the path 'a b': expected '.' or '[' here"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, message: str) -> None:
    with pytest.raises(CannotChangeError) as caught:
        changed(node_of("!flambe.testing.stages:Counter {steps: 2}"), {path: 1}, Registry.load())
    assert str(caught.value).startswith(message.partition("expected")[0])


def test_what_another_stage_owns_is_not_changed() -> None:
    with pytest.raises(CannotChangeError) as caught:
        changed(
            node_of("!flambe.testing.stages:Taker {number: !@ other.thing}"),
            {"number.lr": 1},
            Registry.load(),
        )
    assert str(caught.value) == "number.lr: it belongs to 'other', where the link !@ other.thing leads"


def test_a_path_leads_through_every_option() -> None:
    text = "!g [!flambe.testing.stages:Counter {steps: 2}, !flambe.testing.stages:Counter {}]"
    first, second = places(node_of(text), "steps", Registry.load())
    assert first.node == nodes.Scalar(2)
    assert (second.node, second.default) == (None, 3)


# -- a trial ------------------------------------------------------------------------------------------------


class Channel(TrialChannel):
    """Lets a trial leave after `steps` more steps."""

    def __init__(self, task: TrialTask, steps: int) -> None:
        super().__init__(task, None)  # type: ignore[arg-type]  # nothing is handed over
        self.left = steps
        self.events: list[Event] = []

    def send(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Stepped):
            self.left -= 1

    def stop_requested(self) -> bool:
        return False

    def interrupt_requested(self) -> bool:
        return self.left <= 0

    def store_requested(self) -> bool:
        return True


class Bench:
    """Runs trials of `Tunable` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = TrialRunner(Setting("a", str(folder), 1), Registry.load())

    def task(self, variant: str = "v", rate: float = 1.0) -> TrialTask:
        return TrialTask(
            key=TrialKey("s", variant),
            node=node_of(f"!flambe.testing.stages:Tunable {{steps: 6, rate: {rate}}}"),
            exports=(),
            imports={},
            seed=1,
            devices={},
            threads=1,
            folder=str(self.folder / "s" / variant),
            fingerprint="",
        )

    def run(self, task: TrialTask, steps: int) -> list[Event]:
        channel = Channel(task, steps)
        self._run(task, channel)
        return channel.events

    def again(self, steps: int, variant: str = "v", **task: Any) -> list[Event]:
        return self.run(replace(self.task(variant), restore="checkpoint", **task), steps)

    def rates(self, variant: str = "v") -> list[tuple[int, float]]:
        lines = (self.folder / "s" / variant / "metrics.jsonl").read_text().splitlines()
        return [(line["trial_step"], line["value"]) for line in map(json.loads, lines)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_trial_goes_on_with_a_new_value_and_its_save_shows_it(bench: Bench) -> None:
    bench.run(bench.task(), 2)
    events = bench.again(99, changes={"rate": 10})
    assert of(events, Started) == [Started(TrialKey("s", "v"), 2)]
    assert of(events, Finished)[0].metric == 42
    assert bench.rates() == [(1, 1.0), (2, 1.0), (3, 10), (4, 10), (5, 10), (6, 10)]
    assert "rate: 10" in (bench.folder / "s/v/config.yaml").read_text()
    assert "from step 2 on: rate = 10" in (bench.folder / "s/v/log.txt").read_text()
    assert flambe.load(str(bench.folder / "s/v"), trust=["flambe.testing.stages"]).rate == 10


def test_a_value_that_the_checkpoint_holds_is_not_told_again(bench: Bench) -> None:
    bench.run(bench.task(), 2)
    bench.again(2, changes={"rate": 10})
    bench.again(1, changes={"rate": 10})
    assert (bench.folder / "s/v/log.txt").read_text().count("rate = 10") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": -1}, "rate cannot become -1: a rate is above 0"),
        ({"seconds": 0.1}, "Tunable can change 'rate', not 'seconds'"),
        (
            {"rat": 2},
            "rat: flambe.testing.stages:Tunable has no argument 'rat'; did you mean 'rate'?",
        ),
    ],
)
def test_a_refused_value_leaves_the_trial_as_it_was(
    bench: Bench, changes: Mapping[str, Any], message: str
) -> None:
    bench.run(bench.task(), 2)
    (failed,) = of(bench.again(9, changes=changes), Failed)
    assert (failed.error, failed.refused) == (message, True)
    events = bench.again(99)
    assert of(events, Started)[0].step == 2
    assert of(events, Finished)[0].metric == 6


def test_a_stage_without_a_change_method_refuses(bench: Bench) -> None:
    task = replace(
        bench.task(), node=node_of("!flambe.testing.stages:Counter {steps: 2}"), changes={"steps": 3}
    )
    (failed,) = of(bench.run(task, 9), Failed)
    assert failed.refused
    assert failed.error == (
        "Counter has no method change(path, value), so nothing of it can change once it runs"
    )


def test_a_failure_after_the_start_is_no_refusal(bench: Bench) -> None:
    text = "!flambe.testing.stages:Failing {at: 1}"
    (failed,) = of(bench.run(replace(bench.task(), node=node_of(text)), 9), Failed)
    assert not failed.refused


# -- another trial's checkpoint -----------------------------------------------------------------------------


def donor(bench: Bench) -> str:
    return str(bench.folder / "s" / "good")


@pytest.mark.parametrize("own", [1, 3, 5])
def test_a_trial_goes_on_from_another_ones_checkpoint(bench: Bench, own: int) -> None:
    bench.run(bench.task("good", rate=100), 3)
    bench.run(bench.task(), own)
    events = bench.again(1, donor=donor(bench), changes={"rate": 10})
    assert [event.step for event in of(events, Started)] == [3]
    assert of(events, Stepped)[0].metric == 310
    assert of(events, Left)[0].step == 4
    assert bench.rates() == [*[(n, 1.0) for n in range(1, min(own, 3) + 1)], (4, 10)]
    later = bench.again(1, changes={"rate": 10})
    assert [event.step for event in of(later, Started)] == [4], "its own older steps are over"
    assert of(later, Stepped)[0].metric == 320


def test_a_kill_right_after_the_take_over_loses_nothing(bench: Bench) -> None:
    bench.run(bench.task("good", rate=100), 3)
    bench.run(bench.task(), 5)
    bench.again(0, donor=donor(bench), changes={"rate": 10})
    shutil.rmtree(donor(bench))
    assert of(bench.again(1, changes={"rate": 10}), Stepped)[0].metric == 310


def test_a_donor_can_be_taken_over_twice(bench: Bench) -> None:
    bench.run(bench.task("good", rate=100), 2)
    bench.run(bench.task(), 5)
    bench.again(2, donor=donor(bench), changes={"rate": 10})
    bench.again(1, donor=donor(bench), changes={"rate": 7})
    assert of(bench.again(1, changes={"rate": 7}), Stepped)[0].metric == 214


@pytest.mark.parametrize("damage", ["none", "half"])
def test_a_donor_that_has_nothing_whole_is_refused(bench: Bench, damage: str) -> None:
    bench.run(bench.task(), 2)
    if damage == "half":
        bench.run(bench.task("good", rate=100), 3)
        for file in Path(donor(bench), ".checkpoints").rglob("state.json"):
            file.write_bytes(file.read_bytes()[:-3])
    (failed,) = of(bench.again(9, donor=donor(bench), changes={"rate": 10}), Failed)
    assert failed.refused
    events = bench.again(1)
    assert of(events, Started)[0].step == 2
    assert of(events, Stepped)[0].metric == 3


def test_a_donor_may_replace_its_checkpoint_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(bench.task("good", rate=100), 2)
    bench.run(bench.task(), 2)
    load = TrialFolder.load_checkpoint
    calls = []

    def replaced_while_it_is_read(self: TrialFolder, stage: object) -> Any:
        if "good" in self._url and not calls:
            calls.append(self)
            bench.again(1, "good", changes={"rate": 100})
            for file in Path(donor(bench), ".checkpoints").glob("000000002/*"):
                file.unlink()
            raise flambe.errors.DamagedSaveError("a file is missing")
        return load(self, stage)

    monkeypatch.setattr(TrialFolder, "load_checkpoint", replaced_while_it_is_read)
    events = bench.again(1, donor=donor(bench), changes={"rate": 10})
    assert of(events, Started)[0].step == 3
    assert of(events, Stepped)[0].metric == 310


def test_the_stage_is_told_in_order() -> None:
    from flambe.trials.changing import tell

    stage = Tunable()
    tell(stage, {"rate": 2})
    tell(stage, {"rate": 3})
    assert stage.told == [2, 3]
