"""`SteppedFit`: one Lightning fit in a thread of its own, that waits at the end of each validation."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from flambe_torch.frameworks import TorchFramework
from flambe_torch.memory import keep_freed_memory


class _Closed(BaseException):
    """Leaves a fit at once; Lightning tears down and hands it on."""


class SteppedFit(pl.Callback):
    """Runs `fit`, which must hold this callback, from one validation to the next.

    The thread sees the context variables of the caller of `advance`, so that `flambe.log` works in it.

    Args:
        fit: Called once, in the thread.
    """

    def __init__(self, fit: Callable[[], None]) -> None:
        self._fit = fit
        self._go = threading.Semaphore(0)
        self._paused = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._context = contextvars.copy_context()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._framework = TorchFramework()
        self._random = self._framework.random_state()
        self.done = False
        self.waiting = False

    def advance(self) -> None:
        """Let the fit go on to the end of the next validation, or to its end (`done`).

        What the fit raises is raised here.
        """
        if self.done:
            return
        self._context = contextvars.copy_context()
        if self._thread is None:
            keep_freed_memory()
            self._thread = threading.Thread(target=self._run, name="flambe-fit", daemon=True)
            self._thread.start()
        self._go.release()
        self._paused.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """End the fit where it waits, or at its next validation if it does not."""
        if self._thread is None or self.done:
            self.done = True
            return
        self._closing = True
        self._go.release()
        self._thread.join()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What was drawn while the fit started does not count, or one that goes on would differ."""
        self._framework.set_random_state(self._random)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait until the caller wants the next step."""
        self.waiting = True
        self._paused.release()
        self._wait()
        self.waiting = False

    def _run(self) -> None:
        try:
            self._wait()
            self._fit()
        except _Closed:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the thread that called `advance`
            self._error = error
        finally:
            self.done, self.waiting = True, False
            self._paused.release()

    def _wait(self) -> None:
        self._go.acquire()
        if self._closing:
            raise _Closed
        for variable, value in self._context.items():
            _set(variable, value)


def _set(variable: contextvars.ContextVar[Any], value: Any) -> None:
    variable.set(value)
