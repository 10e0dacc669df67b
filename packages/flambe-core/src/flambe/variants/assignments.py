"""All ways to settle the options of a stage, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from flambe.language import nodes
from flambe.variants.dimensions import Content, Dimension
from flambe.variants.draws import draw
from flambe.variants.variant import Choice


class Assignment(NamedTuple):
    """The choices of a variant in document order, and the stages that the chosen options link to."""

    picks: tuple[Choice, ...]
    needs: frozenset[str]


class _State(NamedTuple):
    """An assignment in the making.

    `pending` are dimensions still to settle, `waiting` those to draw once all grids are settled, `shared`
    the settled option nodes that stand at several places, `sample` the number of the sample being drawn.
    """

    pending: tuple[Dimension, ...]
    picks: tuple[Choice, ...] = ()
    needs: frozenset[str] = frozenset()
    waiting: tuple[Dimension, ...] = ()
    shared: frozenset[int] = frozenset()
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """How distributions are drawn: `num_samples` joint draws for each way to settle the grids."""

    stage: str
    seed: int
    num_samples: int

    def choice(self, dimension: Dimension, sample: int, grid: str) -> tuple[Choice, Content]:
        """The drawn choice and what it opens up. `grid` is the text of the grids' choices."""
        node = dimension.node
        assert isinstance(node, nodes.Distribution)
        drawn = draw(node, self.seed, self.stage, dimension.name, sample, grid)
        if dimension.choices:
            return dimension.chosen(int(drawn), sample), dimension.contents[int(drawn)]
        return dimension.settled(nodes.Scalar(drawn, position=node.position), sample), Content()


def assignments(content: Content, how: Draw) -> Iterator[Assignment]:
    """Every way to settle `content`: document order, the last dimension fastest, samples faster than grids.

    Grids inside the option that a `choice` drew are crossed within that sample.
    """
    stack: list[Iterator[_State]] = [iter([_State(content.dimensions)])]
    while stack:
        state = next(stack[-1], None)
        if state is None:
            stack.pop()
        elif state.pending:
            stack.append(iter(_branches(state)))
        elif state.waiting:
            stack.append(_samples(state, how))
        elif state.sample is None:
            yield Assignment(state.picks, state.needs)
        else:
            yield Assignment(tuple(sorted(state.picks, key=lambda pick: pick.order)), state.needs)


def _branches(state: _State) -> list[_State]:
    """The states after the first pending dimension, one for each option."""
    pending, picks, needs, waiting, shared, sample = state
    dimension, rest = pending[0], pending[1:]
    if dimension.shared:
        if dimension.key in shared:
            return [state._replace(pending=rest)]
        shared = shared | {dimension.key}
    if isinstance(dimension.node, nodes.Distribution):
        return [_State(rest, picks, needs, (*waiting, dimension), shared, sample)]
    return [
        _State(
            content.dimensions + rest if content.dimensions else rest,
            (*picks, choice),
            needs | content.needs if content.needs else needs,
            waiting,
            shared,
            sample,
        )
        for choice, content in zip(dimension.choices, dimension.contents, strict=True)
    ]


def _samples(state: _State, how: Draw) -> Iterator[_State]:
    """The states after each joint draw; one that a draw opened up belongs to the same sample."""
    samples = range(how.num_samples) if state.sample is None else (state.sample,)
    return (_drawn(state, how, sample) for sample in samples)


def _drawn(state: _State, how: Draw, sample: int) -> _State:
    """The state after all waiting dimensions were drawn; what they open up is pending."""
    grid = "".join(pick.text for pick in state.picks if not pick.drawn)
    made = [how.choice(dimension, sample, grid) for dimension in state.waiting]
    return _State(
        pending=tuple(dimension for _, content in made for dimension in content.dimensions),
        picks=state.picks + tuple(choice for choice, _ in made),
        needs=state.needs.union(*(content.needs for _, content in made)),
        shared=state.shared,
        sample=sample,
    )
