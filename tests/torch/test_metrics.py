from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st

from flambe_torch.losses import MultiLabelCrossEntropy, MultiLabelNLLLoss
from flambe_torch.metrics import (
    AUC,
    BPC,
    F1,
    Accuracy,
    BinaryAccuracy,
    BinaryF1,
    BinaryPrecision,
    BinaryRecall,
    MultiClassAUC,
    Perplexity,
    Precision,
    Recall,
    metric_of,
    metrics_of,
)

N, C, T = 7, 3, 4


def scores(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def counts(predicted: list[int], target: list[int], label: int) -> tuple[int, int, int]:
    """Right, wrong and missed rows of one class."""
    pairs = list(zip(predicted, target, strict=True))
    right = sum(p == label == t for p, t in pairs)
    return right, sum(p == label != t for p, t in pairs), sum(p != label == t for p, t in pairs)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    target=st.lists(st.integers(0, C - 1), min_size=N, max_size=N),
    cut=st.integers(1, N - 1),
)
def test_multiclass_metrics_agree_with_counting_by_hand(seed: int, target: list[int], cut: int) -> None:
    predictions, truth = scores(seed, N, C), torch.tensor(target)
    predicted = predictions.argmax(1).tolist()
    by_class = [counts(predicted, target, label) for label in range(C)]
    seen = [(r, w, m) for r, w, m in by_class if r + w + m]
    expected = {
        Accuracy: sum(p == t for p, t in zip(predicted, target, strict=True)) / N,
        Precision: np.mean([r / (r + w) if r + w else 0 for r, w, m in seen]),
        Recall: np.mean([r / (r + m) if r + m else 0 for r, w, m in seen]),
        F1: np.mean([2 * r / (2 * r + w + m) for r, w, m in seen]),
    }
    for kind, value in expected.items():
        metric = kind()
        metric.update(predictions[:cut], truth[:cut])
        metric.update(predictions[cut:], truth[cut:])
        assert metric.compute() == pytest.approx(value, abs=1e-6), kind.__name__


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    predictions, target = torch.tensor([0.1, 0.4, 0.35, 0.8, 0.7]), torch.tensor([0, 0, 1, 1, 0])
    pairs = [(p, n) for p in predictions[target == 1] for n in predictions[target == 0]]
    auc = AUC()
    auc.update(predictions, target)
    assert auc.compute() == pytest.approx(sum(float(p > n) for p, n in pairs) / len(pairs))


def test_the_task_is_seen_in_the_first_batch() -> None:
    binary, multilabel, tokens = Accuracy(), Accuracy(), Accuracy(ignore_index=0)
    binary.update(torch.tensor([0.9, 0.2, 0.6]), torch.tensor([1, 0, 0]))
    assert binary.compute() == pytest.approx(2 / 3)
    multilabel.update(torch.tensor([[0.9, 0.2], [0.1, 0.8]]), torch.tensor([[1, 0], [1, 1]]))
    assert multilabel.compute() == pytest.approx(3 / 4)
    predictions = scores(0, N, T, C)  # (B, T, C)
    target = predictions.argmax(-1)
    expected = float((target[target != 0] == target[target != 0]).float().mean())
    tokens.update(predictions, target)
    assert tokens.compute() == expected == 1.0
    classes = Accuracy(num_classes=C)
    classes.update(torch.tensor([2, 1, 0]), torch.tensor([2, 1, 1]))
    assert classes.compute() == pytest.approx(2 / 3)
    best_two = Accuracy(top_k=2)
    best_two.update(torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), torch.tensor([1, 2]))
    assert best_two.compute() == 0.5


def test_a_pass_begins_anew_after_reset() -> None:
    metric = Accuracy()
    metric.update(scores(0, N, C), torch.zeros(N, dtype=torch.long))
    metric.reset()
    metric.update(torch.eye(2), torch.tensor([0, 1]))
    assert metric.compute() == 1.0


def test_perplexity_and_bits_per_character_weigh_tokens_alike() -> None:
    predictions, target = (
        scores(1, N, T, C),
        torch.randint(0, C, (N, T), generator=torch.Generator().manual_seed(2)),
    )
    target[0, 1:] = -100
    kept = [(i, j) for i in range(N) for j in range(T) if target[i, j] >= 0]
    surprise = -sum(float(predictions[i, j, target[i, j]]) for i, j in kept) / len(kept)
    for metric, expected in [(Perplexity(), math.exp(surprise)), (BPC(), surprise / math.log(2))]:
        metric.update(predictions[:1], target[:1])
        metric.update(predictions[1:], target[1:])
        assert metric.compute() == pytest.approx(expected, rel=1e-5)
        assert metric.lower_is_better


