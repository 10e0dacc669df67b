"""The journal: what is written is read, what is damaged is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambe.errors import JournalError
from flambe.experiment.journal import JOURNAL, Journal, decode, encode, records
from flambe.storage.storage import open_storage
from flambe.trials.protocol import TrialKey

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.dictionaries(st.text().filter(lambda key: key != "crc"), JSON, min_size=1, max_size=4)


@given(st.lists(EVENTS, max_size=4))
def test_what_is_encoded_is_decoded(events: list[dict[str, object]]) -> None:
    data = b"".join(map(encode, events))
    found = [{key: value for key, value in event.items() if key != "crc"} for event in decode(data)]
    assert found == events


@given(st.lists(EVENTS, min_size=1, max_size=3), st.data())
def test_any_altered_byte_is_found(events: list[dict[str, object]], data: st.DataObject) -> None:
    whole = b"".join(map(encode, events))
    place = data.draw(st.integers(0, len(whole) - 2))
    altered = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    with pytest.raises(JournalError):
        list(decode(altered))


@given(st.lists(EVENTS, min_size=1, max_size=3), st.data())
def test_a_journal_that_was_cut_short_holds_its_whole_lines(
    events: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = list(map(encode, events))
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    complete = whole[:cut].count(b"\n")
    assert len(list(decode(whole[:cut]))) == complete


def test_records_are_what_the_events_come_to(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    journal = Journal(storage)
    place = {"stage": "train", "variant": "lr=0.1~abc"}
    journal.write(
        "trial", **place, fingerprint="f", seed=3, upstream={"data": "default"}, choices={"lr": 0.1}
    )
    journal.write("started", **place, step=0)
    journal.write("step", **place, step=1, metric=0.5, checkpoint=True, seconds=0.25)
    journal.write("step", **place, step=2, metric=0.75, checkpoint=False, seconds=0.25)
    [running] = records(decode(storage.read(JOURNAL))).values()
    assert (running.status, running.step, running.checkpoint, running.seconds) == ("running", 2, 1, 0.5)
    assert not running.lower_is_better
    journal.write("step", **place, step=2, metric=1, checkpoint=False, seconds=0, lower_is_better=True)
    journal.write("left", **place, step=2)
    [paused] = records(decode(storage.read(JOURNAL))).values()
    assert (paused.status, paused.lower_is_better) == ("paused", True)
    journal.write("finished", **place, status="done", metric=0.75, step=2, lower_is_better=False)
    found = records(decode(storage.read(JOURNAL)))
    done = found[TrialKey("train", "lr=0.1~abc")]
    assert (done.status, done.metric, done.attempts, done.seed) == ("done", 0.75, 1, 3)
    journal.write("trial", **place, fingerprint="g", seed=3, upstream={}, choices={})
    [anew] = records(decode(storage.read(JOURNAL))).values()
    assert (anew.status, anew.metric, anew.fingerprint, anew.attempts) == ("pending", None, "g", 0)
