"""What is kept of an earlier run's trial."""

from flambe.experiment.journal import TrialRecord
from flambe.experiment.reuse import Reuse
from flambe.experiment.settings import Settings
from flambe.trials.protocol import TrialKey


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
