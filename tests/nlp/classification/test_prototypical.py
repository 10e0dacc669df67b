from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flambe import Experiment
from flambe.language.read import read_text
from flambe_nlp.classification import (
    PrototypicalTextClassifier,
    QuestionsDataset,
    TCProcessor,
    TextPredictor,
)
from flambe_torch.nn import Embedder, EmbeddingEncoder, HyperbolicDistance

Q, S, C, E = 3, 5, 2, 4
QUERY = torch.tensor([[4, 2, 1], [8, 0, 0], [9, 9, 0]])
SUPPORT = torch.tensor([[1, 3], [2, 0], [3, 4], [5, 0], [7, 7]])
CLASSES = torch.tensor([0, 1, 1, 0, 1])


def model(**options: object) -> PrototypicalTextClassifier:
    return PrototypicalTextClassifier(Embedder(EmbeddingEncoder(11, E), pooling="mean"), **options)  # type: ignore[arg-type]


def test_classes_are_told_by_their_nearest_mean() -> None:
    made = model()
    vectors, examples = made.embedder(QUERY), made.embedder(SUPPORT)
    prototypes = [(examples[0] + examples[3]) / 2, (examples[1] + examples[2] + examples[4]) / 3]
    scores = torch.stack([-((vectors - prototype) ** 2).sum(1) for prototype in prototypes], dim=1)
    expected = scores - scores.exp().sum(1, keepdim=True).log()
    given = made(QUERY, SUPPORT, CLASSES)
    assert given.shape == (Q, C)
    torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("distance", ["euclidean", "cosine", HyperbolicDistance()])
def test_a_text_is_of_the_class_whose_only_example_it_is(distance: object) -> None:
    predicted = model(distance=distance)(QUERY, QUERY, torch.tensor([2, 0, 3])).argmax(1)
    assert predicted.tolist() == [2, 0, 3]


def test_a_class_without_examples_is_impossible() -> None:
    scores = model()(QUERY, SUPPORT, CLASSES * 2)
    assert scores[:, 1].exp().tolist() == [0, 0, 0]
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(Q))


def test_prototypes_are_trained_through_unless_detached() -> None:
    def gradient(*, detach_mean: bool) -> torch.Tensor:
        torch.manual_seed(0)
        made = model(detach_mean=detach_mean)
        made(QUERY, SUPPORT, CLASSES)[:, 0].sum().backward()
        grad = made.embedder.embedding.embedding.weight.grad
        assert isinstance(grad, torch.Tensor)
        return grad

    assert gradient(detach_mean=False)[7].any(), "a token of the examples alone"
    assert not gradient(detach_mean=True)[7].any()
    assert gradient(detach_mean=True)[8].any(), "a token of the queries"


def test_an_embedder_without_pooling_is_told() -> None:
    made = PrototypicalTextClassifier(Embedder(EmbeddingEncoder(11, E)))
    with pytest.raises(ValueError, match=r"\(B, H\), but it gave \(5, 2, 4\); does it lack a pooling\?"):
        made(QUERY, SUPPORT, CLASSES)


CONFIG = """
pipeline:
  data: !cl.TCProcessor
    dataset: !cl.QuestionsDataset {}
    text_field: !TextField {min_freq: 2}
  train: !Trainer
    train_sampler: !EpisodicSampler {data: !@ data.train, n_support: 5, n_query: 5, n_episodes: 40}
    dev_sampler: !QuerySampler {data: !@ data.dev, support: !@ data.train, n_support: 20}
    model: !cl.PrototypicalTextClassifier
      embedder: !Embedder
        embedding: !EmbeddingEncoder {input_size: !@ data.vocab_size, embedding_size: 50}
        pooling: mean
      distance: DISTANCE
    loss_fn: !NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ train.model.params, lr: 0.03}
    max_steps: 2
  evaluate: !Evaluator
    model: !@ train.model
    metric_fn: !Accuracy
    eval_sampler: !QuerySampler {data: !@ data.test, support: !@ data.train}
"""


@pytest.mark.parametrize("distance", ["euclidean", "!CosineDistance {}", "hyperbolic"])
def test_questions_are_learned_from_episodes(distance: str, tmp_path: Path) -> None:
    config = CONFIG.replace("DISTANCE", distance)
    document = read_text(f"name: few\nsave_path: {tmp_path}\n{config}")
    outcome = Experiment.from_document(document).run(backend="in-process")
    assert outcome.exit_code == 0
    (metric,) = [record.metric for key, record in outcome.records.items() if key.stage == "evaluate"]
    assert metric is not None
    assert metric > 0.6  # the largest class is a fifth


def test_a_predictor_of_texts_alone_is_refused() -> None:
    made = PrototypicalTextClassifier(Embedder(EmbeddingEncoder(11, E), pooling="mean"))
    with pytest.raises(
        ValueError, match=r"^a PrototypicalTextClassifier needs examples of each class beside a"
    ):
        TextPredictor(made, TCProcessor(QuestionsDataset()))
