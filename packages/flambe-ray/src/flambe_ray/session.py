"""Ray itself: started quietly for a run, or joined where it runs already."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flambe.errors import RunError
from flambe_ray.leftovers import OwnFolder, children, sweep

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about trials without a GPU
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of a parcel that was not made, which its report tells of too
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what Ray prints of dead workers and machines, unasked
}
_REACHED_S = 15.0
"""How long a cluster may take to answer."""
_LONGEST_FOLDER = 16
"""Ray puts sockets 86 characters deep inside its folder, and their paths may have 103 to 107 in all."""

_INSIDE = "r"
"""Ray lets everybody write to the folder it is given; so that is one inside our own."""


class Session:
    """Ray, for as long as an executor needs it.

    A cluster that this process is connected to, or that `address` or `RAY_ADDRESS` names, is used and left
    running. Otherwise Ray is started on this machine with the given devices, in a temporary folder of its
    own that goes with it; nothing is written elsewhere, and no dashboard is opened.

    Args:
        keep: A local folder where Ray's logs are kept if something went wrong; None to keep none.
        address: The cluster's address, `host:port`.

    Attributes:
        cluster: Whether trials may run on machines that were there before, with the devices that these have.

    Raises:
        RunError: there is no cluster at the address.
    """

    def __init__(
        self, devices: Mapping[str, float], *, keep: Path | None = None, address: str | None = None
    ) -> None:
        address = address or named_address()
        self._folder: OwnFolder | None = None
        self._keep = keep
        self._ours = False
        prepare_environment(address)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray

            if not ray.is_initialized():
                self._ours = True
                if address is None:
                    self._start(ray, devices)
                else:
                    _join(ray, address)
        self.cluster = address is not None or _alive(ray) > 1

    def address(self) -> str:
        """Where the machine that directs Ray answers, `host:port`."""
        import ray

        found: str = ray.get_runtime_context().gcs_address
        return found

    def alive(self) -> bool:
        """Whether Ray can still run anything: it ends where this machine's memory does."""
        import ray

        return all(process.poll() is None for process in _raylets(ray)) and _alive(ray) > 0

    def close(self, *, troubled: bool = False) -> None:
        """Disconnect, and stop what was started; with `troubled`, Ray's logs are kept."""
        import ray

        if self._ours:
            self._ours = False
            ray.shutdown()
        if self._folder is not None:
            if troubled and self._keep is not None:
                with suppress(OSError):
                    logs = self._folder.path / _INSIDE / "session_latest" / "logs"
                    shutil.copytree(logs, self._keep, dirs_exist_ok=True)
            self._folder.remove()
            self._folder = None

    def _start(self, ray: Any, devices: Mapping[str, float]) -> None:
        place = _short_place()
        sweep(place)
        self._folder = OwnFolder(place)
        try:
            ray.init(
                address="local",
                num_cpus=max(1, math.ceil(devices.get("cpu", 1))),
                num_gpus=math.ceil(devices.get("gpu", 0)),
                resources={kind: amount for kind, amount in devices.items() if kind not in ("cpu", "gpu")},
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=str(self._folder.path / _INSIDE),
            )
        except Exception as error:  # of many types; a machine that is too busy for one
            self.close(troubled=True)
            raise RunError(
                f"Ray could not be started on this machine: {' '.join(str(error).split())} "
                "Try again, or run with --backend local"
            ) from error
        self._folder.note(_processes(ray))


def named_address() -> str | None:
    """The cluster that the environment names, or None."""
    address = os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address


def prepare_environment(address: str | None = None) -> None:
    """What Ray reads when it is started, or joined at `address`."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if (address or named_address()) is None and "RAY_AUTH_MODE" not in os.environ:
        # What Ray starts on this machine asks for a token, so that nobody else can send it work; if there is
        # none, it puts one into the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _join(ray: Any, address: str) -> None:
    if address.startswith("ray://"):
        raise RunError(
            f"{address}: Ray's client cannot drive a run; start it on a machine of the cluster, "
            "with the cluster's own address (host:port)"
        )
    try:
        reach(address, _REACHED_S)  # Ray would wait for minutes
    except OSError as error:
        raise RunError(
            f"no Ray cluster answers at {address} ({error}); give the address that `ray start --head` printed"
        ) from error
    try:
        with _silent_library():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # of many types: no route, another version, a missing token
        told = " ".join(str(error).split())
        raise RunError(f"cannot join the Ray cluster at {address}: {type(error).__name__}: {told}") from error


def reach(address: str, timeout_s: float) -> None:
    """Does nothing if somebody answers at the address; a name such as `auto` is for Ray to make sense of.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()


@contextmanager
def _silent_library() -> Iterator[None]:
    """Ray's C++ part, as it is set up inside, writes nothing to this process's standard error.

    It would write there of every value that went with a machine. That it has been told not to it writes
    there too, so what is written inside is lost.
    """
    name = "RAY_BACKEND_LOG_LEVEL"
    if name in os.environ or sys.platform == "win32":
        yield
        return
    sys.stderr.flush()
    before = os.dup(2)
    os.environ[name] = "fatal"
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
        del os.environ[name]


def _alive(ray: Any) -> int:
    return sum(bool(node["Alive"]) for node in ray.nodes())


def _raylets(ray: Any) -> list[Any]:
    """The processes without which this machine runs nothing, where this process has started them."""
    node = getattr(ray._private.worker, "_global_node", None)
    return [info.process for info in getattr(node, "all_processes", {}).get("raylet", [])]


def _processes(ray: Any) -> Iterator[int]:
    """The ids of Ray's own processes on this machine, as far as this version of Ray tells them."""
    node = getattr(ray._private.worker, "_global_node", None)
    for group in getattr(node, "all_processes", {}).values():
        for info in group:
            yield info.process.pid
            yield from children(info.process.pid)


def _short_place() -> Path:
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= _LONGEST_FOLDER else "/tmp")  # noqa: S108  # the folder gets a random name
