"""The keys of an experiment: what each may hold, checked here and shown by `flambe describe Experiment`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from flambe.check.nearest import did_you_mean
from flambe.check.types import show
from flambe.language import nodes
from flambe.language.durations import seconds
from flambe.language.nodes import Build, Node, Scalar
from flambe.language.walk import Path


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong under a key: the message, the node, and the steps to it from the key."""

    message: str
    node: Node
    steps: Path = ()


@dataclass(frozen=True, slots=True)
class Stages:
    """What the values of keys may name: the stages, which of them have no metric, and the resources."""

    names: tuple[str, ...]
    without_metric: dict[str, str]
    resources: tuple[str, ...] = ()


Judgement: TypeAlias = Callable[[Node, Stages], Iterator[Complaint]]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an experiment. `type` is what it holds, in words; `default` as in YAML."""

    name: str
    type: str
    default: object
    meaning: str
    judge: Judgement
    required: bool = False


_SAFE_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?\Z")
_STAGE_NAME = re.compile(r"[^\s.\[\]/\\<>:\"|?*\x00-\x1f]+\Z")


def _is_whole(node: Node, least: int | None = None) -> bool:
    if not isinstance(node, Scalar) or type(node.value) is not int:
        return False
    return least is None or node.value >= least


def _is_number(node: Node) -> bool:
    return isinstance(node, Scalar) and type(node.value) in (int, float) and node.value >= 0  # type: ignore[operator]


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, str)


def _wrong(expected: str, node: Node, steps: Path = ()) -> Complaint:
    return Complaint(f"expected {expected}, not {show(node)}", node, steps)


def judge(key: Key, node: Node, stages: Stages) -> Iterator[Complaint]:
    """What is wrong with the value of a key; null stands for the default of a key that is not required."""
    if isinstance(node, nodes.Unreadable) or (_is_null(node) and not key.required):
        return
    for complaint in key.judge(node, stages):
        if key.name == "pipeline" or not _is_reported_elsewhere(complaint.node, stages):
            yield complaint


def _is_reported_elsewhere(node: Node, stages: Stages) -> bool:
    """Whether the check of the value's own tree finds it wrong; only the pipeline has none."""
    if isinstance(node, nodes.Link):
        return node.path.root not in stages.resources
    return isinstance(node, (nodes.Unreadable, nodes.Grid, nodes.Draws, nodes.Distribution))


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _path(node: Node, _: Stages) -> Iterator[Complaint]:
    if not _is_text(node):
        yield _wrong("a folder or a URL", node)


def _true_or_false(node: Node, _: Stages) -> Iterator[Complaint]:
    if not isinstance(node, Scalar) or not isinstance(node.value, bool):
        yield _wrong("true or false", node)


def _duration(node: Node, _: Stages) -> Iterator[Complaint]:
    if (
        not isinstance(node, Scalar)
        or isinstance(node.value, bool)
        or not isinstance(node.value, int | float | str)
    ):
        yield _wrong("seconds, or a text such as 10 min", node)
        return
    try:
        seconds(node.value)
    except ValueError as error:
        yield Complaint(f"{error}, not {show(node)}", node)


def _int_from(least: int | None) -> Judgement:
    expected = "an int" if least is None else f"an int of at least {least}"

    def judge(node: Node, _: Stages) -> Iterator[Complaint]:
        if not _is_whole(node, least):
            yield _wrong(expected, node)

    return judge


def _name(node: Node, _: Stages) -> Iterator[Complaint]:
    if not _is_text(node):
        yield _wrong("text", node)
    elif isinstance(node, Scalar) and not _SAFE_NAME.match(str(node.value)):
        yield Complaint(
            f"{node.value!r} cannot name a folder; use letters, digits, '-', '_' and, inside, '.'", node
        )


def _pipeline(node: Node, _: Stages) -> Iterator[Complaint]:
    if not isinstance(node, nodes.Mapping):
        yield _wrong("a mapping from stage names to stages", node)
    elif not node.entries:
        yield Complaint("the pipeline has no stage", node)


def _resources(node: Node, _: Stages) -> Iterator[Complaint]:
    if not isinstance(node, nodes.Mapping):
        yield _wrong("a mapping from names to paths", node)
        return
    for entry in node.entries:
        places = (nodes.ClusterPath, nodes.Environment, nodes.Secret)
        if not _is_text(entry.value) and not isinstance(entry.value, places):
            yield _wrong("a path or URL, or !cluster and a path", entry.value, (str(entry.key),))


def _stage_named(key: object, node: Node, stages: Stages, steps: Path) -> Iterator[Complaint]:
    if key not in stages.names:
        hint = did_you_mean(key, stages.names)
        yield Complaint(f"no stage is called {key!r}{hint}", node, steps)


def _by_stage(
    what: str, value: Judgement, *, needs_metric: bool = False
) -> Callable[[Node, Stages], Iterator[Complaint]]:
    def judge(node: Node, stages: Stages) -> Iterator[Complaint]:
        if not isinstance(node, nodes.Mapping):
            yield _wrong(f"a mapping from stage names to {what}", node)
            return
        for entry in node.entries:
            steps, named = (str(entry.key),), Scalar(entry.key, position=entry.position)
            yield from _stage_named(entry.key, named, stages, steps)
            if needs_metric and entry.key in stages.without_metric:
                yield Complaint(stages.without_metric[str(entry.key)], named, steps)
            for complaint in value(entry.value, stages):
                yield Complaint(complaint.message, complaint.node, (*steps, *complaint.steps))

    return judge


