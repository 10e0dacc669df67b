"""New values for what trains: which arguments of optimizers and modules may change, and how they do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, CyclicLR, OneCycleLR, SequentialLR

from flambe.errors import CannotChangeError

_FIRST = re.compile(r"\[?(?P<step>[^.\[\]]+)\]?\.?(?P<rest>.*)", re.S)
_RATE, _BASE = "lr", "initial_lr"


def split(path: str) -> tuple[str, str]:
    """The first step of a path and the rest: `layers[0].dropout` gives `layers` and `[0].dropout`."""
    found = _FIRST.fullmatch(path)
    return (found["step"], found["rest"]) if found else (path, "")


def change(part: Any, path: str, value: Any) -> None:
    """Give an argument inside `part` a new value: through its own `change`, else as `change_argument` does.

    Raises:
        CannotChangeError: it may not change, or not to this value.
    """
    own = getattr(part, "change", None)
    if callable(own):
        own(path, value)
    else:
        change_argument(part, path, value)


def change_argument(part: Any, path: str, value: Any) -> None:
    """Give an argument inside `part` a new value.

    What may change: a dropout that the object holds as a module under that name, the one of torch's
    recurrent layers, and numbers that a class names in its attribute `changeable`.

    Raises:
        CannotChangeError: it may not change, or not to this value.
    """
    name, rest = split(path)
    if rest:
        change(_inside(part, name), rest, value)
        return
    held = getattr(part, name, None)
    if name in changeable(part):
        setattr(part, name, _number(name, value))
    elif isinstance(held, _DropoutNd):
        held.p = share(value)
    elif isinstance(part, _DropoutNd) and name == "p":
        part.p = share(value)
    elif isinstance(part, nn.RNNBase) and name == "dropout":
        part.dropout = share(value) if part.num_layers > 1 else 0.0
    else:
        may = ", ".join(_may_change(part))
        raise CannotChangeError(
            f"{type(part).__name__} cannot change {name!r} while it trains; "
            f"{f'it can change {may}' if may else 'nothing of it can change'}"
        )


def change_optimizer(optimizer: Optimizer, schedulers: Iterable[Any], name: str, value: Any) -> None:
    """Give a hyperparameter of `optimizer` a new value, in all groups of parameters.

    A learning rate is the one that the schedulers begin with: the share of it that they have come to is
    kept, and they go on from there. `ReduceLROnPlateau` keeps no such share: what it has reduced so far
    is forgotten. Groups without weight decay beside others with it stay so. None may be among `schedulers`.

    Raises:
        CannotChangeError: it may not change, or not to this value.
    """
    groups = optimizer.param_groups
    known = [key for key in optimizer.defaults if _is_hyperparameter(groups[0].get(key))]
    if name not in known:
        raise CannotChangeError(
            f"{type(optimizer).__name__} cannot change {name!r} while it trains; "
            f"it can change {', '.join(known)}"
        )
    if name == _RATE:
        _change_rate(optimizer, list(_flat(schedulers)), _judged(optimizer, name, value))
        return
    new = _judged(optimizer, name, value)
    some = any(group[name] for group in groups)
    for group in groups:
        if group[name] or not some:
            group[name] = new


def _judged(optimizer: Optimizer, name: str, value: Any) -> Any:
    """`value` in the form of the present one, if the class of `optimizer` takes it for a new optimizer.

    Raises:
        CannotChangeError: it does not, or the form is another.
    """
    present = optimizer.param_groups[0][name]
    new = _like(name, present, value)

    def made_with(value: Any) -> None:
        type(optimizer)([nn.Parameter(torch.zeros(1))], **{name: value})

    try:
        made_with(present)
    except (TypeError, ValueError):
        return new  # a class that cannot be made so has no say
    try:
        made_with(new)
    except (TypeError, ValueError) as error:
        raise CannotChangeError(
            f"{type(optimizer).__name__} does not take {name} = {value!r}: {error}"
        ) from error
    return new


def share(value: Any) -> float:
    """`value`, if it is a share of entries.

    Raises:
        CannotChangeError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise CannotChangeError(f"a dropout is a number from 0 to 1, not {value!r}")
    return float(value)


def changeable(part: Any) -> tuple[str, ...]:
    """What the class of `part` says may change."""
    return tuple(getattr(type(part), "changeable", ()))


def _may_change(part: Any) -> Iterator[str]:
    yield from changeable(part)
    if isinstance(part, nn.Module):
        yield from (name for name, held in part.named_children() if isinstance(held, _DropoutNd))
    if isinstance(part, nn.RNNBase):
        yield "dropout"


def _inside(part: Any, step: str) -> Any:
    if isinstance(part, Mapping) and step in part:
        return part[step]
    if (
        isinstance(part, Sequence | nn.ModuleList | nn.Sequential)
        and step.isdigit()
        and int(step) < len(part)
    ):
        return part[int(step)]
    held = getattr(part, step, None)
    if held is None:
        raise CannotChangeError(f"{type(part).__name__} has no part {step!r} that could change")
    return held


def _number(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not (value is None or isinstance(value, int | float)):
        raise CannotChangeError(f"{name} is a number, not {value!r}")
    return value


def _is_hyperparameter(value: Any) -> bool:
    """Whether an optimizer's option is one that may change: numbers, no switches."""
    if isinstance(value, tuple | list):
        return all(map(_is_hyperparameter, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _like(name: str, old: Any, new: Any) -> Any:
    """`new` in the form of `old`."""
    if not isinstance(old, tuple | list):
        if new is None:
            raise CannotChangeError(f"{name} is a number, not None")
        return type(old)(_number(name, new)) if isinstance(old, float) else _number(name, new)
    if not isinstance(new, tuple | list) or len(new) != len(old):
        raise CannotChangeError(f"{name} is {len(old)} numbers, not {new!r}")
    return type(old)(_number(name, item) for item in new)


def _flat(schedulers: Iterable[Any]) -> Iterator[Any]:
    """The schedulers, with those inside others."""
    for scheduler in schedulers:
        if scheduler is not None:
            yield scheduler
            if isinstance(scheduler, SequentialLR | ChainedScheduler):
                yield from _flat(scheduler._schedulers)


def _change_rate(optimizer: Optimizer, schedulers: Sequence[Any], rate: float) -> None:
    for scheduler in schedulers:
        if isinstance(scheduler, OneCycleLR | CyclicLR):
            raise CannotChangeError(
                f"{type(scheduler).__name__} decides the learning rate by arguments of its own"
            )
    bases = {group.get(_BASE, group[_RATE]) for group in optimizer.param_groups}
    if len(bases) > 1:
        rates = ", ".join(map(str, sorted(bases)))
        raise CannotChangeError(f"groups of parameters have learning rates of their own ({rates})")
    for group in optimizer.param_groups:
        base = group.get(_BASE)
        group[_RATE] = rate if base is None else group[_RATE] * rate / base if base else group[_RATE]
        if base is not None:
            group[_BASE] = rate
    for scheduler in schedulers:
        if hasattr(scheduler, "base_lrs"):
            scheduler.base_lrs = [rate] * len(scheduler.base_lrs)
        if hasattr(scheduler, "_last_lr"):
            scheduler._last_lr = [group[_RATE] for group in optimizer.param_groups]
