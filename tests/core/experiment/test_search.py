"""Stages whose variants a search suggests, with an executor that has one."""

from pathlib import Path
from typing import Any

import pytest

from flambe import Experiment, Outcome
from flambe.errors import ConfigError
from flambe.executors.in_process import InProcess
from flambe.experiment.control.asking import ask_for_more
from flambe.language.read import read_text
from flambe.variants.search import Choices
from flambe.variants.space import StageSpace

SEARCH = """
search: {{walk: !my.Guess {{num_samples: {samples}}}}}
pipeline:
  base: !g [1, 2]
  walk: !my.Walk {{steps: !@ base, stride: !uniform [0.0, 1.0]}}
  report: !my.Report {{walk: !@ walk, place: !@ walk.place}}
"""


class Counting:
    """Suggests 0.1, 0.2, 0.3, …"""

    def __init__(self, space: StageSpace, number: int) -> None:
        [dimension] = space.dimensions
        self.name, self.count, self.finished = dimension.name, 0, False

    def suggest(self) -> tuple[int, Choices]:
        self.count += 1
        return self.count, {self.name: self.count / 10}

    def note(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None: ...

    def tell(self, number: int, *, step: int, score: float | None, lower_is_better: bool = False) -> None: ...

    def add(self, choices: Choices) -> int:
        self.count += 1
        return self.count


@pytest.fixture
def searching(run, monkeypatch: pytest.MonkeyPatch):
    """Runs a search of so many samples."""
    monkeypatch.setattr(
        InProcess, "search", lambda self, space, number: Counting(space, number), raising=False
    )

    def searching(samples: int, more: str = "", **options: Any) -> Outcome:
        return run(SEARCH.format(samples=samples) + more, **options)

    return searching


def strides(outcome) -> list[str]:
    return sorted(key.variant.partition("~")[0] for key in outcome.records if key.stage == "walk")


def test_each_upstream_variant_has_a_search_of_its_own(searching) -> None:
    assert strides(searching(2)) == [
        "stride=0.1,base=1",
        "stride=0.1,base=2",
        "stride=0.2,base=1",
        "stride=0.2,base=2",
    ]


def test_an_extended_search_goes_on_where_it_was(searching, tmp_path: Path) -> None:
    first = searching(2)
    assert not ask_for_more(f"{tmp_path}/out/output__test", 1).refused
    whole = f"my: walking\n---\nname: test\nsave_path: {tmp_path}/out\n{SEARCH.format(samples=2)}"
    plan, _ = Experiment.from_document(read_text(whole, "test.yaml")).plan()
    assert plan.stages["walk"].samples == 3
    again = searching(2, resume=True)
    assert again.reused == set(first.records)
    assert strides(again) == strides(searching(3, force=True))


def test_a_resume_reduces_a_search_when_it_knows_all_that_was_tried(searching) -> None:
    reduce = {"more": "reduce: {walk: 1}"}
    first = searching(5, **reduce)
    again = searching(5, **reduce, resume=True)
    assert again.chosen == first.chosen
    assert again.reused == set(again.records) == set(first.records)
    assert not again.problems


def test_a_search_goes_on_from_what_its_changed_space_still_holds(run, monkeypatch) -> None:
    """What lies outside it, or was tried with other arguments, is neither reused nor tried again."""
    monkeypatch.setattr(
        InProcess, "search", lambda self, space, number: Counting(space, number), raising=False
    )
    text = "search: {{walk: !my.Guess {{num_samples: 3}}}}\npipeline: {{walk: !my.Walk {{{arguments}}}}}"

    def tried(arguments: str) -> tuple[list[str], int]:
        outcome = run(text.format(arguments=arguments), resume=True)
        assert outcome.exit_code == 0
        return strides(outcome), len(outcome.reused)

    assert tried("stride: !uniform [0.0, 1.0]") == (["stride=0.1", "stride=0.2", "stride=0.3"], 0)
    assert tried("stride: !uniform [0.15, 1.0]") == (["stride=0.2", "stride=0.3", "stride=0.3"], 2)
    assert tried("goal: !uniform [0.0, 1.0]") == (["goal=0.1", "goal=0.2", "goal=0.3"], 0)


@pytest.mark.parametrize("key", ["search", "schedulers"])
@pytest.mark.parametrize("backend", ["local", "in-process", "pool"])
def test_what_an_executor_does_not_do_is_refused_and_not_left_out(
    run, tmp_path: Path, key: str, backend: str
) -> None:
    text = f"{key}: {{walk: !my.Guess {{}}}}\npipeline: {{walk: !my.Walk {{}}}}"
    with pytest.raises(ConfigError) as raised:
        run(text, backend=backend)
    assert str(raised.value) == (
        f"test.yaml:5:{10 + len(key)}  {key}.walk: the executor {backend!r} does no {key}; leave out "
        f"--backend {backend} (then Ray is used), or run without: {key}={{}}"
    )
    assert not (tmp_path / "out").exists()


def test_debugging_leaves_no_scheduler_out_silently(run) -> None:
    with pytest.raises(ConfigError, match="leave out --debug"):
        run("schedulers: {walk: !my.Guess {}}\npipeline: {walk: !my.Walk {}}", debug=True)
