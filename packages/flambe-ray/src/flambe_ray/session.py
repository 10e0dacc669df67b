"""Ray itself: started quietly for a run, or joined where it runs already."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about trials without a GPU
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}
_LONGEST_FOLDER = 40
"""Ray puts sockets deep inside its folder, and their paths may have 107 characters."""


class Session:
    """Ray, for as long as an executor needs it.

    A cluster that this process is connected to, or that `RAY_ADDRESS` names, is used and left running.
    Otherwise Ray is started on this machine with the given devices, in a temporary folder of its own that
    goes with it; nothing is written elsewhere, and no dashboard is opened.

    Args:
        keep: A local folder where Ray's logs are kept if something went wrong; None to keep none.
    """

    def __init__(self, devices: Mapping[str, float], *, keep: Path | None = None) -> None:
        self._folder: Path | None = None
        self._keep = keep
        self._ours = False
        prepare_environment()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray

            if not ray.is_initialized():
                self._ours = True
                self._start(ray, devices)

    def close(self, *, troubled: bool = False) -> None:
        """Disconnect, and stop what was started; with `troubled`, Ray's logs are kept."""
        import ray

        if self._ours:
            self._ours = False
            ray.shutdown()
        if self._folder is not None:
            if troubled and self._keep is not None:
                with suppress(OSError):
                    shutil.copytree(self._folder / "session_latest" / "logs", self._keep, dirs_exist_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start(self, ray: Any, devices: Mapping[str, float]) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**quiet)
            return
        self._folder = _short_folder()
        ray.init(
            address="local",
            num_cpus=max(1, math.ceil(devices.get("cpu", 1))),
            num_gpus=math.ceil(devices.get("gpu", 0)),
            resources={kind: amount for kind, amount in devices.items() if kind not in ("cpu", "gpu")},
            include_dashboard=False,
            _temp_dir=str(self._folder),
            **quiet,
        )


def prepare_environment() -> None:
    """What Ray reads when it is imported, once for this process and those it starts."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "ray" not in sys.modules and not {"RAY_AUTH_MODE", "RAY_ADDRESS"} & set(os.environ):
        os.environ["RAY_AUTH_MODE"] = "token"  # so that nobody else on this machine can send it work
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _short_folder() -> Path:
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108  # made with a name of its own
    return Path(tempfile.mkdtemp(prefix="flambe-ray-", dir=place))
