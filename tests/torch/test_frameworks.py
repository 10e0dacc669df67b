from __future__ import annotations

import json

import torch

from flambe_torch.frameworks import TorchFramework


def test_the_random_state_goes_through_json() -> None:
    framework = TorchFramework()
    framework.seed(3)
    first = torch.rand(2)
    state = json.loads(json.dumps(framework.random_state()))
    second = torch.rand(2)
    framework.set_random_state(state)
    assert torch.equal(torch.rand(2), second)
    framework.seed(3)
    assert torch.equal(torch.rand(2), first)


def test_threads_are_set_for_threads_to_come() -> None:
    import threading

    before = torch.get_num_threads()
    seen: list[int] = []
    try:
        TorchFramework().set_threads(3)
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(before)
    assert seen == [3]
