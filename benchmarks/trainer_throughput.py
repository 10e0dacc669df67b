"""The Trainer's throughput over a bare PyTorch loop on the same batches, side by side in one process.

    python benchmarks/trainer_throughput.py [--threads 1 2] [--seconds 60]

A 2-layer LSTM (256 units, embedding 300) classifies the questions of TREC in batches of 32; a step is 100 or
10 iterations and one pass over 2 dev batches. The loop and the Trainer take turns, step by step, so that
whatever else the machine does slows both. Printed is the median over the pairs of
`time of the loop / time of the Trainer`: 1 is no cost at all.

TREC is read from `$FLAMBE_DATA/trec`; without it, random questions of similar lengths take its place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from flambe_torch.data import ArrayColumn, PackedColumn, Rows
from flambe_torch.metrics import Accuracy
from flambe_torch.nn import EmbeddingEncoder, Model, RNNEncoder, SoftmaxDecoder
from flambe_torch.samplers import BaseSampler
from flambe_torch.trainer import Trainer

DEV_BATCHES = 2


class Classifier(Model):
    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding = EmbeddingEncoder(words, 300)
        self.encoder = RNNEncoder(300, 256, 2, pooling="last")
        self.decoder = SoftmaxDecoder(256, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(self.embedding(tokens), tokens != 0))


def trec() -> Rows:
    path = Path(os.environ.get("FLAMBE_DATA", "")) / "trec" / "train_5500.label"
    if not path.is_file():
        random = np.random.default_rng(0)
        lengths = np.clip(random.gamma(7.0, 1.45, size=5452).astype(int), 3, 37)
        tokens = [random.integers(1, 8500, size=length).tolist() for length in lengths]
        return Rows({"tokens": PackedColumn.of(tokens), "label": ArrayColumn.of(random.integers(0, 6, 5452))})
    words: dict[str, int] = {}
    labels: dict[str, int] = {}
    texts, targets = [], []
    for line in path.read_text("latin-1").splitlines():
        label, _, text = line.partition(":")
        texts.append([words.setdefault(word, len(words) + 1) for word in text.lower().split()[1:]])
        targets.append(labels.setdefault(label, len(labels)))
    return Rows({"tokens": PackedColumn.of(texts), "label": ArrayColumn.of(targets)})


def model_for(rows: Rows) -> tuple[Model, torch.optim.Optimizer]:
    torch.manual_seed(0)
    tokens, labels = rows.columns.values()
    assert isinstance(tokens, PackedColumn)
    assert isinstance(labels, ArrayColumn)
    model = Classifier(int(tokens.values.max()) + 1, int(labels.values.max()) + 1)
    return model, torch.optim.Adam(model.parameters())


def bare_loop(rows: Rows, iterations: int, bucket: bool) -> Iterator[float]:
    """The dev accuracy of each step, in plain PyTorch."""
    model, optimizer = model_for(rows)
    loss_fn = nn.NLLLoss()
    stream = BaseSampler(rows, 32, seed=0, bucket_by_length=bucket).stream()
    dev = BaseSampler(rows[: 32 * DEV_BATCHES], 32)
    while True:
        model.train()
        for _ in range(iterations):
            tokens, target = next(stream)
            optimizer.zero_grad()
            loss_fn(model(tokens), target).backward()
            optimizer.step()
        model.eval()
        right = count = 0
        with torch.no_grad():
            for tokens, target in dev:
                right += int((model(tokens).argmax(1) == target).sum())
                count += len(target)
        yield right / count


def our_trainer(rows: Rows, iterations: int, bucket: bool) -> Iterator[float]:
    model, optimizer = model_for(rows)
    trainer = Trainer(
        BaseSampler(rows, 32, seed=0, bucket_by_length=bucket),
        BaseSampler(rows[: 32 * DEV_BATCHES], 32),
        model,
        nn.NLLLoss(),
        Accuracy(),
        optimizer=optimizer,
        max_steps=10**9,
        iter_per_step=iterations,
        accelerator="cpu",
    )
    try:
        while trainer.step():
            yield trainer.metric() or 0.0
    finally:
        trainer.close()


def timed(steps: Iterator[float]) -> Callable[[], tuple[float, float]]:
    def step() -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        next(steps)
        return time.perf_counter() - wall, time.process_time() - cpu

    step()  # the first one warms up
    return step


def compare(rows: Rows, iterations: int, bucket: bool, seconds: float) -> list[tuple[float, float]]:
    """(wall, CPU) ratios of the loop over the Trainer, one for each pair of steps."""
    loop, trainer = bare_loop(rows, iterations, bucket), our_trainer(rows, iterations, bucket)
    steps = [timed(loop), timed(trainer)]
    ratios: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(ratios) < 3 or time.perf_counter() - began < seconds:
        order = [0, 1] if len(ratios) % 2 else [1, 0]
        took = {which: steps[which]() for which in order}
        ratios.append((took[0][0] / took[1][0], took[0][1] / took[1][1]))
    trainer.close()  # type: ignore[attr-defined]  # a generator has it
    return ratios


def main() -> None:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all of it")
    options = parser.parse_args()
    rows = trec()
    cases = [(t, n, b) for t in options.threads for n in (100, 10) for b in (False, True)]
    print("threads  iterations  bucketed  wall ratio   cpu ratio   pairs")
    for threads, iterations, bucket in cases:
        torch.set_num_threads(threads)
        ratios = compare(rows, iterations, bucket, options.seconds / len(cases))
        wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
        case = f"{threads:7}  {iterations:10}  {bucket!s:8}"
        print(f"{case}  {wall:10.3f}  {cpu:10.3f}  {len(ratios):6}", flush=True)
    speedup(rows, options.threads[0])


def speedup(rows: Rows, threads: int) -> None:
    """How much faster 100 iterations are with buckets than without."""
    torch.set_num_threads(threads)
    plain, bucketed = (timed(bare_loop(rows, 100, bucket)) for bucket in (False, True))
    ratios = [plain()[1] / bucketed()[1] for _ in range(3)]
    print(f"bucketing: {statistics.median(ratios):.2f} times as fast")


if __name__ == "__main__":
    main()