def test_surprise_is_summed_exactly_in_low_precision() -> None:
    predictions, target = scores(3, 400, C).bfloat16(), torch.arange(400) % C
    rows = predictions.double().log_softmax(dim=1)
    expected = -rows[torch.arange(400), target].mean().item()
    metric = BPC()
    metric.update(predictions, target)
    assert metric.compute() == pytest.approx(expected / math.log(2), rel=1e-5)


def test_names_and_directions() -> None:
    assert BinaryF1().name == "binary_f1"
    named = metrics_of([Accuracy(), F1(), AUC(), BPC(), torchmetrics.MeanSquaredError(), torch.nn.NLLLoss()])
    assert {name: metric.lower_is_better for name, metric in named.items()} == {
        "accuracy": False,
        "f1": False,
        "auc": False,
        "bpc": True,
        "mean_squared_error": True,
        "nllloss": True,
    }
    assert list(metrics_of({"mine": Accuracy()})) == ["mine"]
    with pytest.raises(
        ValueError, match="two metrics are called 'accuracy'; give them as a mapping of names"
    ):
        metrics_of([Accuracy(), Accuracy()])


def test_numbers_of_rows_count_once_each_however_batches_are_cut() -> None:
    predictions, target = torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1])
    for cuts in ([4], [3, 1], [1, 1, 2]):
        metric = metric_of(lambda predictions, target: (predictions == target).float())
        for part in zip(predictions.split(cuts), target.split(cuts), strict=True):
            metric.update(*part)
        assert metric.compute() == 0.75


@pytest.mark.parametrize("metric", [Perplexity(), BPC(), metric_of(torch.nn.MSELoss())])
def test_a_metric_of_nothing_is_no_number(metric: Any) -> None:
    with pytest.raises(ValueError, match=f"^{metric.name} has seen no batch$"):
        metric.compute()


def test_functions_are_averaged_over_rows() -> None:
    metric = metric_of(lambda predictions, target: (predictions == target).float().mean())
    metric.update(torch.tensor([1, 1, 1]), torch.tensor([1, 1, 1]))
    metric.update(torch.tensor([0]), torch.tensor([1]))
    assert metric.compute() == 0.75


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match=r"predictions \(7, 3\) and target \(4,\) do not fit: expected"):
        Accuracy().update(scores(0, N, C), torch.zeros(T, dtype=torch.long))
    with pytest.raises(ValueError, match="predictions are classes, not scores: give the metric num_classes"):
        Accuracy().update(torch.tensor([1]), torch.tensor([1]))
    with pytest.raises(
        ValueError,
        match=r"AUC with max_fpr needs scores \(N,\) of two classes or average: micro, not 3 columns",
    ):
        AUC(max_fpr=0.5).update(scores(0, N, C), torch.zeros(N, dtype=torch.long))
    with pytest.raises(ValueError, match="accuracy has seen no batch"):
        Accuracy().compute()
    with pytest.raises(TypeError, match="a metric is needed, but 'accuracy' is a str"):
        metric_of("accuracy")


def test_metrics_can_be_copied_and_pickled() -> None:
    metric = Accuracy()
    metric.update(torch.eye(2), torch.tensor([0, 0]))
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert twin.compute() == 0.5


def test_auc_of_pairs_takes_all_classes_together() -> None:
    predictions, target = scores(3, N, C), torch.tensor([0, 1, 2, 2, 1, 0, 0])
    probabilities = predictions.exp()
    right = [float(probabilities[n, c]) for n in range(N) for c in range(C) if target[n] == c]
    wrong = [float(probabilities[n, c]) for n in range(N) for c in range(C) if target[n] != c]
    expected = sum(r > w for r in right for w in wrong) / (len(right) * len(wrong))
    for metric in (MultiClassAUC(), AUC("micro"), AUC("micro", ignore_index=-100)):
        metric.update(predictions[:4], target[:4])
        metric.update(predictions[4:], target[4:])
        assert metric.compute() == pytest.approx(expected)
    up_to = MultiClassAUC(max_fpr=0.5)
    up_to.update(predictions, target)
    assert 0 <= up_to.compute() <= 1
    labels = AUC("micro")
    labels.update(torch.tensor([[0.9, 0.2], [0.1, 0.3]]), torch.tensor([[1, 0], [0, 1]]))
    assert labels.compute() == 1.0


