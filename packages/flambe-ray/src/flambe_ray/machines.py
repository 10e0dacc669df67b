"""The machines that trials run on, and which trial has which share of which machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from flambe.executors.devices import Devices, Share

Node: TypeAlias = str | None
"""A machine as Ray names it; None for the only one, of which Ray need not be told."""

_KINDS = {"CPU": "cpu", "GPU": "gpu"}
_OWN = ("node:", "memory", "object_store_memory", "accelerator_type:", "TPU-")
"""What Ray counts among a machine's resources, and trials do not ask for."""


@dataclass(frozen=True)
class Place:
    """What one trial has: a share of a machine's devices."""

    node: Node
    share: Share


class Machines:
    """Keeps account of who has what on which machine.

    Args:
        there: The devices of each machine.
        types: The devices of machines that would be started if a trial needed them.
    """

    def __init__(
        self, there: Mapping[Node, Mapping[str, float]], types: Sequence[Mapping[str, float]] = ()
    ) -> None:
        self._totals = {node: dict(devices) for node, devices in there.items()}
        self._accounts = {node: Devices(devices) for node, devices in there.items()}
        self._types = [Devices(devices) for devices in types]
        self._gone: dict[tuple[tuple[str, float], ...], Devices] = {}

    def update(self, there: Mapping[Node, Mapping[str, float]]) -> None:
        """Take in who has come and who has gone; shares of machines that stay are kept."""
        for node in self._accounts.keys() - there.keys():
            del self._accounts[node]
            had = self._totals.pop(node)
            self._gone[tuple(sorted(had.items()))] = Devices(had)
        for node, devices in there.items():
            if node not in self._accounts:
                self._accounts[node], self._totals[node] = Devices(devices), dict(devices)

    def nodes(self) -> Collection[Node]:
        return self._totals.keys()

    def devices_of(self, node: Node) -> Mapping[str, float]:
        """What the machine has in all; nothing if it has gone."""
        return self._totals.get(node, {})

    def problem(self, shares: Mapping[str, float]) -> str | None:
        """Why no machine can ever give `shares`, or None if one can; one that has gone may come again."""
        known = (*self._accounts.values(), *self._types, *self._gone.values())
        problems = [account.problem(shares) for account in known]
        if not problems:
            return "there is no machine that runs trials"
        if None in problems:
            return None
        if len(problems) == 1:
            return problems[0]
        wanted = ", ".join(f"{kind}: {amount:g}" for kind, amount in shares.items())
        return f"the trial asks for {wanted}, and no machine of the cluster has that much"

    def take(self, shares: Mapping[str, float], near: Callable[[Node], Any] = lambda node: 0) -> Place | None:
        """Hand out `shares` of the machine with the largest `near` that has them free, or None.

        Of several, the one that has most to spare.
        """
        order = sorted(self._accounts, key=lambda node: (near(node), -self._accounts[node].lack(shares)))
        for node in reversed(order):
            share = self._accounts[node].take(shares)
            if share is not None:
                return Place(node, share)
        return None

    def assign(self, place: Place) -> None:
        """Note that somebody has this share."""
        self._accounts[place.node].assign(place.share)

    def give_back(self, place: Place) -> None:
        """Take back what was handed out."""
        if place.node in self._accounts:
            self._accounts[place.node].give_back(place.share)

    def earmark(self, shares: Mapping[str, float]) -> None:
        """Set aside what a waiting trial needs, so that none behind it takes it; use it on a copy.

        It is set aside where the least of it is missing.
        """
        able = [account for account in self._accounts.values() if account.problem(shares) is None]
        if able:
            min(able, key=lambda account: account.lack(shares)).earmark(shares)

    def exhausted(self) -> bool:
        """Whether there is nothing left to hand out."""
        return all(account.exhausted() for account in self._accounts.values())

    def copy(self) -> Machines:
        """The same account, to try something on."""
        other = Machines({})
        other._totals = dict(self._totals)
        other._accounts = {node: account.copy() for node, account in self._accounts.items()}
        other._types, other._gone = self._types, self._gone
        return other


def devices_from(resources: Mapping[str, float]) -> dict[str, float]:
    """The devices in what Ray calls a machine's resources: `{"CPU": 8.0, …}` → `{"cpu": 8.0}`."""
    return {
        _KINDS.get(kind, kind): float(amount)
        for kind, amount in resources.items()
        if not kind.startswith(_OWN) and amount
    }
