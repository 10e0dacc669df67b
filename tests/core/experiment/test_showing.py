"""What a metric sink that cannot write does to a run."""

import errno

import pytest

from flambe.errors import SavingError
from flambe.experiment.showing import Showing
from flambe.logs import Record
from flambe.trials.protocol import TrialKey


class Full:
    """A sink on a full disk."""

    def write(self, stage: str, variant: str, records: list[Record]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_sink_on_a_full_disk_is_named_with_what_to_do() -> None:
    with pytest.raises(SavingError) as raised:
        Showing([Full()], lambda key: []).add(TrialKey("train", "v"), [Record("scalar", "a", 1.0, 1, 0.0)])
    assert str(raised.value) == (
        "cannot write to Full for train/v: the disk is full; free some space and try again"
    )
