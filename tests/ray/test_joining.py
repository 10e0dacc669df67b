"""Which machines of a cluster are asked whether they can run trials, and when again."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from flambe_ray import cluster
from flambe_ray.cluster import Cluster


class Told(Cluster):
    """A cluster whose machines answer at once what is wrong with them, or nothing."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.wrong: dict[str, str | None] = {}
        self.now = 1.0
        self.asks: list[str] = []

    def look_again(self, after_s: float) -> set[Any]:
        self.now += after_s
        self.refresh(now=True)
        return set(self.machines())

    def _there(self) -> dict[str, Any]:
        self._looked_at = self.now
        about = {"Resources": {"CPU": 2.0}, "NodeManagerHostname": "host", "NodeManagerAddress": "1.2.3.4"}
        return dict.fromkeys(self.wrong, about)

    def _ask(self, node: str, about: Any) -> None:
        self.asks.append(node)

    def _answers(self, there: Any) -> dict[str, str | None]:
        found = {node: self.wrong[node] for node in self.asks}
        self.asks = []
        self._fit |= {node: {"cpu": 2.0} for node, problem in found.items() if problem is None}
        return found


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return messages


def test_a_machine_that_was_mended_is_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "flambe")
    machines = Told()
    machines.wrong = {"a": None, "b": "is blind"}
    assert machines.look_again(1) == {"a"}
    assert warned(caplog) == ["machine host (1.2.3.4) is not used: it is blind"]
    machines.wrong["b"] = None
    assert machines.look_again(2) == {"a"}
    assert machines.look_again(cluster._AGAIN_S) == {"a", "b"}
    assert warned(caplog) == []


def test_it_is_told_once_why_a_machine_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "flambe")
    machines = Told()
    machines.wrong = {"a": "is blind"}
    for _ in range(3):
        assert machines.look_again(cluster._AGAIN_S + 1) == set()
    assert len(warned(caplog)) == 1
    machines.wrong = {"a": "is deaf"}
    machines.look_again(cluster._AGAIN_S + 1)
    assert warned(caplog) == ["machine host (1.2.3.4) is not used: it is deaf"]


def test_a_machine_that_joins_anew_is_asked_at_once() -> None:
    machines = Told()
    machines.wrong = {"a": "is blind"}
    machines.look_again(1)
    machines.wrong = {"a-again": None}
    assert machines.look_again(1) == {"a-again"}
