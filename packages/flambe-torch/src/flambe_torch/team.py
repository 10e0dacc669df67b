"""`Team`: the other processes of a training on several devices.

Lightning would start the whole command again for each device. Here the first process sends the trainer to
the others, and they do what it does: each is told of every step, and collectives keep them together.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

import torch.distributed
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

if TYPE_CHECKING:
    from flambe_torch.trainer import Trainer


READY = b"ready\n"
PATIENCE_S = 20
"""How long the others have to end by themselves."""


class Place(ClusterEnvironment):
    """Tells Lightning which of the processes it runs in; they are started already."""

    def __init__(self, rank: int, size: int, port: int) -> None:
        super().__init__()
        self._rank, self._size, self._port = rank, size, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self._port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0


class Team:
    """The processes beside this one; they hold a copy of `trainer` and do what they are told.

    Args:
        size: Number of processes, this one included.
    """

    def __init__(self, trainer: Trainer, size: int) -> None:
        port = _free_port()
        self.place = Place(0, size, port)
        copies = [pickle.dumps((trainer, Place(rank, size, port))) for rank in range(1, size)]
        self._others = [_start(copy) for copy in copies]
        ready = [_stream(other.stdout).readline() == READY for other in self._others]
        if not all(ready):
            self.close()
            raise RuntimeError("a process for another device could not take the trainer; its error is above")

    def tell(self, what: str) -> None:
        """Let the others call that method of their trainer too."""
        for other in self._others:
            orders = _stream(other.stdin)
            orders.write(f"{what}\n".encode())
            orders.flush()

    def close(self) -> None:
        """Let the others end; they do when there is nothing more to read."""
        for other in self._others:
            _stream(other.stdin).close()
        for other in self._others:
            _wait(other)
            _stream(other.stdout).close()
        self._others = []


def _start(copy: bytes) -> subprocess.Popen[bytes]:
    other = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "flambe_torch.team"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    orders = _stream(other.stdin)
    orders.write(copy)
    orders.flush()
    return other


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _wait(other: subprocess.Popen[bytes]) -> None:
    try:
        other.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        other.kill()
        other.wait()


def release() -> None:
    """Let go of the connection to the other processes, which Lightning keeps."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _join(orders: IO[bytes]) -> None:
    """The life of another process: take the trainer, then do as told until there is no more to read."""
    trainer: Any
    trainer, place = pickle.load(orders)  # noqa: S301 - written by the process that started this one
    trainer.join(place)
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    os.dup2(2, 1)  # nobody reads what is printed from here on
    for order in orders:
        getattr(trainer, order.decode().strip())()
    trainer.leave()


if __name__ == "__main__":
    _join(sys.stdin.buffer)
