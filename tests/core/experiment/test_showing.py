"""What a metric sink that cannot write, or cannot show a value, does to a run."""

import errno

import pytest

from flambe.errors import SavingError
from flambe.experiment.run_folder import RunFolder
from flambe.experiment.showing import Showing
from flambe.language.nodes import Scalar
from flambe.logs import Record
from flambe.storage.storage import open_storage
from flambe.trials.protocol import TrialKey
from flambe.trials.recording import TrialLog
from flambe.variants.space import StageSpace


class Full:
    """A sink on a full disk."""

    def write(self, stage: str, variant: str, records: list[Record]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_sink_on_a_full_disk_is_named_with_what_to_do() -> None:
    with pytest.raises(SavingError) as raised:
        Showing([Full()], lambda key, step: []).add(
            TrialKey("train", "v"), [Record("scalar", "a", 1.0, 1, 0.0)]
        )
    assert str(raised.value) == (
        "cannot write to Full for train/v: the disk is full; free some space and try again"
    )


class Picky:
    """A sink for numbers alone; like the contract's, it writes all records or none."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, float]] = []

    def write(self, stage: str, variant: str, records: list[Record]) -> None:
        self.shown += [(record.name, float(record.value)) for record in records]

    def restart(self, stage: str, variant: str, records: list[Record]) -> None:
        self.shown = []
        self.write(stage, variant, records)


def scalar(name: str, value: object) -> Record:
    return Record("scalar", name, value, 1, 0.0)


def test_a_value_that_cannot_be_shown_is_left_out_and_said_so_once(caplog) -> None:
    sink = Picky()
    showing = Showing([sink], lambda key, step: [])
    for _ in range(2):
        showing.add(TrialKey("train", "v"), [scalar("a", 1.0), scalar("b", [1, 2]), scalar("c", 3)])
    assert sink.shown == [("a", 1.0), ("c", 3.0)] * 2
    assert caplog.messages == [
        "train/v: Picky cannot show 'b': float() argument must be a string or a real number, not 'list'"
    ]


def test_a_trial_that_runs_again_is_shown_without_such_a_value(caplog) -> None:
    sink = Picky()
    variant = next(StageSpace("train", Scalar(1), stages=(), seed=0, num_samples=1).expand({}))
    Showing([sink], lambda key, step: [scalar("a", None), scalar("b", 2.0)]).begin(
        TrialKey("train", variant.id), variant, again_after=2
    )
    assert sink.shown == [("b", 2.0)]
    assert len(caplog.messages) == 1


def test_a_storage_that_fails_is_no_value_that_cannot_be_shown() -> None:
    class Away(Picky):
        def write(self, stage: str, variant: str, records: list[Record]) -> None:
            raise SavingError("cannot write s3://bucket/events: permission denied")

    with pytest.raises(SavingError, match="permission denied"):
        Showing([Away()], lambda key, step: []).add(TrialKey("train", "v"), [scalar("a", 1.0)])


def test_a_trial_that_runs_again_is_shown_up_to_where_it_goes_on(tmp_path) -> None:
    folder = RunFolder(open_storage(str(tmp_path)))
    variant = next(StageSpace("train", Scalar(1), stages=(), seed=0, num_samples=1).expand({}))
    key = TrialKey("train", variant.id)
    log = TrialLog(folder.storage.within(f"train/{variant.id}"))
    for step in (1, 2, 3):  # it goes on after the first, and is in its third before anybody looks
        log.add(step, [scalar(f"step {step}", step)])
    log.close()
    sink = Picky()
    showing = Showing([sink], folder.logged)
    showing.begin(key, variant, again_after=1)
    showing.add(key, [scalar("step 2", 2.0)])
    showing.add(key, [scalar("step 3", 3.0)])
    assert sink.shown == [("step 1", 1.0), ("step 2", 2.0), ("step 3", 3.0)]
