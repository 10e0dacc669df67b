"""Metrics: what a `Trainer` and an `Evaluator` measure, over torchmetrics.

A `Metric` is made without knowing the task: the first batch of a pass shows how many classes there are.
Predictions are scores, probabilities or log-probabilities; targets are classes:

- (N, C) and (N,): one of C classes; also (B, T, C) and (B, T), a class for each token;
- (N,) and (N,): two classes, the score is that of class 1;
- (N, L) and (N, L): each of L labels holds or not.

Any metric of torchmetrics, and any function of predictions and target, serves too (`metric_of`).
"""

from flambe_torch.metrics.binary import BinaryAccuracy, BinaryF1, BinaryMetric, BinaryPrecision, BinaryRecall
from flambe_torch.metrics.classification import AUC, F1, Accuracy, MultiClassAUC, Precision, Recall
from flambe_torch.metrics.language import BPC, Perplexity
from flambe_torch.metrics.metric import (
    MeanOf,
    Metric,
    TorchMetric,
    metric_of,
    metrics_beside,
    metrics_of,
)

__all__ = [
    "AUC",
    "BPC",
    "F1",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryF1",
    "BinaryMetric",
    "BinaryPrecision",
    "BinaryRecall",
    "MeanOf",
    "Metric",
    "MultiClassAUC",
    "Perplexity",
    "Precision",
    "Recall",
    "TorchMetric",
    "metric_of",
    "metrics_beside",
    "metrics_of",
]
