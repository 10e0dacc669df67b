"""The `resources` of an experiment: names for files that stages link to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flambe.errors import RunError
from flambe.language import nodes
from flambe.language.nodes import Node


def locate(resources: Mapping[str, Node], *, folder: Path) -> dict[str, str]:
    """Where each resource lies: local paths made absolute, URLs and cluster paths as they are.

    A relative path is looked up in the working folder, then in `folder`, the config's own.

    Raises:
        RunError: a local file is not there.
    """
    return {name: _locate(name, node, folder) for name, node in resources.items()}


def _locate(name: str, node: Node, folder: Path) -> str:
    if isinstance(node, nodes.ClusterPath):
        return node.path
    assert isinstance(node, nodes.Scalar)
    location = str(node.value)
    if "://" in location:
        return location
    for base in (Path.cwd(), folder):
        found = (base / Path(location).expanduser()).resolve()
        if found.exists():
            return str(found)
    raise RunError(f"resources.{name}: there is no file {location}; give its path, or a URL")
