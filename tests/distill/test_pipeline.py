"""A whole run: nine students of one teacher, side by side in worker processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flambe import Experiment, Outcome
from flambe.language.read import read_text

ROWS = 36
CONFIG = """\
name: pupils
save_path: {folder}/out
pipeline:
  data: !cl.TabularDataset {{train: {folder}/data.csv, dev: {folder}/data.csv, test: {folder}/data.csv}}
  both: !dist.DistillationProcessor
    student_processor: !cl.TCProcessor {{dataset: !@ data}}
    teacher_processor: !cl.TCProcessor {{dataset: !@ data, text_field: !TextField {{lower: true}}}}
  teacher: !Trainer
    train_sampler: !BaseSampler {{data: !@ both.teacher_processor.train, batch_size: 8}}
    dev_sampler: !BaseSampler {{data: !@ both.teacher_processor.dev}}
    model: !cl.TextClassifier
      embedding: !EmbeddingEncoder {{input_size: !@ both.teacher_processor.vocab_size, embedding_size: 150}}
      encoder: !RNNEncoder {{input_size: 150, hidden_size: 150, pooling: last}}
      decoder: !SoftmaxDecoder {{input_size: 150, output_size: !@ both.num_labels}}
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {{params: !@ teacher.model.params, lr: 0.01}}
    max_steps: 1
  student: !dist.DistillationTrainer
    train_sampler: !BaseSampler {{data: !@ both.train, batch_size: 8, bucket_by_length: true}}
    dev_sampler: !BaseSampler {{data: !@ both.dev}}
    teacher_model: !@ teacher.model
    student_model: !cl.TextClassifier
      embedding: !EmbeddingEncoder {{input_size: !@ both.student_processor.vocab_size, embedding_size: 5}}
      encoder: !RNNEncoder {{input_size: 5, hidden_size: 6, pooling: last}}
      decoder: !SoftmaxDecoder {{input_size: 6, output_size: !@ both.num_labels}}
    alpha_kl: !g [0.75, 0.9, 0.99]
    temperature: !g [10, 20, 30]
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {{params: !@ student.student_model.trainable_params, lr: 0.01}}
    max_steps: {steps}
    iter_per_step: 2
  test: !Evaluator
    model: !@ student.student_model
    metric_fn: !Accuracy
    eval_sampler: !BaseSampler {{data: !@ both.student_processor.test}}
reduce: {{student: 1}}
"""


def experiment(folder: Path, steps: int) -> Experiment:
    return Experiment.from_document(read_text(CONFIG.format(folder=folder, steps=steps)))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("pupils")
    kinds = {"HUM": "who", "LOC": "where", "NUM": "how many"}
    rows = [f"{word} is number {n},{label}" for n in range(ROWS // 3) for label, word in kinds.items()]
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    return experiment(folder, 2).run(backend="local")


def folders(outcome: Outcome, stage: str) -> list[Path]:
    return sorted(Path(outcome.folder, stage).iterdir())


def asked(outcome: Outcome) -> list[int]:
    """How many rows the teacher of each student computed."""
    files = [folder / "metrics.jsonl" for folder in folders(outcome, "student")]
    lines = [line for file in files for line in file.read_text().splitlines()]
    records = map(json.loads, lines)
    return [record["value"] for record in records if record["name"] == "distill/teacher_rows"]


def test_nine_students_ask_their_teacher_once(outcome: Outcome) -> None:
    assert outcome.exit_code == 0, [record.error for record in outcome.records.values()]
    assert [key.stage for key in outcome.records].count("student") == 9
    assert sorted(asked(outcome)) == [0] * 8 + [ROWS]


def test_no_student_is_saved_with_its_teacher(outcome: Outcome) -> None:
    (teacher,) = folders(outcome, "teacher")
    weights = sum(file.stat().st_size for file in (teacher / "model").rglob("state.pt"))
    for folder in folders(outcome, "student"):
        assert not (folder / "teacher_model").exists()
        assert "teacher_model: !@ teacher.model" in (folder / "config.yaml").read_text()
        assert json.loads((folder / "links.json").read_text())["!@ teacher.model"]["save"].endswith("default")
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < weights / 5


def test_a_student_is_used_alone_in_a_process_of_its_own(outcome: Outcome) -> None:
    (best,) = outcome.chosen["student"]
    code = f"""
import sys
import flambe
from flambe_nlp.classification import TextPredictor
student = flambe.load({str(Path(outcome.folder, "student", best, "student_model"))!r})
processor = flambe.load({str(Path(outcome.folder, "both/default/student_processor"))!r})
for made in TextPredictor(student, processor)(["who is number 3", "where is this"]):
    print(made.label, 0 < made.probability <= 1)
assert "flambe_distill.trainer" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2
    assert {label for label, _ in lines} <= {"HUM", "LOC", "NUM"}
    assert {certain for _, certain in lines} == {"True"}


def test_students_that_are_trained_longer_do_not_ask_again(outcome: Outcome) -> None:
    folder = Path(outcome.folder).parents[1]
    longer = experiment(folder, 3).run(backend="in-process", resume=True)
    assert longer.exit_code == 0
    assert {record.step for key, record in longer.records.items() if key.stage == "student"} == {3}
    assert asked(longer) == [0] * 9
