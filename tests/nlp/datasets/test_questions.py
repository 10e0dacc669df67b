from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
import torch

from flambe_nlp.datasets import QuestionsDataset
from flambe_nlp.datasets.dataset import said

PARTS = ("train", "dev", "test")
PAIRS = list(combinations(PARTS, 2))
COARSE = {"ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"}
SMALL_WORDS = {"of", "the", "and", "in", "a", "an", "de", "la", "to", "for", "with", "at", "on"}
FOLDER = files("flambe_nlp") / "data" / "questions"


def texts(part: str) -> list[str]:
    return [text for text, _ in getattr(QuestionsDataset(), part)]


def form(text: str) -> str:
    """The question with names and numbers blanked: runs of capitalized words after the first word."""
    blanked: list[str] = []
    small: list[str] = []
    for place, word in enumerate(re.findall(r"[\w.'-]+", text)):
        word = "0" if re.search(r"\d", word) else word.strip(".")
        if place and word[:1].isupper():
            if not blanked or blanked[-1] != "X":
                blanked += [*small, "X"]
            small = []
        elif blanked[-1:] == ["X"] and word in SMALL_WORDS:
            small.append(word)
        else:
            blanked += [*small, word.lower()]
            small = []
    return " ".join(blanked + small)


def test_each_part_is_of_the_size_that_the_readme_says() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for part in PARTS:
        counts = Counter(label for _, label in getattr(QuestionsDataset(), part))
        numbers = [sum(counts.values()), *(counts[label] for label in sorted(COARSE))]
        assert f"| `{part}.label` | " + " | ".join(f"{number:,}" for number in numbers) + " |" in readme


def test_there_are_at_least_1500_distinct_questions() -> None:
    every = [said(text) for part in PARTS for text in texts(part)]
    assert len(every) == len(set(every))
    assert len(every) >= 1500


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_parts_share_no_question(one: str, other: str) -> None:
    assert {said(text) for text in texts(one)} & {said(text) for text in texts(other)} == set()


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_parts_share_no_phrasing_that_differs_in_names_only(one: str, other: str) -> None:
    shared = {form(text) for text in texts(one)} & {form(text) for text in texts(other)}
    assert {text for text in shared if {"X", "0"} & set(text.split())} == set()


@pytest.mark.parametrize("part", PARTS)
def test_lines_are_plain_trec_lines(part: str) -> None:
    content = (FOLDER / f"{part}.label").read_bytes().decode("ascii")
    assert content.endswith("\n")
    for line in content.removesuffix("\n").split("\n"):
        assert re.fullmatch(r"(ABBR|DESC|ENTY|HUM|LOC|NUM):[a-z]+ [A-Z](\S+ )+\S+[?.]", line), line


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_all_coarse_classes_and_none_rules(part: str) -> None:
    counts = Counter(label for _, label in getattr(QuestionsDataset(), part))
    assert set(counts) == COARSE
    assert max(counts.values()) < 0.3 * sum(counts.values())


def test_fine_labels_of_dev_and_test_are_all_in_train() -> None:
    fine = QuestionsDataset(labels="fine")
    known = {label for _, label in fine.train}
    assert {label for _, label in [*fine.dev, *fine.test]} <= known
    assert {label.partition(":")[0] for label in known} == COARSE


def bag_of_words(rows: list[list[str]], words: dict[str, int]) -> torch.Tensor:
    bags = np.zeros((len(rows), len(words)), dtype=np.float32)
    for row, tokens in enumerate(rows):
        bags[row, [words[token] for token in tokens if token in words]] = 1
    return torch.from_numpy(bags)


def test_a_linear_bag_of_words_learns_much_but_not_all() -> None:
    def split(part: str) -> list[list[str]]:
        return [re.findall(r"\w+|[^\w\s]", text.lower()) for text in texts(part)]

    def targets(part: str) -> torch.Tensor:
        order = sorted(COARSE)
        return torch.tensor([order.index(label) for _, label in getattr(QuestionsDataset(), part)])

    train = split("train")
    words = {word: index for index, word in enumerate(sorted({w for tokens in train for w in tokens}))}
    inputs, target = bag_of_words(train, words), targets("train")
    torch.manual_seed(0)
    linear = torch.nn.Linear(len(words), len(COARSE))
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(linear(inputs), target) + 1e-4 * linear.weight.square().sum()
        loss.backward()
        optimizer.step()
    right = linear(bag_of_words(split("test"), words)).argmax(dim=1) == targets("test")
    assert 0.7 < right.float().mean().item() < 0.95
