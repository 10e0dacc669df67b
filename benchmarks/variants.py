"""100,000 variants of a config the size of the paper's Figure 1: seconds, bytes, and against deep copies.

Seconds are those of the processor, so that a busy machine says the same; an idle one takes as long.

    python benchmarks/variants.py

Side by side in one run, the naive way is measured on fewer variants: `itertools.product` over the
options, and for each combination a deep copy of the config as plain dicts with the values put in.
"""

from __future__ import annotations

import copy
import gc
import itertools
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from flambe.experiment.plan import Plan
from flambe.language.nodes import Mapping, Node
from flambe.language.read import read_text
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant

CONFIG = """
stage0: !cl.TCProcessor
  dataset: !cl.TrecDataset
stage1: !Trainer
  train_sampler: !BaseSampler
    data: !@ stage0.train
    batch_size: !g [8, 16, 24, 32, 48, 64, 96, 128, 192, 256]
  dev_sampler: !BaseSampler
    data: !@ stage0.dev
  model: !cl.TextClassifier
    embedding: !EmbeddingEncoder
      input_size: !@ stage0.vocab_size
      embedding_size: 300
    encoder: !RNNEncoder
      input_size: 300
      rnn_type: lstm
      n_layers: !g [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
      dropout: !g [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
      hidden_size: !g [32, 64, 96, 128, 160, 192, 224, 256, 384, 512]
      pooling: last
    decoder: !SoftmaxDecoder
      input_size: 256
      output_size: !@ stage0.n_labels
  loss_fn: !NLLLoss
  metric_fn: !Accuracy
  optimizer: !torch.Adam
    params: !@ stage1.model.params
    lr: !g [0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001]
  max_steps: 100
  iter_per_step: 10
stage2: !Evaluator
  model: !@ stage1.model
  metric_fn: !Accuracy
  eval_sampler: !BaseSampler
    data: !@ stage0.test
    batch_size: 512
"""
GRIDS = [
    ("train_sampler", "batch_size"),
    ("model", "encoder", "n_layers"),
    ("model", "encoder", "dropout"),
    ("model", "encoder", "hidden_size"),
    ("optimizer", "lr"),
]
NAIVE_COUNT = 5_000
REPEATS = 3


def main() -> None:
    root = read_text(CONFIG).root
    assert isinstance(root, Mapping)
    pipeline = {str(entry.key): entry.value for entry in root.entries}
    count, space, some = len(trained(pipeline)), spaces(pipeline)[1], trained(pipeline)[:NAIVE_COUNT]
    print(f"{'best of 3':34}{'variants':>9} {'CPU s':>8} {'µs each':>8} {'bytes each':>11}")
    ours = report("expand stage1", count, lambda: trained(pipeline))
    report("expand stage1 and stage2", 2 * count, lambda: evaluated(pipeline))
    report("resolve (one node for one trial)", NAIVE_COUNT, lambda: [space.resolve(one) for one in some])
    report("plan as text", 2 * count, lambda: [Plan.of(pipeline, seed=1).text()])
    naive = report("naive: product and deepcopy", NAIVE_COUNT, deep_copies)
    print(
        f"\nnaive over expanding: {naive[0] / ours[0]:.1f} times the time, "
        f"{naive[1] / ours[1]:.1f} times the memory"
    )


def report(name: str, count: int, make: Callable[[], list[Any]]) -> tuple[float, float]:
    """Prints and returns seconds and bytes for one variant."""
    seconds, size = best_seconds(make) / count, held_bytes(make) / count
    print(f"{name:34}{count:9,} {seconds * count:8.3f} {seconds * 1e6:8.1f} {size:11.0f}")
    return seconds, size


def best_seconds(make: Callable[[], list[Any]]) -> float:
    seconds = []
    for _ in range(REPEATS):
        gc.collect()
        start = time.process_time()
        made = make()
        seconds.append(time.process_time() - start)
        del made
    return min(seconds)


def held_bytes(make: Callable[[], list[Any]]) -> int:
    """The bytes that the result holds."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del made
    return size


def spaces(pipeline: dict[str, Node]) -> list[StageSpace]:
    names = list(pipeline)
    return [
        StageSpace(name, node, stages=names[:number], seed=1, num_samples=1)
        for number, (name, node) in enumerate(pipeline.items())
    ]


def trained(pipeline: dict[str, Node]) -> list[Variant]:
    data, train, _ = spaces(pipeline)
    return list(train.expand({"stage0": list(data.expand({}))}))


def evaluated(pipeline: dict[str, Node]) -> list[list[Variant]]:
    data, train, evaluation = spaces(pipeline)
    upstream = {"stage0": list(data.expand({}))}
    upstream["stage1"] = list(train.expand(upstream))
    return [upstream["stage1"], list(evaluation.expand(upstream))]


def deep_copies() -> list[dict[str, Any]]:
    config: dict[str, Any] = {
        "train_sampler": {"class": "BaseSampler", "data": {"link": "stage0.train"}, "batch_size": None},
        "dev_sampler": {"class": "BaseSampler", "data": {"link": "stage0.dev"}},
        "model": {
            "class": "TextClassifier",
            "embedding": {
                "class": "EmbeddingEncoder",
                "input_size": {"link": "stage0.vocab_size"},
                "embedding_size": 300,
            },
            "encoder": {"class": "RNNEncoder", "input_size": 300, "rnn_type": "lstm", "pooling": "last"},
            "decoder": {
                "class": "SoftmaxDecoder",
                "input_size": 256,
                "output_size": {"link": "stage0.n_labels"},
            },
        },
        "loss_fn": {"class": "NLLLoss"},
        "metric_fn": {"class": "Accuracy"},
        "optimizer": {"class": "Adam", "params": {"link": "stage1.model.params"}, "lr": None},
        "max_steps": 100,
        "iter_per_step": 10,
    }
    made = []
    for values in itertools.islice(itertools.product(*[range(10)] * len(GRIDS)), NAIVE_COUNT):
        copied = copy.deepcopy(config)
        for (*path, last), value in zip(GRIDS, values, strict=True):
            inside = copied
            for key in path:
                inside = inside[key]
            inside[last] = value
        made.append(copied)
    return made


if __name__ == "__main__":
    main()
