"""The names of `!tune.…`: Ray Tune's schedulers and search algorithms, imported when they are asked for."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from flambe.errors import PluginError
from flambe.registry.sources import is_installed

_SCHEDULERS = "ray.tune.schedulers"
_SEARCH = "ray.tune.search"

SCHEDULERS = {
    "ASHAScheduler": _SCHEDULERS,
    "AsyncHyperBandScheduler": _SCHEDULERS,
    "FIFOScheduler": _SCHEDULERS,
    "HyperBandForBOHB": _SCHEDULERS,
    "HyperBandScheduler": _SCHEDULERS,
    "MedianStoppingRule": _SCHEDULERS,
    "PB2": f"{_SCHEDULERS}.pb2",
    "PopulationBasedTraining": _SCHEDULERS,
    "PopulationBasedTrainingReplay": _SCHEDULERS,
    "ResourceChangingScheduler": _SCHEDULERS,
}
"""Schedulers by name, with the module that holds each."""

SEARCH = {
    "AxSearch": f"{_SEARCH}.ax",
    "BasicVariantGenerator": f"{_SEARCH}.basic_variant",
    "BayesOptSearch": f"{_SEARCH}.bayesopt",
    "HEBOSearch": f"{_SEARCH}.hebo",
    "HyperOptSearch": f"{_SEARCH}.hyperopt",
    "NevergradSearch": f"{_SEARCH}.nevergrad",
    "OptunaSearch": f"{_SEARCH}.optuna",
    "TuneBOHB": f"{_SEARCH}.bohb",
    "ZOOptSearch": f"{_SEARCH}.zoopt",
}
"""Search algorithms by name, with the module that holds each."""

PACKAGES = {
    "PB2": ("sklearn", "scikit-learn"),
    "AxSearch": ("ax", "ax-platform"),
    "BayesOptSearch": ("bayes_opt", "bayesian-optimization==1.4.3"),
    "HEBOSearch": ("hebo", "HEBO"),
    "HyperOptSearch": ("hyperopt", "hyperopt"),
    "NevergradSearch": ("nevergrad", "nevergrad"),
    "OptunaSearch": ("optuna", "optuna"),
    "TuneBOHB": ("ConfigSpace hpbandster", "ConfigSpace hpbandster"),
    "ZOOptSearch": ("zoopt", "zoopt"),
}
"""The modules that an algorithm needs beside Ray, and what to install for them."""

_USES = {"BayesOptSearch": "UtilityFunction"}
"""What an algorithm uses of its package that newer releases do not have."""

__all__ = sorted([*SCHEDULERS, *SEARCH])  # noqa: PLE0605  # names that are only imported when asked for


def __getattr__(name: str) -> Any:
    module = SCHEDULERS.get(name) or SEARCH.get(name)
    if module is None:
        raise AttributeError(name)
    needs, install = PACKAGES.get(name, ("ray", "ray[tune]"))
    if not all(map(is_installed, needs.split())):
        raise PluginError(f"!tune.{name} needs a package that is not installed: pip install {install}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the algorithms' packages warn of, their users cannot change
        found = getattr(importlib.import_module(module), name)
        if name in _USES and not hasattr(importlib.import_module(needs), _USES[name]):
            raise PluginError(f"!tune.{name} works with another release of {needs}: pip install {install}")
    return found
