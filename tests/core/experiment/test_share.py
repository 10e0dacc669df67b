"""How devices and threads are shared among trials."""

import pytest

from flambe.errors import RunError
from flambe.experiment.preparing import stage_spaces
from flambe.experiment.settings import settings_from
from flambe.experiment.share import at_once, cores, devices_of, threads_of, threads_wanted
from flambe.language.read import read_text

PIPELINE = """
name: share
pipeline:
  data: 1
  train: {size: !g [1, 2, 3], data: !@ data}
  best: {train: !@ train.size}
  wide: {n: !g [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], data: !@ data}
"""


def threads(text: str, cores: int, most: int | None = None) -> dict[str, int]:
    settings = settings_from(read_text(text).root)
    return threads_of(settings, stage_spaces(settings), cores, most=most)


def test_a_trial_has_a_core_and_a_gpu_if_there_is_one() -> None:
    settings = settings_from(read_text(PIPELINE).root)
    assert devices_of(settings, [{"cpu": 8}])["train"] == {"cpu": 1.0}
    assert devices_of(settings, [{"cpu": 8, "gpu": 2}])["train"] == {"cpu": 1.0, "gpu": 1.0}


def test_devices_are_those_of_the_config_for_all_stages_or_each() -> None:
    settings = settings_from(read_text(PIPELINE + "devices: {cpu: 2, gpu: 0.5}").root)
    assert devices_of(settings, [{"cpu": 8, "gpu": 2}])["data"] == {"cpu": 2.0, "gpu": 0.5}
    settings = settings_from(read_text(PIPELINE + "devices: {train: {cpu: 4}}").root)
    assert devices_of(settings, [{"cpu": 8}])["train"] == {"cpu": 4.0}
    assert devices_of(settings, [{"cpu": 8}])["data"] == {"cpu": 1.0}


def test_more_than_there_is_is_an_error() -> None:
    settings = settings_from(read_text(PIPELINE + "devices: {train: {gpu: 1}}").root)
    with pytest.raises(RunError) as raised:
        devices_of(settings, [{"cpu": 8, "gpu": 0.0}])
    assert str(raised.value) == "devices: stage train asks for gpu: 1, but this machine has 0"


def test_threads_are_the_cores_over_the_trials_that_run_at_the_same_time() -> None:
    assert threads(PIPELINE, 16) == {"data": 16, "train": 1, "best": 1, "wide": 1}
    alone = PIPELINE[: PIPELINE.index("  wide")]
    assert threads(alone, 16) == {"data": 16, "train": 5, "best": 5}
    assert threads(alone + "reduce: {train: 1}", 16) == {"data": 16, "train": 5, "best": 16}
    assert threads(alone, 2) == {"data": 2, "train": 1, "best": 1}


def test_threads_are_the_cores_that_the_config_asks_for() -> None:
    assert threads(PIPELINE + "devices: {cpu: 3}", 16)["data"] == 3
    assert threads(PIPELINE + "devices: {cpu: 0.5}", 16)["data"] == 1


CLUSTER = [{"cpu": 0.0}, {"cpu": 4.0, "gpu": 1.0}, {"cpu": 8.0, "big": 1.0}]


def test_no_trial_may_ask_for_more_than_one_machine_has() -> None:
    settings = settings_from(read_text(PIPELINE + "devices: {train: {cpu: 9}}").root)
    with pytest.raises(RunError) as raised:
        devices_of(settings, CLUSTER)
    assert str(raised.value) == (
        "devices: stage train asks for cpu: 9, but no machine of the cluster has more than 8"
    )


def test_trials_are_counted_machine_by_machine() -> None:
    assert at_once({"cpu": 3.0}, CLUSTER) == 3
    assert at_once({"cpu": 1.0, "gpu": 0.5}, CLUSTER) == 2
    assert at_once({"cpu": 1.0, "big": 1.0}, CLUSTER) == 1
    assert at_once({"cpu": 100.0}, CLUSTER) == 1


def test_threads_follow_the_smallest_machine_that_runs_trials() -> None:
    assert cores(CLUSTER) == 4
    assert cores([{"cpu": 0.0}]) == 1


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("3", 3), ("4,2", 4), (" 2 ", 2), ("", None), ("0", None), ("-1", None), ("many", None)],
)
def test_the_environment_says_how_many_threads_there_may_be(said: str, wanted: int | None) -> None:
    assert threads_wanted({"OMP_NUM_THREADS": said}) == wanted
    assert threads_wanted({}) is None


def test_no_trial_gets_more_threads_than_wanted_unless_it_asks_for_cores() -> None:
    assert threads(PIPELINE, 24) == {"data": 24, "train": 1, "best": 1, "wide": 1}
    assert threads(PIPELINE, 24, most=2) == {"data": 2, "train": 1, "best": 1, "wide": 1}
    assert threads(PIPELINE + "devices: {data: {cpu: 4}}", 24, most=2)["data"] == 4
