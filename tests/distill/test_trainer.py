from __future__ import annotations

import copy
import inspect
import itertools
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import flambe
from flambe.errors import CannotChangeError
from flambe.logs import CURRENT, Recorder
from flambe_distill.loss import DistillationLoss
from flambe_distill.trainer import DistillationTrainer
from flambe_distill.views import columns_of
from flambe_torch.data import ArrayColumn, PackedColumn, Rows
from flambe_torch.episodes import QuerySampler
from flambe_torch.metrics import Accuracy
from flambe_torch.nn import EmbeddingEncoder, Model, SoftmaxDecoder
from flambe_torch.samplers import BaseSampler, Sampler
from flambe_torch.trainer import Trainer

R, C, WORDS = 23, 4, 11
ALPHA, T = 0.7, 5.0


class Bag(Model):
    """Mean word vectors to log-probabilities; keeps what it was asked."""

    def __init__(self, size: int, classes: int = C, dropout: float = 0.0, take_log: bool = True) -> None:
        super().__init__()
        self.embedding = EmbeddingEncoder(WORDS, size)
        self.dropout = nn.Dropout(dropout)
        self.decoder = SoftmaxDecoder(size, classes, take_log=take_log)
        self.asked: list[tuple[tuple[int, ...], bool, bool]] = []

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        (tokens,) = inputs
        self.asked.append((tuple(tokens.shape), self.training, torch.is_grad_enabled()))
        mask = (tokens != 0).float()[:, :, None]  # (B, T, 1)
        vectors = (self.embedding(tokens) * mask).sum(1) / mask.sum(1).clamp(min=1)
        scores: torch.Tensor = self.decoder(self.dropout(vectors))
        return scores


