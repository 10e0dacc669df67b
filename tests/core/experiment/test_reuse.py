"""What is kept of an earlier run's trial."""

import pytest

from flambe.experiment.journal import Status, TrialRecord
from flambe.experiment.reuse import Reuse
from flambe.experiment.settings import Settings
from flambe.experiment.stage_run import StageRun
from flambe.language.nodes import Scalar
from flambe.trials.protocol import TrialKey
from flambe.variants.space import StageSpace


def test_a_trial_that_starts_anew_is_still_the_same_trial() -> None:
    same = {
        "fingerprint": "f",
        "seed": 3,
        "upstream": {"data": "default"},
        "choices": {"lr": 0.1},
        "suggestion": {"lr": 0.1},
    }
    key = TrialKey("train", "lr=0.1")
    left = TrialRecord(key, status="done", step=3, checkpoint=3, metric=0.5, attempts=2, started=1.0, **same)
    anew = Reuse(Settings("a", {}), {}, {}, {}).anew(left)
    assert anew == TrialRecord(key, **same)


@pytest.mark.parametrize(
    ("keep", "status", "kept"),
    [("train", "done", True), ("train", "pruned", True), ("train", "paused", False), ("data", "done", False)],
)
def test_only_what_has_ended_is_kept_though_it_changed(keep: str, status: Status, kept: bool) -> None:
    """What had not would go on from a checkpoint of another config."""
    space = StageSpace("train", Scalar(2), stages=(), seed=0, num_samples=1)
    [variant] = space.expand({})
    key = TrialKey("train", variant.id)
    left = TrialRecord(key, status=status, fingerprint="of another config", started=1.0, checkpoint=3)
    reuse = Reuse(Settings("a", {}), {key: left}, {"train": {}}, {"train": {}}, keep=frozenset([keep]))
    found = reuse.record(StageRun("train", space, (), ()), variant)
    assert (found is left) is kept
    assert reuse.is_new(found) is not kept
