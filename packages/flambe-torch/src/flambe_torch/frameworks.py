"""How torch's seeds, threads and random state are kept for a trial."""

from __future__ import annotations

import base64
from typing import Any

import torch


class TorchFramework:
    """Implements `flambe.trials.frameworks.Framework`."""

    def seed(self, seed: int) -> None:
        """Seed the generators of all devices."""
        torch.manual_seed(seed)

    def set_threads(self, count: int) -> None:
        """Use `count` threads within an operation."""
        torch.set_num_threads(count)

    def random_state(self) -> Any:
        """The state of each generator, base64."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"cpu": _text(torch.get_rng_state()), "cuda": [_text(state) for state in cuda]}

    def set_random_state(self, state: Any) -> None:
        """Take back what `random_state` returned; on a machine with fewer GPUs, theirs only."""
        torch.set_rng_state(_tensor(state["cpu"]))
        count = torch.cuda.device_count() if state["cuda"] else 0
        for device, text in enumerate(state["cuda"][:count]):
            torch.cuda.set_rng_state(_tensor(text), device)

    def modes(self) -> Any:
        """The default type, whether gradients are kept, and how exact operations are."""
        return (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    def set_modes(self, modes: Any) -> None:
        """Put back what `modes` returned."""
        kind, gradients, deterministic, warn_only = modes
        torch.set_default_dtype(kind)
        torch.set_grad_enabled(gradients)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


def _text(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
