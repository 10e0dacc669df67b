"""Stages for the tests of the engine, as a user would write them."""

import os
import random
import time
from collections.abc import Mapping
from typing import Any

from flambe import Component, log


class Walk(Component):
    """Takes random steps; everything it does depends on its seed and arguments alone."""

    lower_is_better = True

    def __init__(self, stride: float = 1.0, goal: float = 10.0, steps: int = 5, seconds: float = 0.0) -> None:
        self.stride, self.goal, self.steps, self.seconds = stride, goal, steps, seconds
        self.place, self.taken = 0.0, 0
        self.notes = {"right": 1.0}

    def step(self) -> bool:
        time.sleep(self.seconds)
        self.place += self.stride * random.random()
        self.taken += 1
        log("place", self.place, self.taken)
        return self.taken < self.steps

    def metric(self) -> float:
        return abs(self.goal - self.place)

    @property
    def torn(self) -> float:
        return 1 / 0

    def custom_state(self) -> dict[str, float]:
        return {"place": self.place, "taken": self.taken}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.place, self.taken = state["place"], state["taken"]


class Report(Component):
    """Looks at what an earlier stage came to."""

    def __init__(self, walk: Walk, place: float, tried: float = 0.0) -> None:
        self.walk, self.place, self.tried = walk, place, tried

    def step(self) -> bool:
        assert self.walk.place == self.place
        return False

    def metric(self) -> float:
        return self.place


class Blind(Component):
    """Does not keep what it is given."""

    def __init__(self, walk: Walk) -> None:
        pass


class Counted:
    """A plain class that notes in a file each time it is made."""

    def __init__(self, value: int, diary: str) -> None:
        self.value = value
        with open(diary, "a") as file:
            file.write(f"{value}\n")


class Faulty(Component):
    """Raises at a step; `once` names a file that, once there, makes it work."""

    def __init__(self, at: int, value: float = 1.0, once: str | None = None) -> None:
        self.at, self.value, self.once, self.taken = at, value, once, 0

    def step(self) -> bool:
        self.taken += 1
        log("taken", self.taken, self.taken)
        if self.taken == self.at and not (self.once and os.path.exists(self.once)):
            if self.once:
                open(self.once, "w").close()
            raise RuntimeError(f"bad luck at step {self.taken}")
        return self.taken < 4

    def metric(self) -> float:
        return self.value

    def custom_state(self) -> dict[str, int]:
        return {"taken": self.taken}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.taken = state["taken"]


class Mute(Component):
    """Has a metric that is no number."""

    def __init__(self, value: float | None = None) -> None:
        self.value = value

    def metric(self) -> float | None:
        return self.value


class Meeting(Component):
    """Waits until `others` of its kind are there at the same time."""

    def __init__(self, name: str, folder: str, others: int) -> None:
        self.name, self.folder, self.others = name, folder, others

    def step(self) -> bool:
        open(os.path.join(self.folder, self.name), "w").close()
        deadline = time.monotonic() + 20
        while len(os.listdir(self.folder)) < self.others:
            assert time.monotonic() < deadline, "the others never came"
            time.sleep(0.005)
        return False


class Length(Component):
    """The length of a text file."""

    def __init__(self, path: str) -> None:
        with open(path) as file:
            self.length = len(file.read())

    def metric(self) -> float:
        return self.length


class Heavy(Component):
    """Keeps much state."""

    def __init__(self, kilobytes: int) -> None:
        self.kilobytes = kilobytes

    def step(self) -> bool:
        return False

    def custom_state(self) -> dict[str, str]:
        return {"text": "x" * 1024 * self.kilobytes}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        assert len(state["text"]) == 1024 * self.kilobytes


class Once:
    """Can be made only once."""

    def __init__(self, mark: str) -> None:
        if os.path.exists(mark):
            raise RuntimeError("only once")
        open(mark, "w").close()
        self.value = 1


class Pliant(Walk):
    """A walk whose stride may change on the way, up to 100."""

    def change(self, path: str, value: Any) -> None:
        from flambe.errors import CannotChangeError

        if path != "stride" or value > 100:
            raise CannotChangeError(f"{path} cannot become {value}")
        self.stride = value


class Brittle(Pliant):
    """Takes any stride, and stumbles over one below 0."""

    def step(self) -> bool:
        if self.stride < 0:
            raise ArithmeticError("a stride below 0")
        return super().step()


class Doomed(Pliant):
    """Stumbles in its third step with a new stride."""

    far = 0

    def step(self) -> bool:
        self.far += self.stride != 1.0
        if self.far == 3:
            raise ArithmeticError("too far")
        return super().step()


class Hanging(Component):
    """Hangs in its step number `at`, unless the file `once` is there; with 0, it hangs when it is built."""

    def __init__(self, at: int = 2, once: str = "", seconds: float = 600) -> None:
        self.at, self.once, self.seconds, self.taken = at, once, seconds, 0
        if at == 0:
            self._hang()

    def step(self) -> bool:
        self.taken += 1
        if self.taken == self.at:
            self._hang()
        return self.taken < 4

    def _hang(self) -> None:
        if not os.path.exists(self.once):
            if self.once:
                open(self.once, "w").close()
            time.sleep(self.seconds)

    def custom_state(self) -> dict[str, int]:
        return {"taken": self.taken}

    def load_custom_state(self, state: Mapping[str, Any]) -> None:
        self.taken = state["taken"]


class Guess:
    """Stands for a search algorithm in a config."""

    def __init__(self, num_samples: int = 1) -> None:
        self.num_samples = num_samples


class Steps(Component):
    """Counts its steps in one part of it, and ranks by another, which may be the same."""

    def __init__(self, first: dict[str, int], second: dict[str, int]) -> None:
        self.first, self.second = first, second

    def step(self) -> bool:
        self.first["steps"] = self.first.get("steps", 0) + 1
        return False

    def metric(self) -> float:
        return self.second.get("steps", 0)
