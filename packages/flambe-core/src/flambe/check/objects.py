"""The tree of one stage (or of any other object): its tags, arguments, options and links."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from flambe.check.arguments import Call, Given, Level, split
from flambe.check.knowledge import Knowledge
from flambe.check.links import BadLinkError, Open, Scope
from flambe.check.signature import Parameter
from flambe.check.types import Judge, Misfit
from flambe.check.values import Possible, Typed
from flambe.errors import Problem
from flambe.language import nodes
from flambe.language.nodes import Build, Node, Position
from flambe.language.walk import OptionStep, Path, children, format_path

_MOST_COMPARED = 50


@dataclass(frozen=True)
class Outside:
    """Values from outside the config: environment variables and, if they are given, secrets."""

    environment: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]] | None = None


@dataclass(frozen=True)
class Rules:
    """What is allowed where the tree stands.

    Attributes:
        open_to: Arguments whose values may hold options for what takes the argument to choose from.
    """

    options: bool = True
    open_to: frozenset[str] = frozenset()
    cluster_paths: bool = False
    supplied: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()


@dataclass
class ObjectCheck:
    """Walks one tree in document order and reports every problem; each node is looked at once."""

    scope: Scope
    outside: Outside
    report: Callable[[Problem], None]
    seen: set[int]
    rules: Rules = field(default_factory=Rules)
    _levels: list[Level] = field(default_factory=list)

    @property
    def _knowledge(self) -> Knowledge:
        return self.scope.knowledge

    def visit(self, node: Node, path: Path) -> None:
        """Report what is wrong in `node`, which stands at `path`, and below."""
        if not isinstance(node, nodes.Scalar):
            if id(node) in self.seen:
                return
            self.seen.add(id(node))
        self._visit_children(node, path)
        self._visit_itself(node, path)

    def _visit_children(self, node: Node, path: Path) -> None:
        level = self._level(node)
        if level is not None:
            self._levels.append(level)
        for index, (step, child) in enumerate(children(node)):
            self.scope.trail.append(Open(node, index))
            self.visit(child, (*path, step))
            self.scope.trail.pop()
        if level is not None:
            self._levels.pop()

    def _visit_itself(self, node: Node, path: Path) -> None:
        match node:
            case Build():
                self._build(node, path)
            case nodes.Link():
                self._link(node, path)
            case nodes.Grid() | nodes.Draws() | nodes.Distribution():
                self._option(node, path)
            case nodes.Environment(name=name):
                if name not in self.outside.environment:
                    self._say(f"the environment variable {name} is not set; set it first", node, path)
            case nodes.Secret(section=section, key=key):
                self._secret(node, section, key, path)
            case nodes.ClusterPath():
                if not self.rules.cluster_paths:
                    self._say("!cluster can only be used in 'resources'", node, path)

    def _build(self, node: Build, path: Path) -> None:
        resolved = self._knowledge.tags.resolve(node.tag)
        if resolved.fault is not None:
            self._say(resolved.fault, node, path)
        signature = self._knowledge.signature(node)
        if signature is None:
            return
        args, kwargs = split(node.arguments)
        call = Call(
            resolved.name,
            signature,
            node.position,
            args,
            kwargs,
            levels=_Lazily(lambda: [*self._below(node), *self._above()]),
            supplied=self.rules.supplied,
            ignored=self.rules.ignored,
        )
        self._call(call, path)

    def _call(self, call: Call, path: Path) -> None:
        bound = call.bind()
        for fault in bound.faults:
            self.report(Problem(fault.message, fault.position, format_path((*path, *fault.steps))))
        for given in bound.given:
            self._judge(call.name, given, path)

    def _judge(self, name: str, given: Given, path: Path) -> None:
        for misfit, message in misjudged(name, given, self._knowledge):
            self._say(message, misfit.node, (*path, *misfit.steps))

    def _link(self, node: nodes.Link, path: Path) -> None:
        try:
            found = self.scope.find(node)
            if node.call:
                self._method(node, found, path)
                found = self.scope.call(node.path, found)
        except BadLinkError as fault:
            self._say(str(fault), node, path)
        else:
            self._knowledge.links[id(node)] = found

    def _method(self, node: nodes.Link, found: tuple[Possible, ...], path: Path) -> None:
        """The arguments of a `!call`, where it is known what it calls."""
        value = found[0].value if len(found) == 1 and found[0].certain() else None
        if isinstance(value, Typed) and value.function is not None:
            signature = self._knowledge.signatures.of(value.function)
            if signature is not None:
                self._call(Call(str(node.path), signature, node.position, node.args, node.kwargs), path)

    def _option(self, node: nodes.Option, path: Path) -> None:
        if not self.rules.options and not self.rules.open_to & set(path[:-1]):
            self._say("options (such as !g or !uniform) can only be used in the pipeline", node, path)
        if isinstance(node, nodes.Grid):
            for index in _repeated(node.options):
                where = (*path, OptionStep(index))
                message = "this option is the same as one before it"
                self._say(message, node.options[index], where, severity="warning")

    def _secret(self, node: Node, section: str, key: str, path: Path) -> None:
        secrets = self.outside.secrets
        if secrets is not None and key not in secrets.get(section, {}):
            self._say(f"the secrets file has no entry {section}.{key}", node, path)

    def _say(self, message: str, node: Node, path: Path, *, severity: str = "error") -> None:
        position: Position | None = node.position
        self.report(Problem(message, position, format_path(path), severity))

    def _level(self, node: Node) -> Level | None:
        if not isinstance(node, Build):
            return None
        signature = self._knowledge.signature(node)
        return Level(self._knowledge.tags.resolve(node.tag).name, "", signature) if signature else None

    def _above(self) -> Iterator[Level]:
        for level in reversed(self._levels):
            yield Level(level.name, "above it", level.signature)

    def _below(self, node: Build) -> Iterator[Level]:
        for step, child in children(node):
            for option in _options_of(child):
                level = self._level(option)
                if level is not None:
                    yield Level(level.name, f"its {step!r}", level.signature)


def misjudged(name: str, given: Given, knowledge: Knowledge) -> Iterator[tuple[Misfit, str]]:
    """Where an argument of what is called `name` is of a wrong type, with what to say of it."""
    parameter, judge = given.parameter, Judge(knowledge.possible)
    for misfit in judge.misfits(given.node, parameter.annotation, given.steps):
        if not _like_the_default(misfit.node, parameter, judge):
            yield misfit, _misfit_message(name, parameter.name, misfit)


class _Lazily:
    """An iterable that is only computed when it is asked for."""

    def __init__(self, compute: Callable[[], list[Level]]) -> None:
        self._compute = compute

    def __iter__(self) -> Iterator[Level]:
        return iter(self._compute())


def _options_of(node: Node) -> Iterator[Node]:
    if isinstance(node, nodes.Grid):
        for option in node.options:
            yield from _options_of(option)
    else:
        yield node


def _repeated(options: tuple[Node, ...]) -> Iterator[int]:
    """The places of options that are equal to an earlier one."""
    scalars: set[tuple[type, str]] = set()
    others: list[Node] = []
    for index, option in enumerate(options):
        if isinstance(option, nodes.Scalar):
            said = (type(option.value), repr(option.value))
            if said in scalars:
                yield index
            scalars.add(said)
        elif len(others) < _MOST_COMPARED:
            if option in others:
                yield index
            others.append(option)


def _like_the_default(node: Node, parameter: Parameter, judge: Judge) -> bool:
    """Whether the value is of the default's own type, where the annotation does not know that either."""
    default = parameter.default
    if not isinstance(node, nodes.Scalar) or type(node.value) is not type(default):
        return False
    return next(judge.misfits(nodes.Scalar(default), parameter.annotation), None) is not None


def _misfit_message(name: str, parameter: str, misfit: Misfit) -> str:
    what = format_path((parameter, *misfit.steps[1:]))
    link = misfit.node if isinstance(misfit.node, nodes.Link) else None
    found = f"but {link.path} is {misfit.found}" if link else f"not {misfit.found}"
    hint = f"; {misfit.hint}" if misfit.hint else ""
    return f"{name}: {what!r} must be {misfit.expected}, {found}{hint}"
