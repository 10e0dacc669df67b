"""How people name trials."""

import pytest

from flambe.errors import RunError
from flambe.experiment.naming import find_trial
from flambe.trials.protocol import TrialKey

KNOWN = [
    TrialKey("data", "default"),
    TrialKey("train", "lr=0.1~3f9a1c"),
    TrialKey("train", "lr=0.01~3f77aa"),
    TrialKey("eval", "lr=0.1~90bb12"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train/lr=0.1~3f9a1c", 1),
        ("lr=0.01~3f77aa", 2),
        ("3f9a1c", 1),
        ("3f9", 1),
        ("90", 3),
        ("train/lr=0.01", 2),
        ("data", 0),
        ("data/default", 0),
        ("eval", 3),
        ("eval/", 3),
    ],
)
def test_a_trial_is_found_by_as_much_of_its_name_as_is_unique(text: str, expected: int) -> None:
    assert find_trial(KNOWN, text) == KNOWN[expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "3f",
            "'3f' may be 2 trials: train/lr=0.1~3f9a1c, train/lr=0.01~3f77aa; give more of its id",
        ),
        ("train", "'train' may be 2 trials: train/lr=0.1~3f9a1c, train/lr=0.01~3f77aa; give more of its id"),
        ("eval/lr=7", "the run has no trial 'eval/lr=7'; it has eval/lr=0.1~90bb12"),
        (
            "walk",
            "the run has no trial 'walk'; it has data/default, train/lr=0.1~3f9a1c, "
            "train/lr=0.01~3f77aa, eval/lr=0.1~90bb12",
        ),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused_with_candidates(text: str, message: str) -> None:
    with pytest.raises(RunError) as raised:
        find_trial(KNOWN, text)
    assert str(raised.value) == message


def test_a_run_without_trials_has_none_to_name() -> None:
    with pytest.raises(RunError, match=r"^the run has no trial 'a'; it has none yet$"):
        find_trial([], "a")
