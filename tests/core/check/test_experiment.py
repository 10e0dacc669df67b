from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flambe.component import Component

Problems = Callable[..., list[str]]


class Data(Component):
    def __init__(self, path: str = "", extra: Any = None) -> None: ...


class Trainer(Component):
    def __init__(self, data: Any = None, size: int = 1) -> None: ...

    def metric(self) -> float:
        return 1.0


class Search:
    def __init__(self, space: Any, metric: str, seed: int = 1) -> None: ...


class Scheduler:
    def __init__(self, metric: str, max_t: int, eta: int = 3) -> None: ...


class Manager:
    def __init__(self, factories: int, key: str = "") -> None: ...


class Builder:
    def __init__(self, component: Data, destination: str) -> None: ...

    def run(self) -> None: ...


def test_every_key_can_be_used(problems: Problems) -> None:
    found = problems(
        """
        !Experiment
        name: my-experiment_1.2
        resources: {glove: path/to/it, other: !cluster /data, home: !env HOME}
        pipeline:
          data: !p.Data {path: !env HOME, extra: !secret a.b}
          train: !p.Trainer {data: !@ data, size: !g [1, 2]}
          best: !g [!p.Trainer {data: !@ glove}, !p.Trainer {}]
        search: {train: !p.Search {num_samples: 3, seed: 2}}
        schedulers: {best: !p.Scheduler {eta: 3}}
        reduce: {train: 1, best: 2}
        devices: {train: {cpu: 1, gpu: 0.5}, best: {cpu: 2}}
        save_path: s3://bucket/x
        resume: [data, train]
        seed: 3
        num_samples: {train: 4}
        max_failures: 0
        stop_on_failure: true
        merge_plot: false
        manager: !p.Manager {factories: 3, key: !@ glove}
        """,
        {"HOME": "x"},
        {"a": {"b": "c"}},
    )
    assert found == []


def test_null_and_short_forms_mean_the_defaults(problems: Problems) -> None:
    found = problems(
        """
        name: a
        pipeline: {a: !p.Trainer {}}
        resources: ~
        search: {}
        devices: {cpu: 1, gpu: 0.5}
        resume: a
        num_samples: 4
        manager: ~
        """
    )
    assert found == []


def test_missing_and_misspelt_keys_are_named(problems: Problems) -> None:
    found = problems(
        """
        pipelin: {a: 1}
        """
    )
    assert found == [
        "x.yaml:3:1  pipelin: an experiment has no key 'pipelin'; did you mean 'pipeline'?",
        "x.yaml:3:1  an experiment needs the key 'name'",
    ]


def test_an_experiment_without_anything_is_refused(problems: Problems) -> None:
    found = problems(
        """
        !Experiment
        """
    )
    assert found == [
        "x.yaml:3:1  an experiment needs the keys 'name' and 'pipeline'",
    ]


def test_a_search_of_nothing_is_refused(problems: Problems) -> None:
    found = problems(
        """
        name: x
        pipeline: {a: !p.Trainer {}}
        search: {a: !p.Search {num_samples: 0}}
        """
    )
    assert found == ["x.yaml:5:37  search.a.num_samples: expected an int of at least 1, not 0 (int)"]


def test_values_of_wrong_types_are_refused(problems: Problems) -> None:
    found = problems(
        """
        name: my experiment
        pipeline: {a: !p.Trainer {}}
        resources: [a]
        search: !p.Search
        schedulers: {a: hyperband}
        reduce: {a: 0}
        devices: {cpu: many}
        save_path: 3
        resume: 1
        seed: 1.5
        num_samples: 0
        max_failures: -1
        stop_on_failure: yes
        merge_plot: 1
        manager: aws
        stages: 3
        seeds: 1
        """
    )
    assert found == [
        "x.yaml:3:7  name: 'my experiment' cannot name a folder; use letters, digits, '-', '_' and, "
        "inside, '.'",
        "x.yaml:5:12  resources: expected a mapping from names to paths, not a list",
        "x.yaml:6:9  search: expected a mapping from stage names to search algorithms, not an object "
        "(!p.Search)",
        "x.yaml:7:17  schedulers.a: expected a scheduler, written with its !tag, not 'hyperband' (str)",
        "x.yaml:8:13  reduce.a: expected an int of at least 1, not 0 (int)",
        "x.yaml:9:16  devices.cpu: expected a number of at least 0, not 'many' (str)",
        "x.yaml:10:12  save_path: expected a folder or a URL, not 3 (int)",
        "x.yaml:11:9  resume: expected true, false, a stage or a list of stages, not 1 (int)",
        "x.yaml:12:7  seed: expected an int, not 1.5 (float)",
        "x.yaml:13:14  num_samples: expected an int of at least 1, or a mapping from stage names to "
        "such, not 0 (int)",
        "x.yaml:14:15  max_failures: expected an int of at least 0, not -1 (int)",
        "x.yaml:15:18  stop_on_failure: expected true or false, not 'yes' (str)",
        "x.yaml:16:13  merge_plot: expected true or false, not 1 (int)",
        "x.yaml:17:10  manager: expected a cluster manager, written with its !tag, not 'aws' (str)",
        "x.yaml:18:1  stages: an experiment has no key 'stages'",
        "x.yaml:19:1  seeds: an experiment has no key 'seeds'; did you mean 'seed'?",
    ]


