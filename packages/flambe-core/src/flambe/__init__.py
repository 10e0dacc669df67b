"""Flambé: machine-learning experiments from one YAML file.

The names below are imported when they are first used, so that `import flambe` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flambe.logs import log, log_histogram, log_hparams, log_image, log_pr_curve, log_text

if TYPE_CHECKING:
    from flambe.component import Component, alias
    from flambe.errors import ConfigError, FlambeError
    from flambe.experiment.experiment import Experiment
    from flambe.experiment.session import Outcome
    from flambe.language.python import (
        call,
        choice,
        cluster,
        env,
        grid,
        link,
        lograndint,
        loguniform,
        normal,
        quniform,
        randint,
        sample,
        secret,
        stage,
        uniform,
    )
    from flambe.saving import load, load_state, save
    from flambe.trials.once import once
    from flambe.trials.place import trial_folder

_HOMES = {
    "flambe.component": ["Component", "alias"],
    "flambe.errors": ["ConfigError", "FlambeError"],
    "flambe.experiment.experiment": ["Experiment"],
    "flambe.experiment.session": ["Outcome"],
    "flambe.language.python": [
        "call",
        "choice",
        "cluster",
        "env",
        "grid",
        "link",
        "loguniform",
        "lograndint",
        "normal",
        "quniform",
        "randint",
        "sample",
        "secret",
        "stage",
        "uniform",
    ],
    "flambe.saving": ["load", "load_state", "save"],
    "flambe.trials.once": ["once"],
    "flambe.trials.place": ["trial_folder"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Component",
    "ConfigError",
    "Experiment",
    "FlambeError",
    "Outcome",
    "alias",
    "call",
    "choice",
    "cluster",
    "env",
    "grid",
    "link",
    "load",
    "load_state",
    "log",
    "log_histogram",
    "log_hparams",
    "log_image",
    "log_pr_curve",
    "log_text",
    "lograndint",
    "loguniform",
    "normal",
    "once",
    "quniform",
    "randint",
    "sample",
    "save",
    "secret",
    "stage",
    "trial_folder",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'flambe' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
