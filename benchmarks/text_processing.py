"""How long it takes to read questions, to turn them into tables, and to read word vectors.

python benchmarks/text_processing.py

TREC is used where `FLAMBE_DATA` or the cache holds it, else the questions that come with flambe-nlp. The
word vectors are random: 100,000 words of 100 numbers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from flambe_nlp.classification import QuestionsDataset, TCProcessor, TrecDataset
from flambe_nlp.datasets import TextDataset
from flambe_nlp.vectors import WordVectors
from flambe_torch.errors import DataError

T = TypeVar("T")
WORDS, SIZE = 100_000, 100


def timed(what: str, work: Callable[[], T], repeats: int = 5) -> T:
    """What `work` returns; prints its shortest time."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        made = work()
        seconds.append(time.perf_counter() - start)
    print(f"{what:<48}{1000 * min(seconds):8.1f} ms")
    return made


def read(dataset: TextDataset) -> TextDataset:
    _ = dataset.train
    return dataset


def tables(dataset: TextDataset) -> TCProcessor:
    processor = TCProcessor(dataset)
    _ = processor.train, processor.dev, processor.test
    return processor


def write_vectors(path: str, known: list[str]) -> None:
    words = [*known, *(f"word{number}" for number in range(WORDS - len(known)))]
    numbers = np.random.default_rng(0).standard_normal((WORDS, SIZE)).round(4)
    with open(path, "w", encoding="utf-8") as stream:
        for word, row in zip(words, numbers, strict=True):
            stream.write(f"{word} {' '.join(map(str, row))}\n")


def main() -> None:
    kind: type[TextDataset] = TrecDataset
    try:
        read(kind())
    except DataError:
        kind = QuestionsDataset
    dataset = timed(f"read {kind.__name__}", lambda: read(kind()))
    count = len(dataset.train) + len(dataset.dev) + len(dataset.test)
    processor = timed(f"vocabulary and tables of {count:,} questions", lambda: tables(dataset))
    batch = np.random.default_rng(0).permutation(len(processor.train))
    timed(
        "one pass in batches of 32",
        lambda: [processor.train.batch(batch[i : i + 32]) for i in range(0, len(batch), 32)],
    )
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        write_vectors(file.name, [word for word in processor.vocab if " " not in word][:5000])
        timed(
            f"vectors for {len(processor.vocab):,} of {WORDS:,} words",
            lambda: WordVectors(file.name).matrix(processor.vocab),
            2,
        )


if __name__ == "__main__":
    main()