def table(count: int = R, seed: int = 1, *, labels: bool = True) -> Rows:
    """Rows of unequal length; the teacher's are longer than the student's, in another order of lengths."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (2, count), generator=random)
    views = [[torch.randint(1, WORDS, (int(n),), generator=random) for n in row] for row in lengths]
    student, teacher = (PackedColumn.of([row.numpy() for row in view]) for view in views)
    target = ArrayColumn.of(torch.randint(0, C, (count,), generator=random))
    return Rows({"student": student, "teacher": teacher, **({"label": target} if labels else {})})


def teacher() -> Bag:
    torch.manual_seed(5)
    return Bag(6, dropout=0.5)


def make(rows: Any = None, *, model: nn.Module | None = None, **changes: Any) -> DistillationTrainer:
    torch.manual_seed(0)
    student = changes.pop("student_model", None) or Bag(3, dropout=0.2)
    given = {
        "loss_fn": nn.NLLLoss(),
        "metric_fn": Accuracy(),
        "optimizer": torch.optim.Adam(student.parameters(), lr=0.05),
        "alpha_kl": ALPHA,
        "temperature": T,
        "max_steps": 3,
        "iter_per_step": 5,
        "accelerator": "cpu",
        **changes,
    }
    train = rows if isinstance(rows, Sampler) else BaseSampler(table() if rows is None else rows, 4, seed=3)
    dev = given.pop("dev_sampler", None) or BaseSampler(table(9, seed=2), 5)
    return DistillationTrainer(train, dev, teacher() if model is None else model, student, **given)


def trained(trainer: DistillationTrainer) -> DistillationTrainer:
    while trainer.step():
        pass
    return trainer


@pytest.fixture(autouse=True)
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    token = CURRENT.set(recorder)
    yield recorder
    CURRENT.reset(token)


def logged(recorder: Recorder, name: str) -> list[float]:
    return [record.value for record in recorder.take() if record.name == name]


def by_hand(student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    p, q = torch.softmax(teacher / T, 1), torch.softmax(student / T, 1)
    kl = (p * (p / q).log()).sum(1).mean()
    return (1 - ALPHA) * nn.functional.nll_loss(student, target) + ALPHA * T**2 * kl


def test_training_is_that_of_a_plain_loop_that_asks_the_teacher_at_each_batch() -> None:
    trainer = trained(make(keep="last"))

    torch.manual_seed(0)
    student, asked = Bag(3, dropout=0.2), teacher().eval()
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    for ours, theirs, target in itertools.islice(BaseSampler(table(), 4, seed=3).stream(), 15):
        with torch.no_grad():
            scores = asked(theirs)
        optimizer.zero_grad()
        by_hand(student(ours), scores, target).backward()
        optimizer.step()
    torch.testing.assert_close(dict(trainer.student_model.state_dict()), dict(student.state_dict()))


def test_the_teacher_is_asked_once_about_each_row_and_left_as_it_was(recorder: Recorder) -> None:
    model = teacher().train()
    before = copy.deepcopy(model.state_dict())
    trained(make(model=model, teacher_batch_size=10))
    assert [shape[0] for shape, _, _ in model.asked] == [10, 10, 3]
    assert {(training, grad) for _, training, grad in model.asked} == {(False, False)}
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.testing.assert_close(dict(model.state_dict()), dict(before))
    assert logged(recorder, "distill/teacher_rows") == [R]


def test_rows_of_like_length_go_through_the_teacher_together() -> None:
    model = teacher()
    trained(make(model=model, teacher_batch_size=8))
    widths = [shape[1] for shape, _, _ in model.asked]
    assert widths == sorted(widths)
    assert widths[0] < 8


def test_the_students_batches_hold_no_token_of_the_teacher() -> None:
    trainer = make()
    trained(trainer)
    asked = trainer.student_model.asked
    assert isinstance(asked, list)
    longest = int(table().columns["student"].lengths.max())
    assert max(shape[1] for shape, _, _ in asked) <= longest


def test_metric_and_dev_loss_are_the_students(recorder: Recorder) -> None:
    dev = table(9, seed=2)
    trainer = make(max_steps=1, dev_sampler=BaseSampler(dev, 9))
    trainer.step()
    student = trainer.student_model.eval()
    tokens, _, target = dev.batch(range(9))
    predictions = student(tokens)
    assert trainer.metric() == pytest.approx(float((predictions.argmax(1) == target).float().mean()))
    expected = nn.functional.nll_loss(predictions, target).item()
    assert logged(recorder, "dev/loss") == pytest.approx([expected])


def test_dev_may_be_a_table_of_the_student_alone() -> None:
    dev = table(9, seed=2)
    alone = Rows({"text": dev.columns["student"], "label": dev.columns["label"]})
    scores = [trained(make(dev_sampler=BaseSampler(rows, 5))).metric() for rows in (dev, alone)]
    assert scores[0] == scores[1]


def test_scores_stay_with_their_rows_where_batches_are_bucketed() -> None:
    model = teacher()
    rows = table()
    trainer = make(BaseSampler(rows, 4, seed=3, bucket_by_length=True, pool_batches=2), model=model)
    trainer.step()
    sampler, _ = trainer.samplers()
    seen = 0
    model.eval()
    expected = {}
    for row in range(R):
        ours, theirs, label = rows.batch([row])
        expected[tuple(ours[0].tolist()), int(label)] = model(theirs)[0]
    for tokens, scores, target in sampler.batches(0, training=True):
        lengths = (tokens != 0).sum(1)
        for row in range(len(target)):
            key = tuple(tokens[row, : lengths[row]].tolist()), int(target[row])
            torch.testing.assert_close(scores[row], expected[key].detach())
            seen += 1
    trainer.close()
    assert seen == R


def test_unlabelled_rows_count_for_the_divergence() -> None:
    more = table(7, seed=8, labels=False)
    model = teacher()
    unlabelled = BaseSampler(more, 3, seed=4)
    trainer = trained(make(model=model, keep="last", unlabelled_sampler=unlabelled))
    assert sum(shape[0] for shape, _, _ in model.asked) == R + 7

    asked = teacher().eval()
    torch.manual_seed(0)
    student = Bag(3, dropout=0.2)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    first, second = BaseSampler(table(), 4, seed=3).stream(), BaseSampler(more, 3, seed=4).stream()
    for (ours, theirs, target), (ours2, theirs2) in itertools.islice(zip(first, second, strict=True), 15):
        with torch.no_grad():
            scores = torch.cat([asked(theirs), asked(theirs2)])
        said = student(ours)
        p = torch.softmax(scores / T, 1)
        q = torch.softmax(torch.cat([said, student(ours2)]) / T, 1)
        kl = (p * (p / q).log()).sum(1).mean()
        loss = (1 - ALPHA) * nn.functional.nll_loss(said, target) + ALPHA * T**2 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(dict(trainer.student_model.state_dict()), dict(student.state_dict()))


def test_labels_of_unlabelled_rows_are_not_looked_at() -> None:
    with_labels, without = table(7, seed=8), table(7, seed=8, labels=False)
    weights = [
        trained(make(keep="last", unlabelled_sampler=BaseSampler(rows, 3, seed=4))).student_model.state_dict()
        for rows in (with_labels, without)
    ]
    torch.testing.assert_close(dict(weights[0]), dict(weights[1]))


@pytest.mark.parametrize("unlabelled", [False, True])
def test_training_goes_on_exactly_from_a_saved_state(
    unlabelled: bool, recorder: Recorder, tmp_path: Path
) -> None:
    def start() -> DistillationTrainer:
        more = BaseSampler(table(7, seed=8, labels=False), 3, seed=4) if unlabelled else None
        return make(unlabelled_sampler=more, keep="last")

    whole = trained(start())
    stopped = start()
    stopped.step()
    flambe.save(stopped, tmp_path / "saved")
    random = torch.get_rng_state()  # a trial keeps it with its checkpoints
    stopped.close()
    going_on = start()
    flambe.load_state(going_on, tmp_path / "saved")
    going_on.optimizer.load_state_dict(stopped.optimizer.state_dict())  # a part only where a config built it
    torch.set_rng_state(random)
    recorder.take()
    trained(going_on)
    assert logged(recorder, "distill/teacher_rows") == [], "that was logged before the first step"
    torch.testing.assert_close(
        dict(going_on.student_model.state_dict()), dict(whole.student_model.state_dict()), rtol=0, atol=0
    )


def test_the_student_is_the_model_and_the_teacher_does_not_move_with_it() -> None:
    trainer = make()
    assert trainer.model is trainer.student_model
    assert set(trainer.modules()) == {"model", "loss_fn"}
    assert trainer.modules()["model"] is trainer.student_model


def test_columns_may_be_named_or_counted() -> None:
    rows = table()
    ours, theirs, label = rows.columns.values()
    spread = Rows({"x": theirs, "y": ArrayColumn.of([0] * R), "z": ours, "label": label})
    dev = BaseSampler(Rows({"z": ours, "label": label}), 5)
    expected = trained(make(rows, dev_sampler=dev, keep="last")).student_model.state_dict()
    for student, asked in ((["z"], ["x"]), ([2], [0])):
        dev = BaseSampler(spread, 5)
        trainer = make(spread, dev_sampler=dev, keep="last", student_columns=student, teacher_columns=asked)
        torch.testing.assert_close(dict(trained(trainer).student_model.state_dict()), dict(expected))


class Padding(Model):
    """Keeps the number that short rows of its batches were padded with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()
        self.weights = nn.Parameter(torch.zeros(C))

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        (tokens,) = inputs
        self.seen |= set(tokens[tokens >= WORDS].tolist())
        return torch.log_softmax(self.weights.expand(len(tokens), C), dim=1)


