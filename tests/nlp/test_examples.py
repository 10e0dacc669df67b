from __future__ import annotations

import json
from pathlib import Path

import pytest

import flambe
from flambe.check import check
from flambe.experiment.experiment import Experiment
from flambe.experiment.session import Outcome
from flambe.language.overrides import apply_overrides
from flambe.language.read import Document, read_file
from flambe.registry.registry import Registry
from flambe_nlp.classification import TextPredictor

EXAMPLES = Path(__file__).parents[2] / "examples"


def document(name: str, *overrides: str) -> Document:
    return apply_overrides(read_file(str(EXAMPLES / name)), overrides)


def run(folder: Path, *overrides: str) -> Outcome:
    config = document("questions.yaml", f"save_path={json.dumps(str(folder))}", *overrides)
    return Experiment.from_document(config).run()


def metric(outcome: Outcome, stage: str) -> float:
    (found,) = [record.metric for key, record in outcome.records.items() if key.stage == stage]
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["questions.yaml", "trec.yaml"])
def test_examples_have_no_problems(name: str) -> None:
    config = document(name)
    assert [str(problem) for problem in check(config, Registry.load().with_header(config.header))] == []


def test_questions_example_runs_from_data_to_raw_text(tmp_path: Path) -> None:
    outcome = run(tmp_path, "train.max_steps=3", "train.iter_per_step=30", "num_samples=1")
    assert outcome.exit_code == 0
    trained = {key.variant: record for key, record in outcome.records.items() if key.stage == "train"}
    assert sorted((record.status, record.step) for record in trained.values()) == [
        ("done", 3),
        ("pruned", 1),
        ("pruned", 1),
    ]
    (best,) = outcome.chosen["train"]
    assert trained[best].status == "done"
    assert metric(outcome, "evaluate") > 0.3
    predictor = flambe.load(str(Path(outcome.folder) / "predictor" / best))
    assert isinstance(predictor, TextPredictor)
    assert predictor("Who painted the ceiling?").label in predictor.processor.labels


@pytest.mark.slow
def test_questions_example_learns(tmp_path: Path) -> None:
    outcome = run(tmp_path, "train.model.encoder.pooling=mean", "train.optimizer.lr=0.005", "num_samples=1")
    assert metric(outcome, "train") > 0.8
    assert metric(outcome, "evaluate") > 0.75
