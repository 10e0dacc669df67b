from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from flambe_nlp.pretrained import BERTOptimizer, TransformerAdamW

N = 12


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def loss_of(made: nn.Module, step: int) -> torch.Tensor:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
    loss: torch.Tensor = made(x).square().mean()
    return loss


def train(made: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    rates = []
    for step in steps:
        optimizer.zero_grad()
        loss_of(made, step).backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
    return rates


def weights(made: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in made.parameters()]


@pytest.mark.parametrize(("warmup", "rising"), [(0.25, 3), (5, 5), (0, 0), (1.0, 12), (1, 1)])
def test_updates_are_those_of_adamw_with_a_linear_schedule(warmup: float, rising: int) -> None:
    from transformers import get_linear_schedule_with_warmup

    ours, theirs = model(), model()
    optimizer = TransformerAdamW(ours.named_parameters(), lr=0.1, warmup=warmup, weight_decay=0.3)
    optimizer.set_total_iterations(N)

    decayed = [theirs[0].weight, theirs[2].weight]
    spared = [theirs[0].bias, theirs[1].weight, theirs[1].bias, theirs[2].bias]
    groups = [{"params": decayed, "weight_decay": 0.3}, {"params": spared, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.1)
    schedule = get_linear_schedule_with_warmup(reference, rising, N)
    rates = []
    for step in range(N):
        rates += train(theirs, reference, range(step, step + 1))
        schedule.step()

    assert train(ours, optimizer, range(N)) == pytest.approx(rates, abs=1e-12)
    assert optimizer.param_groups[0]["lr"] == 0
    for one, other in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(one, other)


def test_the_rate_stays_0_after_the_end() -> None:
    made = model()
    optimizer = TransformerAdamW(made.parameters(), total_iterations=3, warmup=0.0)
    rates = train(made, optimizer, range(5))
    assert rates == pytest.approx([5e-5, 5e-5 * 2 / 3, 5e-5 / 3, 0, 0])


@pytest.mark.parametrize("named", [True, False])
def test_biases_and_norms_are_not_decayed(named: bool) -> None:
    made = model()
    optimizer = BERTOptimizer(made.named_parameters() if named else made.parameters(), weight_decay=0.2)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in made.parameters()] == [0.2, 0, 0, 0, 0.2, 0]


def test_a_bias_of_more_dimensions_is_known_by_its_name() -> None:
    named = [("layer.weight", nn.Parameter(torch.ones(2, 2))), ("layer.bias", nn.Parameter(torch.ones(2, 2)))]
    assert [group["weight_decay"] for group in TransformerAdamW(named).param_groups] == [0.01, 0.0]


def test_groups_keep_their_own_options() -> None:
    first, second = model(), model()
    groups = [
        {"params": first.named_parameters(), "lr": 0.3},
        {"params": second.parameters(), "weight_decay": 0.5},
    ]
    optimizer = TransformerAdamW(groups, lr=0.1, warmup=0.0, total_iterations=N)
    found = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert found == [(0.3, 0.01), (0.3, 0.0), (0.1, 0.5), (0.1, 0.0)]
    alone = TransformerAdamW([{"params": first[0].weight}, {"params": first[0].bias, "lr": 0.3}])
    assert [group["params"] for group in alone.param_groups] == [[first[0].weight], [first[0].bias]]


def test_a_resumed_run_is_the_same() -> None:
    straight, broken = model(), model()
    whole = TransformerAdamW(straight.parameters(), lr=0.1, total_iterations=N)
    rates = train(straight, whole, range(N))

    first = TransformerAdamW(broken.parameters(), lr=0.1)
    first.set_total_iterations(N)
    begun = train(broken, first, range(5))
    state = copy.deepcopy(first.state_dict())
    second = TransformerAdamW(broken.parameters(), lr=0.1)
    second.load_state_dict(state)
    assert begun + train(broken, second, range(5, N)) == rates
    assert all(torch.equal(*pair) for pair in zip(weights(straight), weights(broken), strict=True))


def test_a_pickled_one_goes_on() -> None:
    straight, other = model(), model()
    train(straight, TransformerAdamW(straight.parameters(), lr=0.1, total_iterations=N), range(N))
    optimizer = TransformerAdamW(other.parameters(), lr=0.1)
    optimizer.set_total_iterations(N)
    train(other, optimizer, range(4))
    other, optimizer = pickle.loads(pickle.dumps((other, optimizer)))
    optimizer.set_total_iterations(N)
    train(other, optimizer, range(4, N))
    assert all(torch.equal(*pair) for pair in zip(weights(straight), weights(other), strict=True))


def test_a_given_number_of_iterations_is_kept() -> None:
    made = model()
    optimizer = TransformerAdamW(made.parameters(), lr=1.0, warmup=0.5, total_iterations=4)
    optimizer.set_total_iterations(100)
    assert train(made, optimizer, range(4)) == [0, 0.5, 1, 0.5]


def test_frozen_parameters_stay_as_they_are() -> None:
    made = model()
    made[0].requires_grad_(False)
    before = made[0].weight.clone()
    train(made, TransformerAdamW(made.parameters(), lr=0.1, warmup=0.0, total_iterations=2), range(2))
    assert torch.equal(made[0].weight, before)


def test_an_unknown_number_of_iterations_is_explained() -> None:
    made = model()
    with pytest.raises(ValueError, match="give total_iterations, or train with a Trainer, which tells it"):
        train(made, TransformerAdamW(made.parameters()), range(1))


@pytest.mark.parametrize("warmup", [-0.1, 1.5])
def test_a_warmup_that_is_no_share_is_refused(warmup: float) -> None:
    with pytest.raises(ValueError, match=r"warmup must be a share in \[0, 1\] or a whole number"):
        TransformerAdamW(model().parameters(), warmup=warmup)


def test_no_parameters_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are no parameters to train"):
        TransformerAdamW([])