def test_each_view_is_padded_with_the_number_that_the_sampler_has_for_it() -> None:
    model, student = Padding(), Padding()
    dev = BaseSampler(table(9, seed=2), 5, pad_index=[WORDS, WORDS + 1, 0])
    train = BaseSampler(table(), 4, seed=3, pad_index=[WORDS + 2, WORDS + 3, 0])
    trained(make(train, dev_sampler=dev, model=model, student_model=student))
    assert model.seen == {WORDS + 3}
    assert student.seen == {WORDS, WORDS + 2}


def test_the_other_arguments_are_those_of_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = dict(list(inspect.signature(Trainer.__init__).parameters.items())[1:])
    ours = inspect.signature(DistillationTrainer.__init__).parameters
    given = {name: object() for name in arguments}
    found: dict[str, Any] = {}

    def init(self: Trainer, *args: Any, **kwargs: Any) -> None:
        found.update(inspect.signature(trainer).bind(self, *args, **kwargs).arguments)
        raise InterruptedError

    trainer = Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", init)
    student = given.pop("model")
    with pytest.raises(InterruptedError):
        DistillationTrainer(teacher_model=teacher(), student_model=student, **given)  # type: ignore[arg-type]
    assert {name: found[name] for name in arguments} == {**given, "model": student}
    assert all(ours[name].default == arguments[name].default for name in given)