def test_recall_may_look_at_the_best_few() -> None:
    predictions = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
    target = torch.tensor([1, 2, 2, 0])
    for average, expected in [("micro", 3 / 4), ("macro", (1 + 1 + 1 / 2) / 3)]:
        metric = Recall(average, top_k=2)
        metric.update(predictions, target)
        assert metric.compute() == pytest.approx(expected)


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("both", [False, True], ids=["one score", "two"])
def test_binary_metrics_count_around_their_threshold(positive: int, both: bool) -> None:
    of_class_1 = torch.tensor([0.1, 0.4, 0.35, 0.8, 0.7, 0.55])
    predictions = torch.stack([1 - of_class_1, of_class_1], dim=1).log() if both else of_class_1
    target = torch.tensor([0, 1, 1, 1, 0, 0])
    taken = [positive if (score > 0.6) == bool(positive) else 1 - positive for score in of_class_1.tolist()]
    right, wrong, missed = counts(taken, target.tolist(), positive)
    expected = {
        BinaryAccuracy: sum(t == y for t, y in zip(taken, target.tolist(), strict=True)) / 6,
        BinaryPrecision: right / (right + wrong),
        BinaryRecall: right / (right + missed),
        BinaryF1: 2 * right / (2 * right + wrong + missed),
    }
    for kind, value in expected.items():
        metric = kind(threshold=0.6, positive_label=positive)
        metric.update(predictions[:2], target[:2])
        metric.update(predictions[2:], target[2:])
        assert metric.compute() == pytest.approx(value), kind.__name__
        metric.reset()
        metric.update(predictions[:1], target[:1])
        assert metric.compute() == (1.0 if positive == 0 or kind is BinaryAccuracy else 0.0)
    with pytest.raises(ValueError, match=r"predictions \(3,\) and target \(2,\) do not fit: expected \(N,\)"):
        BinaryRecall().update(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="positive_label must be 0 or 1, but it is 2"):
        BinaryRecall(positive_label=2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_multi_label_losses_are_means_over_the_labels_of_a_row(reduction: Any) -> None:
    raw = torch.randn(N, C, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 1, 0]])
    weight, surprise = np.array([1.0, 2.0, 3.0]), -scores_of(raw)
    for ignored in (None, 1):
        kept = [[label for label in range(C) if row[label] and label != ignored] for row in target.tolist()]
        rows = np.array(
            [sum(weight[i] * surprise[n, i] for i in held) / max(len(held), 1) for n, held in enumerate(kept)]
        )
        expected = {"mean": rows.mean(), "sum": rows.sum(), "none": rows}[reduction]
        options = {"weight": weight.tolist(), "ignore_index": ignored, "reduction": reduction}
        entropy, nll = MultiLabelCrossEntropy(**options), MultiLabelNLLLoss(**options)
        np.testing.assert_allclose(entropy(raw, target).detach(), expected, rtol=1e-5)
        np.testing.assert_allclose(nll(raw.log_softmax(-1), target).detach(), expected, rtol=1e-5)
        entropy(raw, target).sum().backward()
        assert raw.grad is not None
        assert raw.grad.isfinite().all()


def test_multi_label_losses_take_classes_and_zero_probabilities_of_others() -> None:
    raw, target = scores(0, N, C), torch.tensor([0, 1, 2, 2, 1, 0, 0])
    torch.testing.assert_close(
        MultiLabelCrossEntropy()(raw, target), torch.nn.functional.cross_entropy(raw, target)
    )
    sure = torch.tensor([[0.0, float("-inf")]])
    assert MultiLabelNLLLoss()(sure, torch.tensor([[1, 0]])) == 0
    metrics = metrics_of([MultiLabelCrossEntropy(), MultiLabelNLLLoss()])
    assert {name: metric.lower_is_better for name, metric in metrics.items()} == {
        "multi_label_cross_entropy": True,
        "multi_label_nllloss": True,
    }
    with pytest.raises(ValueError, match=r"predictions \(7, 3\) and target \(7, 2\) do not fit"):
        MultiLabelNLLLoss()(raw, torch.zeros(N, 2))
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', but it is 'max'"):
        MultiLabelNLLLoss(reduction="max")  # type: ignore[arg-type]


def scores_of(raw: torch.Tensor) -> np.ndarray:
    exponents = np.exp(raw.detach().numpy())
    logs: np.ndarray = np.log(exponents / exponents.sum(1, keepdims=True))
    return logs