def _an_object(what: str) -> Judgement:
    def judge(node: Node, _: Stages) -> Iterator[Complaint]:
        if not isinstance(node, Build):
            yield _wrong(f"{what}, written with its !tag", node)

    return judge


def _a_search(node: Node, stages: Stages) -> Iterator[Complaint]:
    yield from _an_object("a search algorithm")(node, stages)
    arguments = node.arguments if isinstance(node, Build) else None
    number = arguments.get("num_samples") if isinstance(arguments, nodes.Mapping) else None
    if number is not None and not isinstance(number, nodes.Link):
        for complaint in _int_from(1)(number, stages):
            yield Complaint(complaint.message, complaint.node, ("num_samples",))


def _devices(node: Node, stages: Stages) -> Iterator[Complaint]:
    if not isinstance(node, nodes.Mapping):
        yield _wrong("devices with their number, or stages with such devices", node)
        return
    if any(isinstance(entry.value, nodes.Mapping) for entry in node.entries):
        yield from _by_stage("devices with their number", _device_numbers)(node, stages)
    else:
        yield from _device_numbers(node, stages)


def _device_numbers(node: Node, _: Stages) -> Iterator[Complaint]:
    if not isinstance(node, nodes.Mapping):
        yield _wrong("devices with their number, such as {cpu: 1}", node)
        return
    for entry in node.entries:
        if not _is_number(entry.value):
            yield _wrong("a number of at least 0", entry.value, (str(entry.key),))


def _resume(node: Node, stages: Stages) -> Iterator[Complaint]:
    named = node.items if isinstance(node, nodes.Sequence) else (node,)
    for index, item in enumerate(named):
        steps = (index,) if isinstance(node, nodes.Sequence) else ()
        if _is_text(item) and isinstance(item, Scalar):
            yield from _stage_named(item.value, item, stages, steps)
        elif isinstance(node, nodes.Sequence) or not isinstance(getattr(item, "value", None), bool):
            yield _wrong("true, false, a stage or a list of stages" if not steps else "a stage", item, steps)


def _num_samples(node: Node, stages: Stages) -> Iterator[Complaint]:
    if isinstance(node, nodes.Mapping):
        yield from _by_stage("numbers of samples", _int_from(1))(node, stages)
    elif not _is_whole(node, 1):
        yield _wrong("an int of at least 1, or a mapping from stage names to such", node)


_A_DEVICE_NOTE = "devices for each trial, such as {cpu: 1, gpu: 0.5}; or such by stage"

KEYS: tuple[Key, ...] = (
    Key("name", "text", None, "names the output folder", _name, required=True),
    Key("pipeline", "mapping of stages", None, "the stages, in order", _pipeline, required=True),
    Key("resources", "mapping of paths", {}, "files, folders or URLs that stages link to", _resources),
    Key(
        "search",
        "mapping of stages to objects",
        {},
        "the algorithm that chooses a stage's hyperparameters",
        _by_stage("search algorithms", _a_search, needs_metric=True),
    ),
    Key(
        "schedulers",
        "mapping of stages to objects",
        {},
        "what stops a stage's poor variants early",
        _by_stage("schedulers", _an_object("a scheduler"), needs_metric=True),
    ),
    Key(
        "reduce",
        "mapping of stages to ints",
        {},
        "how many of a stage's best variants go on",
        _by_stage("numbers of variants", _int_from(1), needs_metric=True),
    ),
    Key("devices", "mapping", {}, _A_DEVICE_NOTE, _devices),
    Key("save_path", "folder or URL", "flambe-output", "where the output folder is made", _path),
    Key("resume", "bool, stage or stages", False, "go on from what is finished", _resume),
    Key("seed", "int", 0, "the seed that every trial's own comes from", _int_from(None)),
    Key("num_samples", "int, or ints by stage", 1, "random draws of each distribution", _num_samples),
    Key("max_failures", "int", 1, "how often a failed trial is tried again", _int_from(0)),
    Key("stop_on_failure", "bool", False, "stop everything when one trial has failed", _true_or_false),
    Key(
        "trial_timeout",
        "seconds, or text such as 10 min",
        None,
        "the most time that a trial may take to be built, or for one step",
        _duration,
    ),
    Key("merge_plot", "bool", True, "show all variants of a stage in one plot", _true_or_false),
    Key("manager", "object", None, "brings up the cluster to run on", _an_object("a cluster manager")),
)


def stage_name_fault(name: nodes.Key, resources: tuple[str, ...] = ()) -> str | None:
    """What is wrong with the name of a stage or resource."""
    if not isinstance(name, str):
        return f"a name must be text: put {show(Scalar(name)).partition(' (')[0]} in quotes"
    if not name:
        return "a name must not be empty"
    if not _STAGE_NAME.match(name):
        bad = next(c for c in name if not _STAGE_NAME.match(c))
        return f"{name!r} must not contain {bad!r}: links and folders use the name"
    if name in resources:
        return f"{name!r} is both a stage and a resource; rename one of them"
    return None
