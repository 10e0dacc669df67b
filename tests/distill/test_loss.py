from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from flambe_distill.loss import DistillationLoss, soft_divergence

B, C, T, ALPHA = 3, 5, 7.0, 0.75


@pytest.fixture
def scores() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A student's scores, a teacher's, and labels."""
    torch.manual_seed(0)
    return torch.randn(B, C, requires_grad=True), 3 * torch.randn(B, C), torch.tensor([4, 0, 2])


def softened(row: list[float], temperature: float) -> list[float]:
    """By hand: exp(x / T) over its sum."""
    powers = [math.exp(x / temperature) for x in row]
    return [power / sum(powers) for power in powers]


def by_hand(student: list[list[float]], teacher: list[list[float]], labels: list[int]) -> float:
    total = 0.0
    for ours, theirs, label in zip(student, teacher, labels, strict=True):
        p, q = softened(theirs, T), softened(ours, T)
        kl = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
        nll = -math.log(softened(ours, 1.0)[label])
        total += (1 - ALPHA) * nll + ALPHA * T * T * kl
    return total / len(labels)


def test_the_loss_is_that_of_the_formula(
    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    student, teacher, labels = scores
    loss = DistillationLoss(nn.NLLLoss(), ALPHA, T)(torch.log_softmax(student, 1), teacher, labels)
    assert loss.item() == pytest.approx(by_hand(*(each.tolist() for each in scores)), rel=1e-5)


def test_the_gradient_is_that_of_the_formula(
    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    """Of a score: ((1 - a) (softmax(z) - onehot) + a T (softmax(z / T) - softmax(v / T))) / B."""
    student, teacher, labels = scores
    DistillationLoss(nn.NLLLoss(), ALPHA, T)(torch.log_softmax(student, 1), teacher, labels).backward()
    hard = torch.softmax(student, 1) - nn.functional.one_hot(labels, C)
    soft = torch.softmax(student / T, 1) - torch.softmax(teacher / T, 1)
    torch.testing.assert_close(student.grad, (((1 - ALPHA) * hard + ALPHA * T * soft) / B).detach())


@pytest.mark.parametrize("of_student", [True, False])
@pytest.mark.parametrize("of_teacher", [True, False])
def test_log_probabilities_and_scores_give_the_same(
    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor], of_student: bool, of_teacher: bool
) -> None:
    student, teacher, _ = scores
    ours = torch.log_softmax(student, 1) if of_student else student
    theirs = torch.log_softmax(teacher, 1) if of_teacher else teacher
    torch.testing.assert_close(soft_divergence(ours, theirs, T), soft_divergence(student, teacher, T))


def test_a_student_that_says_what_the_teacher_says_has_no_divergence() -> None:
    scores = torch.randn(B, C)
    assert soft_divergence(scores, scores + 3, T).item() == pytest.approx(0, abs=1e-5)


def test_no_gradient_flows_into_the_teacher() -> None:
    student, teacher = torch.randn(B, C, requires_grad=True), torch.randn(B, C, requires_grad=True)
    soft_divergence(student, teacher, T).backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize(("alpha", "share"), [(0.0, "labels"), (1.0, "teacher")])
def test_at_the_ends_only_one_counts(
    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor], alpha: float, share: str
) -> None:
    student, teacher, labels = scores
    student = torch.log_softmax(student, 1)
    expected = nn.NLLLoss()(student, labels) if share == "labels" else soft_divergence(student, teacher, T)
    torch.testing.assert_close(DistillationLoss(nn.NLLLoss(), alpha, T)(student, teacher, labels), expected)


def test_rows_without_a_label_count_for_the_divergence_alone(
    scores: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    student, teacher, labels = scores
    student = torch.log_softmax(student, 1)
    loss = DistillationLoss(nn.NLLLoss(), ALPHA, T)
    expected = (1 - ALPHA) * nn.NLLLoss()(student[:2], labels[:2]) + ALPHA * soft_divergence(
        student, teacher, T
    )
    torch.testing.assert_close(loss(student, teacher, labels[:2]), expected)
    ignored = torch.tensor([4, 0, -100])
    torch.testing.assert_close(loss(student, teacher, ignored), expected)


def test_a_batch_whose_labels_are_all_ignored_is_a_number() -> None:
    student = torch.randn(B, C, requires_grad=True)
    teacher, labels = torch.randn(B, C), torch.full((B,), -100)
    loss = DistillationLoss(nn.NLLLoss(), ALPHA, T)(torch.log_softmax(student, 1), teacher, labels)
    loss.backward()
    torch.testing.assert_close(loss, ALPHA * soft_divergence(student, teacher, T))
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_student_and_teacher_must_know_the_same_classes() -> None:
    message = r"the student's scores \(3, 5\) and the teacher's \(3, 4\) differ"
    with pytest.raises(ValueError, match=message):
        soft_divergence(torch.zeros(3, 5), torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("alpha", "temperature", "message"),
    [(1.5, 1, "alpha_kl must be from 0 to 1, not 1.5"), (0.5, 0, "temperature must be above 0, not 0")],
)
def test_shares_and_temperatures_that_mean_nothing_are_refused(
    alpha: float, temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DistillationLoss(nn.NLLLoss(), alpha, temperature)


@pytest.mark.parametrize("value", [True, False, "1", None, float("nan"), -0.1, 1.5])
def test_the_share_of_the_teacher_is_a_number_from_0_to_1(value: object) -> None:
    with pytest.raises(ValueError, match=f"^alpha_kl must be from 0 to 1, not {value}$"):
        DistillationLoss(nn.NLLLoss(), alpha_kl=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), 0, -1])
def test_the_temperature_is_a_number_above_0(value: object) -> None:
    with pytest.raises(ValueError, match=f"^temperature must be above 0, not {value}$"):
        DistillationLoss(nn.NLLLoss(), temperature=value)  # type: ignore[arg-type]
