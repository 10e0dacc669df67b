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

from flambe.experiment.settings import Settings


def total_devices() -> dict[str, float]:
    """The cores this process may use, and the GPUs that are visible to it."""
    return {"cpu": float(len(_cores())), "gpu": float(_gpus())}


def describe_run(settings: Settings, file: str) -> dict[str, Any]:
    """What `run.json` says about a run's circumstances."""
    return {
        "name": settings.name,
        "config": file,
        "seed": settings.seed,
        "command": shlex.join(sys.argv),
        "started": round(time.time(), 3),
        "machine": {"host": platform.node(), "system": platform.platform(), "cores": len(_cores())},
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


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    asked = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    return sum(line.startswith("GPU ") for line in asked.stdout.splitlines())