def test_one_text_may_be_for_both() -> None:
    rows = table()
    one = Rows({"text": rows.columns["student"], "label": rows.columns["label"]})
    model = teacher()
    trained(make(one, model=model, dev_sampler=BaseSampler(one, 5)))
    assert sum(shape[0] for shape, _, _ in model.asked) == R


@pytest.mark.parametrize(
    ("names", "student", "teacher"),
    [
        ("student teacher label", ("student",), ("teacher",)),
        ("student teacher student_label", ("student",), ("teacher",)),
        ("a b label", ("a",), ("b",)),
        ("teacher_ids text label", ("text",), ("teacher_ids",)),
        ("student_ids text label", ("student_ids",), ("text",)),
        ("text label", ("text",), ("text",)),
        ("text teacher_a teacher_b label", ("text",), ("teacher_a", "teacher_b")),
    ],
)
def test_each_model_takes_the_columns_that_are_its_own(
    names: str, student: tuple[str, ...], teacher: tuple[str, ...]
) -> None:
    rows = Rows(dict.fromkeys(names.split(), LABELS))
    for view, expected in (("student", student), ("teacher", teacher)):
        assert columns_of(rows, view, None, labelled=True, where="the table") == expected


def test_a_student_is_not_given_the_teachers_columns_unless_told() -> None:
    rows = Rows(dict.fromkeys(["teacher_a", "teacher_b", "label"], LABELS))
    message = "^the table has the columns teacher_a, teacher_b, label: say which are the student's by student"
    with pytest.raises(ValueError, match=message):
        columns_of(rows, "student", None, labelled=True, where="the table")


def test_what_the_teacher_said_is_not_kept_once_training_is_ended() -> None:
    scores = [0.1, 0.2, 0.3, 0.5]
    said = torch.tensor(scores).numpy().tobytes()
    trainer = make(model=Says(scores))
    trainer.step()
    assert said in pickle.dumps(trainer)
    trainer.finish()
    assert said not in pickle.dumps(trainer)


@pytest.mark.parametrize(("path", "value"), [("alpha_kl", 0.2), ("temperature", 2.5)])
def test_share_and_temperature_may_change_while_it_trains(path: str, value: float) -> None:
    """As if another trainer had gone on from there."""
    trainer, model = make(max_steps=2, keep="last"), teacher()
    trainer.step()
    trainer.change(path, value)
    assert getattr(trainer, path) == value
    ours, theirs, target = table().batch(range(4))
    scores = model.eval()(theirs).detach()
    trainer.student_model.eval()
    alpha, temperature = (value, T) if path == "alpha_kl" else (ALPHA, value)
    expected = DistillationLoss(nn.NLLLoss(), alpha, temperature)(trainer.student_model(ours), scores, target)
    torch.testing.assert_close(trainer.training_loss((ours, scores, target)), expected)
    trained(trainer)


def test_a_change_asks_the_teacher_nothing_anew() -> None:
    model = teacher()
    trainer = make(model=model)
    trainer.step()
    trainer.change("temperature", 2)
    trained(trainer)
    assert sum(shape[0] for shape, _, _ in model.asked) == R


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("alpha_kl", 2, "alpha_kl must be from 0 to 1, not 2"),
        ("temperature", None, "temperature must be above 0, not None"),
        ("teacher_batch_size", 3, "DistillationTrainer cannot change 'teacher_batch_size' while it trains"),
    ],
)
def test_what_may_not_change_is_told(path: str, value: object, message: str) -> None:
    with pytest.raises(CannotChangeError, match=message):
        make().change(path, value)


