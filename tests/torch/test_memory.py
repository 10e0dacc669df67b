import platform
import subprocess
import sys

import pytest

CODE = """
import random, resource, sys, threading
import torch
from flambe_torch.memory import keep_freed_memory

def work():
    rng = random.Random(0)
    for _ in range(60):
        kept = [torch.ones(rng.randrange(2**14, 3 * 2**20)) for _ in range(12)]  # up to 12 MiB each
        rng.shuffle(kept)
        while kept:
            kept.pop()

if sys.argv[1] == "keep":
    keep_freed_memory()
thread = threading.Thread(target=work)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is meant")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    assert faults("keep") < 0.7 * faults("give back")