def test_inner_values_of_wrong_types_are_refused(problems: Problems) -> None:
    found = problems(
        """
        name: 3
        pipeline: [a]
        resources: {a: 3}
        reduce: {a: true}
        devices: {a: {cpu: 1}, b: 2}
        resume: [3, a]
        num_samples: {a: x}
        """
    )
    assert found == [
        "x.yaml:3:7  name: expected text, not 3 (int)",
        "x.yaml:4:11  pipeline: expected a mapping from stage names to stages, not a list",
        "x.yaml:5:16  resources.a: expected a path or URL, or !cluster and a path, not 3 (int)",
        "x.yaml:6:10  reduce.a: no stage is called 'a'",
        "x.yaml:6:13  reduce.a: expected an int of at least 1, not true (bool)",
        "x.yaml:7:11  devices.a: no stage is called 'a'",
        "x.yaml:7:24  devices.b: no stage is called 'b'",
        "x.yaml:7:27  devices.b: expected devices with their number, such as {cpu: 1}, not 2 (int)",
        "x.yaml:8:10  resume[0]: expected a stage, not 3 (int)",
        "x.yaml:8:13  resume[1]: no stage is called 'a'",
        "x.yaml:9:15  num_samples.a: no stage is called 'a'",
        "x.yaml:9:18  num_samples.a: expected an int of at least 1, not 'x' (str)",
    ]


def test_names_that_links_or_folders_cannot_hold_are_refused(problems: Problems) -> None:
    found = problems(
        """
        name: a
        resources: {a: x, "": y}
        pipeline:
          a: 1
          b.c: 1
          3: 1
          "d e": 1
          "f[": 1
        """
    )
    assert found == [
        "x.yaml:4:19  resources.: a name must not be empty",
        "x.yaml:6:3  pipeline.a: 'a' is both a stage and a resource; rename one of them",
        "x.yaml:7:3  pipeline.b.c: 'b.c' must not contain '.': links and folders use the name",
        "x.yaml:8:3  pipeline.3: a name must be text: put 3 in quotes",
        "x.yaml:9:3  pipeline.d e: 'd e' must not contain ' ': links and folders use the name",
        "x.yaml:10:3  pipeline.f[: 'f[' must not contain '[': links and folders use the name",
    ]


def test_stages_that_are_unknown_or_cannot_be_ranked_are_refused(problems: Problems) -> None:
    found = problems(
        """
        name: a
        pipeline:
          {data: !p.Data , train: !p.Trainer , plain: {a: 1}, mixed: !g [!p.Trainer , 3], link: !@ data}
        search: {trian: !p.Search {}, data: !p.Search {}}
        schedulers: {plain: !p.Scheduler {bracket: 3}}
        reduce: {train: 1, data: 1, nowhere: 1, mixed: 1, link: 1}
        devices: {trai: {cpu: 1}}
        resume: [train, tran]
        num_samples: {trn: 3}
        """
    )
    assert found == [
        "x.yaml:6:10  search.trian: no stage is called 'trian'; did you mean 'train'?",
        "x.yaml:6:31  search.data: stage 'data' is a Data, which has no metric() to rank by",
        "x.yaml:7:14  schedulers.plain: stage 'plain' is a mapping, which has no metric() to rank by",
        "x.yaml:7:35  schedulers.plain.bracket: Scheduler has no argument 'bracket'; it has 'metric', "
        "'max_t' and 'eta'",
        "x.yaml:8:20  reduce.data: stage 'data' is a Data, which has no metric() to rank by",
        "x.yaml:8:29  reduce.nowhere: no stage is called 'nowhere'",
        "x.yaml:8:41  reduce.mixed: stage 'mixed' is 3 (int), which has no metric() to rank by",
        "x.yaml:8:51  reduce.link: stage 'link' is a Data, which has no metric() to rank by",
        "x.yaml:9:11  devices.trai: no stage is called 'trai'; did you mean 'train'?",
        "x.yaml:10:17  resume[1]: no stage is called 'tran'; did you mean 'train'?",
        "x.yaml:11:15  num_samples.trn: no stage is called 'trn'; did you mean 'train'?",
    ]


@pytest.mark.parametrize(
    ("pipeline", "what"), [("!g [{a: 1}, {a: 2}]", "a grid"), ("!choice [{a: 1}]", "a distribution")]
)
def test_the_pipeline_itself_is_no_option(problems: Problems, pipeline: str, what: str) -> None:
    found = problems(f"name: x\npipeline: {pipeline}\n")
    expected = "expected a mapping from stage names to stages"
    assert [problem.partition("  ")[2] for problem in found] == [f"pipeline: {expected}, not {what}"]


