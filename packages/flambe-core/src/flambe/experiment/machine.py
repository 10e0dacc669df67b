"""What a run was made on: devices, versions, commit, command."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from flambe.executors.devices import available
from flambe.experiment.settings import Settings


def describe_run(settings: Settings, file: str) -> dict[str, Any]:
    """What `run.json` says about a run's circumstances."""
    return {
        "name": settings.name,
        "config": file,
        "seed": settings.seed,
        "command": shlex.join(sys.argv),
        "started": round(time.time(), 3),
        "machine": {"host": platform.node(), "system": platform.platform(), "cores": int(available()["cpu"])},
        "python": platform.python_version(),
        "versions": _versions(),
        "git_commit": _git_commit(Path(file).parent if os.path.exists(file) else Path.cwd()),
    }


def _versions() -> dict[str, str]:
    """The installed versions of every plugin's distribution and of the frameworks that matter."""
    wanted = {"torch", "pytorch-lightning", "ray", "transformers", "numpy"}
    wanted |= {point.dist.name for point in metadata.entry_points(group="flambe") if point.dist}
    return {name: metadata.version(name) for name in sorted(wanted) if next(_installed(name), None)}


def _installed(name: str) -> Iterator[metadata.Distribution]:
    return iter(metadata.distributions(name=name))


def _git_commit(folder: Path) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    asked = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [git, "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None