class Texts(Sampler):
    """Draws from no table."""

    def __len__(self) -> int:
        return 1

    def batches(self, number: int, *, training: bool, start: int = 0) -> Iterator[Any]:
        yield from ()


LABELS = ArrayColumn.of([0, 1])
NONE = ArrayColumn.of(torch.zeros(0, dtype=torch.long))


def many() -> Rows:
    return Rows({"a": LABELS, "b": LABELS, "c": LABELS, "label": LABELS})


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (Texts(), {}, "train_sampler must draw rows of a table, as BaseSampler does, not Texts"),
        (
            QuerySampler(many(), many()),
            {},
            "train_sampler must draw rows of a table, as BaseSampler does, not QuerySampler",
        ),
        (
            many(),
            {},
            "train_sampler's table has the columns a, b, c, label: "
            "say which are the student's by student_columns",
        ),
        (
            table(),
            {"teacher_columns": ["text"]},
            "train_sampler's table has no column 'text'; it has student, teacher, label",
        ),
        (
            table(),
            {"student_columns": [3]},
            "train_sampler's table has no column 3; it has student, teacher, label",
        ),
        (table(), {"teacher_batch_size": 0}, "teacher_batch_size must be at least 1, not 0"),
        (table(), {"alpha_kl": -0.1}, "alpha_kl must be from 0 to 1, not -0.1"),
        (
            table(),
            {"dev_sampler": BaseSampler(Rows({"student_a": LABELS, "student_b": LABELS, "label": LABELS}))},
            "dev_sampler has not as many columns for the student as train_sampler",
        ),
        (
            table(),
            {"unlabelled_sampler": BaseSampler(Rows({"student": NONE, "teacher": NONE}), 3)},
            "unlabelled_sampler has no rows: give it a table with some, or leave it out",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(rows: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared whole
        make(rows, **changes)
    assert str(error.value) == message


class Says(Model):
    """Always says the same."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.tensor([self.scores] * len(inputs[0]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Bag(3, take_log=False), "the teacher returns probabilities; let it return scores"),
        (Says([0.1, float("nan"), 0, 0]), "the teacher's scores are not finite"),
        (Bag(3, classes=C + 1), r"the student's scores \(4, 4\) and the teacher's \(4, 5\) differ"),
    ],
)
def test_a_teacher_that_cannot_teach_is_told(model: nn.Module, message: str) -> None:
    trainer = make(model=model)
    with pytest.raises(ValueError, match=message):
        trainer.step()
    trainer.close()


def test_a_teacher_without_one_score_for_each_class_is_told() -> None:
    class Flat(Model):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(inputs[0]))

    with pytest.raises(ValueError, match=r"but for 23 rows it gave \(23,\)"):
        make(model=Flat()).step()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:torch.distributed")
def test_two_processes_train_as_one_with_batches_twice_as_large() -> None:
    def weights(devices: int, batch_size: int, model: nn.Module) -> torch.Tensor:
        torch.manual_seed(0)
        student = SoftmaxDecoder(3, C)
        views = {view: ArrayColumn.of(torch.randn(16, 3)) for view in ("student", "teacher")}
        rows = Rows({**views, "label": ArrayColumn.of(torch.arange(16) % C)})
        trainer = make(
            BaseSampler(rows, batch_size, shuffle=False),
            model=model,
            student_model=student,
            dev_sampler=BaseSampler(rows, 4),
            optimizer=torch.optim.SGD(student.parameters(), lr=0.5),
            iter_per_step=2,
            devices=devices,
            keep="last",
        )
        return nn.utils.parameters_to_vector(trained(trainer).student_model.parameters())

    torch.manual_seed(1)
    model = SoftmaxDecoder(3, C)
    torch.testing.assert_close(weights(2, 4, model), weights(1, 8, model))