def test_a_resource_cannot_stand_for_a_key(problems: Problems) -> None:
    found = problems(
        """
        name: !@ file
        resources: {file: x.txt}
        pipeline: {a: !@ file}
        seed: !@ file
        resume: [!@ file]
        """
    )
    assert found == [
        "x.yaml:3:7  name: expected text, not a link",
        "x.yaml:6:7  seed: expected an int, not a link",
        "x.yaml:7:10  resume[0]: expected a stage, not a link",
    ]
    linked = problems("name: x\nresources: {file: x.txt}\npipeline: !@ file\n")
    assert [problem.partition("  ")[2] for problem in linked] == [
        "pipeline: expected a mapping from stage names to stages, not a link"
    ]


def test_options_links_and_cluster_paths_have_their_places(problems: Problems) -> None:
    found = problems(
        """
        name: !g [a, b]
        pipeline: {data: !p.Data {path: !cluster x}}
        resources: {a: !g [x, y], b: !@ data}
        seed: !randint [1, 3]
        manager: !p.Manager {factories: !s [1, 5, 2], key: !@ data.path, kay: 3}
        search: {data: !p.Nothing {}}
        """
    )
    assert found == [
        "x.yaml:3:7  name: options (such as !g or !uniform) can only be used in the pipeline",
        "x.yaml:4:33  pipeline.data.path: !cluster can only be used in 'resources'",
        "x.yaml:5:16  resources.a: options (such as !g or !uniform) can only be used in the pipeline",
        "x.yaml:5:30  resources.b: 'data' is a stage; outside the pipeline only resources can be linked",
        "x.yaml:6:7  seed: options (such as !g or !uniform) can only be used in the pipeline",
        "x.yaml:7:33  manager.factories: options (such as !g or !uniform) can only be used in the pipeline",
        "x.yaml:7:52  manager.key: 'data' is a stage; outside the pipeline only resources can be linked",
        "x.yaml:7:66  manager.kay: Manager has no argument 'kay'; it has 'factories' and 'key'",
        "x.yaml:8:10  search.data: stage 'data' is a Data, which has no metric() to rank by",
        "x.yaml:8:16  search.data: unknown tag 'p.Nothing': module 'tests.core.check.test_experiment' "
        "has no 'Nothing'",
    ]


def test_unset_variables_and_missing_secrets_are_named(problems: Problems) -> None:
    found = problems(
        """
        name: a
        pipeline: {data: !p.Data {path: !env FLAMBE_NOWHERE, extra: !secret a.c}}
        """,
        {"HOME": "x"},
        {"a": {"b": "c"}},
    )
    assert found == [
        "x.yaml:4:33  pipeline.data.path: the environment variable FLAMBE_NOWHERE is not set; set it first",
        "x.yaml:4:61  pipeline.data.extra: the secrets file has no entry a.c",
    ]


def test_equal_options_are_warned_of(problems: Problems) -> None:
    found = problems(
        """
        name: a
        pipeline: {data: !p.Data {extra: !g [1, 1.0, true, 1, a, a, [1], [1], {a: 1}, !p.Data , !p.Data ]}}
        """
    )
    assert found == [
        "warning x.yaml:4:52  pipeline.data.extra: this option is the same as one before it",
        "warning x.yaml:4:58  pipeline.data.extra: this option is the same as one before it",
        "warning x.yaml:4:66  pipeline.data.extra: this option is the same as one before it",
        "warning x.yaml:4:89  pipeline.data.extra: this option is the same as one before it",
    ]


def test_other_runnables_are_checked_as_objects(problems: Problems) -> None:
    found = problems(
        """
        !p.Builder
        component: !p.Data {path: !g [a, b]}
        destination: !@ component.path
        dest: 3
        """
    )
    assert found == [
        "x.yaml:4:27  component.path: options (such as !g or !uniform) can only be used in the pipeline",
        "x.yaml:5:14  destination: no stage or resource is called 'component'",
        "x.yaml:6:1  dest: Builder has no argument 'dest'; it has 'component' and 'destination'",
    ]


def test_an_aliased_node_is_checked_once(problems: Problems) -> None:
    found = problems(
        """
        name: a
        pipeline:
          a: &x !p.Data {pth: 3}
          b: *x
        """
    )
    assert found == [
        "x.yaml:5:18  pipeline.a.pth: Data has no argument 'pth'; did you mean 'path'?",
    ]


def test_duplicate_keys_are_reported_once(problems: Problems) -> None:
    found = problems(
        """
        name: a
        pipeline:
          a: !p.Data {path: 3, path: 4}
          a: !p.Trainer
        reduce: {a: 1}
        """
    )
    assert sum("given twice" in message for message in found) == 2
    assert [message for message in found if "given twice" not in message] == [
        "x.yaml:5:21  pipeline.a.path: Data: 'path' must be str, not 3 (int); put it in quotes",
        "x.yaml:7:10  reduce.a: stage 'a' is a Data, which has no metric() to rank by",
    ]
