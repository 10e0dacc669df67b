"""What schedulers spend, and what they find: nine LSTM classifiers on TREC, stopped early and in full.

    FLAMBE_DATA=/path/to/data python benchmarks/schedulers.py            # five seeds: about 15 minutes
    FLAMBE_DATA=/path/to/data python benchmarks/schedulers.py --quick    # one seed, few and short steps

Needs `$FLAMBE_DATA/trec/train_5500.label` and `TREC_10.label`; without them it says so and ends.

Nine variants (three hidden sizes, three learning rates) of one classifier, with the same seeds in all three
ways: `!tune.HyperBandScheduler` as the paper prints it, without arguments; `!tune.ASHAScheduler`, without
arguments too; and every variant to its end. For each seed: the steps of all variants together, the best dev
accuracy, and the test accuracy of the variant that this chooses. The last lines say whether HyperBand needs
at most 0.4 of the steps for the best that full training finds, on the average of the seeds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from flambe import Experiment
from flambe.language.read import read_text

QUICK = "--quick" in sys.argv[1:]
SEEDS = 1 if QUICK else 5
MAX_STEPS, BATCHES = (9, 20) if QUICK else (27, 60)
MOST = 0.4
SLACK = 0.005
"""How much worse the mean of the best dev accuracies may be to count as the same."""

PIPELINE = f"""
pipeline:
  data: !cl.TCProcessor
    dataset: !cl.TrecDataset
    text_field: !TextField {{min_freq: 2}}
  train: !Trainer
    train_sampler: !BaseSampler {{data: !@ data.train, batch_size: 32, bucket_by_length: true}}
    dev_sampler: !BaseSampler {{data: !@ data.dev, batch_size: 512}}
    model: !cl.TextClassifier
      embedding: !EmbeddingEncoder {{input_size: !@ data.vocab_size, embedding_size: 100, dropout: 0.3}}
      encoder: !RNNEncoder
        input_size: !@ train.model.embedding.output_size
        rnn_type: lstm
        hidden_size: !g [64, 96, 128]
        pooling: last
      decoder: !SoftmaxDecoder
        input_size: !@ train.model.encoder.output_size
        output_size: !@ data.n_labels
      dropout: 0.3
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {{params: !@ train.model.params, lr: !g [0.0003, 0.001, 0.003]}}
    max_steps: {MAX_STEPS}
    iter_per_step: {BATCHES}
  evaluate: !Evaluator
    model: !@ train.model
    metric_fn: !Accuracy
    eval_sampler: !BaseSampler {{data: !@ data.test, batch_size: 512}}
reduce: {{train: 1}}
"""

FULL, HYPERBAND = "in full", "HyperBand"
WAYS: Mapping[str, str] = {
    FULL: "",
    HYPERBAND: "schedulers: {train: !tune.HyperBandScheduler }\n",
    "ASHA": "schedulers: {train: !tune.ASHAScheduler }\n",
}


@dataclass(frozen=True)
class Figures:
    steps: float
    dev: float
    test: float
    seconds: float


def run(way: str, seed: int) -> Figures:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        text = f"name: schedulers\nsave_path: {folder}\nseed: {seed}\n{WAYS[way]}{PIPELINE}"
        outcome = Experiment.from_document(read_text(text, "schedulers.yaml")).run(backend="ray")
    assert outcome.exit_code == 0
    records = outcome.records.items()
    (best,) = outcome.chosen["train"]
    dev = next(record.metric for key, record in records if (key.stage, key.variant) == ("train", best))
    test = next(record.metric for key, record in records if key.stage == "evaluate")
    assert dev is not None
    assert test is not None
    steps = sum(record.step for key, record in records if key.stage == "train")
    return Figures(steps, dev, test, time.perf_counter() - began)


def show(way: str, seed: str, found: Figures) -> None:
    print(
        f"{way:12}{seed:>6}{found.steps:>9.1f}{found.dev:>10.4f}{found.test:>10.4f}{found.seconds:>10.0f}",
        flush=True,
    )


def main() -> None:
    from flambe_ray.session import Session

    if not Path(os.environ.get("FLAMBE_DATA", ""), "trec", "train_5500.label").is_file():
        print("skipped: FLAMBE_DATA names no folder with trec/train_5500.label")
        return
    session = Session({"cpu": 2})
    print(f"{'':12}{'seed':>6}{'steps':>9}{'best dev':>10}{'its test':>10}{'seconds':>10}")
    found: dict[str, list[Figures]] = {way: [] for way in WAYS}
    for seed in range(SEEDS):
        for way in WAYS:
            found[way].append(run(way, seed))
            show(way, str(seed), found[way][-1])
    session.close()
    means = {
        way: Figures(*(mean(getattr(each, name) for each in all_) for name in Figures.__dataclass_fields__))
        for way, all_ in found.items()
    }
    for way, figures in means.items():
        show(way, "mean", figures)
    share = means[HYPERBAND].steps / means[FULL].steps
    lost = means[FULL].dev - means[HYPERBAND].dev
    verdict = "yes" if share <= MOST and lost <= SLACK else "no"
    print(f"HyperBand: {share:.2f} of the steps (at most {MOST}), best dev {-lost:+.4f}: {verdict}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
