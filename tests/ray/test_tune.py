"""The tags of `tune`, and what is imported for them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from ray.tune.execution.tune_controller import TuneController

from flambe.check import check
from flambe.errors import RunError
from flambe.language import nodes
from flambe.language.read import read_text
from flambe.registry.registry import Registry
from flambe.registry.sources import is_installed
from flambe_ray import tune
from flambe_ray.scheduling import Controller
from flambe_ray.tune_objects import _by_name

HERE = (
    "HyperBandScheduler",
    "ASHAScheduler",
    "MedianStoppingRule",
    "PopulationBasedTraining",
    "OptunaSearch",
)


@pytest.mark.parametrize("name", HERE)
def test_tags_are_the_classes_of_tune(name: str) -> None:
    registry = Registry.load()
    assert registry.resolve(f"tune.{name}").value is registry.resolve(f"ray.{name}").value
    assert registry.resolve(f"tune.{name}").value.__module__.startswith("ray.tune.")


@pytest.mark.parametrize("name", sorted(tune.PACKAGES))
def test_a_tag_whose_package_is_missing_says_what_to_install(name: str) -> None:
    module, install = tune.PACKAGES[name]
    if all(map(is_installed, module.split())):
        pytest.skip(f"{module} is installed")
    document = read_text(f"name: a\npipeline: {{b: 1}}\nsearch: {{b: !tune.{name} {{}}}}", "a.yaml")
    messages = [problem.message for problem in check(document, Registry.load())]
    assert f"!tune.{name} needs a package that is not installed: pip install {install}" in messages


@pytest.mark.skipif(not is_installed("bayes_opt"), reason="bayesian-optimization is not installed")
def test_a_release_that_ray_does_not_work_with_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import bayes_opt

    monkeypatch.delattr(bayes_opt, "UtilityFunction")
    document = read_text("name: a\npipeline: {b: 1}\nsearch: {b: !tune.BayesOptSearch {}}", "a.yaml")
    messages = [problem.message for problem in check(document, Registry.load())]
    assert (
        "!tune.BayesOptSearch works with another release of bayes_opt: "
        "pip install bayesian-optimization==1.4.3"
    ) in messages


def test_wrong_arguments_of_a_scheduler_are_found_by_check() -> None:
    document = read_text(
        "name: a\npipeline: {b: !flambe.testing.stages:Counter}\n"
        "schedulers: {b: !tune.HyperBandScheduler {max_time: 3}}",
        "a.yaml",
    )
    (problem,) = check(document, Registry.load())
    assert problem.message == "HyperBandScheduler has no argument 'max_time'; did you mean 'max_t'?"


def test_more_arguments_by_position_than_there_are_parameters_are_refused() -> None:
    with pytest.raises(RunError) as caught:
        _by_name(
            nodes.Build("tune.X", nodes.Sequence((nodes.Scalar(1), nodes.Scalar(2)))),
            ("metric",),
            key="search.train",
            name="X",
        )
    assert str(caught.value) == (
        "search.train: X takes 1 arguments by place, but 2 are given; they are metric"
    )


def test_loading_the_plugin_does_not_import_ray() -> None:
    script = (
        "import sys; import flambe.cli.main, flambe_ray.plugin\n"
        "from flambe.registry.registry import Registry; Registry.load(); sys.exit('ray' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_schedulers_find_every_name_that_tune_grants_them() -> None:
    source = inspect.getsource(TuneController._wrapped)
    granted = re.search(r"runner_whitelist_attr=\{(.*?)\}", source, re.S)
    assert granted is not None
    names = set(re.findall(r'"(\w+)"', granted[1]))
    assert names - {"_schedule_trial_save"} == {"search_alg"} | {
        name for name in dir(Controller) if not name.startswith("__")
    }
