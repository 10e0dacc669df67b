"""What a config holds: an experiment, or any other object with `run()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambe.build.builder import Builder, Surroundings
from flambe.errors import FlambeError, LinkError
from flambe.experiment.experiment import Experiment
from flambe.experiment.preparing import prepare
from flambe.language import nodes
from flambe.language.links import LinkPath
from flambe.language.read import Document

EXPERIMENT_TAG = "Experiment"


def is_experiment(document: Document) -> bool:
    """Whether the config is an experiment; the tag may be left out."""
    root = document.root
    return not isinstance(root, nodes.Build) or root.tag == EXPERIMENT_TAG


def runnable_from(
    document: Document,
    *,
    install: bool = False,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
) -> Any:
    """What `document` holds: an `Experiment`, or the object with `run()` that its tag builds.

    Raises:
        ConfigError: the config is wrong.
        FlambeError: the object has no `run()`.
    """
    if is_experiment(document):
        return Experiment.from_document(document)
    registry = prepare(document, install=install, secrets=secrets)
    builder = Builder(
        registry, stage="", outside=_nowhere, surroundings=Surroundings(secrets=secrets or {}), path=()
    )
    made = builder.build(document.root)
    if not callable(getattr(made, "run", None)):
        raise FlambeError(
            f"{document.file}: a {type(made).__name__} cannot be run: it has no method run(); "
            "a config holds an experiment or another runnable"
        )
    return made


def _nowhere(path: LinkPath) -> Any:
    raise LinkError(f"{path}: only the stages of an experiment can be linked")
