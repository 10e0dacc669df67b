"""A stage that changes everything that its process has one of."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import warnings

import numpy as np
import torch

from flambe import Component, log
from flambe.logs import CURRENT


class Messy(Component):
    """Logs how it found its process, then changes all of it."""

    def __init__(self, number: int, fail: bool = False) -> None:
        self.number = number
        self.fail = fail

    def step(self) -> bool:
        log("process", str(os.getpid()))
        log("found", " | ".join(found()))
        os.chdir(tempfile.gettempdir())
        os.environ["FLAMBE_MESS"] = "left"
        os.environ.pop("FLAMBE_KEPT", None)
        warnings.simplefilter("error")
        logging.disable(logging.ERROR)
        logging.getLogger().setLevel(logging.CRITICAL)
        logging.getLogger().addHandler(logging.NullHandler())
        np.seterr(all="raise")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(3)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(self.number)
        np.random.seed(self.number)
        if self.fail:
            raise ArithmeticError("fell")
        return False


def found() -> list[str]:
    """How the process is, in words."""
    root = logging.getLogger()
    return [
        os.getcwd(),
        str("FLAMBE_MESS" in os.environ),
        os.environ.get("FLAMBE_KEPT", "gone"),
        str(any(entry[0] == "error" and entry[2] is Warning for entry in warnings.filters)),
        str(root.manager.disable),
        str([type(handler).__name__ for handler in root.handlers]),
        np.geterr()["divide"],
        str(torch.get_default_dtype()),
        str(torch.is_grad_enabled()),
        str(torch.get_num_threads()),
        str(torch.are_deterministic_algorithms_enabled()),
        str(CURRENT.get() is not None and threading.current_thread() is threading.main_thread()),
    ]
