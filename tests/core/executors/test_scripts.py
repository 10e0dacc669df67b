"""Classes that the user's own script defines, in worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

CLASSES = """
import sys, threading
from pathlib import Path
from flambe import Component
from flambe.executors.pool import Pool
from flambe.language.nodes import Build
from flambe.trials.protocol import Failed, Finished, Setting, TrialKey, TrialTask

class Own(Component):
    def step(self):
        return False

    def metric(self):
        return 7.0

def run():
    folder = sys.argv[1]
    pool = Pool()
    pool.start(Setting(name="own", folder=folder, seed=1, modules=("__main__",)), {"cpu": 1})
    key, node = TrialKey("a", "v"), Build("__main__:Own")
    pool.submit(TrialTask(key, node, (), {}, 1, {"cpu": 1}, 1, folder + "/a", "0"))
    ended = []
    while not ended:
        pool.wait(None, lambda event: ended.append(event) if isinstance(event, Failed | Finished) else None)
    pool.close()
    print(ended[0].error if isinstance(ended[0], Failed) else ended[0].metric)
"""
THREAD = """
end = threading.Event()
threading.Thread(target=end.wait).start()
"""


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("run()", "7.0"),
        (f"if __name__ == '__main__':\n{indent(THREAD, '    ')}\n    run()\n    end.set()", "7.0"),
        (
            f"{THREAD}\nrun()\nend.set()",
            "RunError: a worker process cannot import your script: it runs an experiment when it is "
            "imported; what the script does, beside defining classes and functions, belongs under "
            "`if __name__ == '__main__':`",
        ),
    ],
    ids=["copied", "imported", "not guarded"],
)
def test_trials_know_the_classes_of_the_script_or_say_why_not(body: str, output: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"{CLASSES}\n{body}\n")
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout.strip(), ran.stderr, ran.returncode) == (output, "", 0)
