"""One stage of a run: its variants once they are known, and who waits for them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from flambe.errors import ReduceError
from flambe.experiment.journal import TrialRecord
from flambe.experiment.searching import Searching
from flambe.language import nodes
from flambe.language.links import LinkPath
from flambe.language.nodes import Node
from flambe.language.walk import walk
from flambe.trials.protocol import TrialKey
from flambe.variants.reduce import Result, best, rank
from flambe.variants.space import StageSpace
from flambe.variants.variant import Variant


@dataclass
class StageRun:
    """A stage while it runs.

    Attributes:
        exports: What later stages link to.
        consumers: The later stages that link to this one.
        variants: Its variants by id; None until everything that decides them is known.
        open: The variants that have not ended yet.
        chosen: After a `reduce`, the variants that flow on.
        front: While a `reduce` waits, the best variants so far, best first, at most as many as it keeps.
        samples: How many variants a search tries for each combination of upstream variants, if it has one.
        searching: Its searches, once its upstream variants are known.
        stale: The stages it links to, or itself, have more variants than when its own were listed.
    """

    name: str
    space: StageSpace
    exports: tuple[LinkPath, ...]
    consumers: tuple[str, ...]
    reduce: int | None = None
    variants: dict[str, Variant] | None = None
    open: set[str] = field(default_factory=set)
    chosen: list[Variant] | None = None
    front: list[tuple[tuple[float, str], str]] = field(default_factory=list)
    samples: int | None = None
    searching: Searching | None = None
    stale: bool = False

    @property
    def known(self) -> bool:
        """Whether there will be no more variants than there are."""
        return self.variants is not None and not self.stale and not self.unsuggested

    @property
    def unsuggested(self) -> int:
        """How many variants its search has still to suggest."""
        return 0 if self.searching is None else self.searching.left

    @property
    def ended(self) -> bool:
        return self.known and not self.open

    @property
    def settled(self) -> bool:
        """Whether it is known which of its variants flow on."""
        return self.known if self.reduce is None else self.chosen is not None

    @property
    def extendable(self) -> bool:
        """Whether it has a search, or distributions to draw from."""
        drawn = (isinstance(dimension.node, nodes.Distribution) for dimension in self.space.dimensions)
        return self.samples is not None or any(drawn)

    def extend(self, samples: int) -> None:
        """Try so many variants more than were asked for so far; those that there are stay what they are."""
        if self.samples is not None:
            self.samples += samples
        else:
            self.space = self.space.extended(samples)

    def flowing(self) -> list[Variant]:
        """The variants that later stages see."""
        assert self.variants is not None
        return list(self.variants.values()) if self.chosen is None else self.chosen

    def outrun(self, record: TrialRecord) -> str | None:
        """Takes in a trial that ended well; the id of a variant that can no longer be chosen, if any."""
        if self.reduce is None or self.variants is None:
            return None
        id_ = record.key.variant
        if record.metric is None:
            return id_
        insort(self.front, (rank(_result(self.variants[id_], record)), id_))
        return self.front.pop()[1] if len(self.front) > self.reduce else None

    def choose(self, records: Mapping[str, TrialRecord]) -> None:
        """Settles which variants flow on after a `reduce`.

        Raises:
            ReduceError: too few have a metric.
        """
        assert self.variants is not None
        assert self.reduce is not None
        results = [_result(variant, records[id_]) for id_, variant in self.variants.items()]
        self.chosen = best(results, self.reduce, stage=self.name)

    def choose_if_known(self, records: Mapping[str, TrialRecord]) -> None:
        """Settles it only where every variant has ended well with enough metrics."""
        if self.reduce is None or not all(record.ended_well for record in records.values()):
            return
        with suppress(ReduceError):
            self.choose(records)


def _result(variant: Variant, record: TrialRecord) -> Result:
    return Result(variant, record.metric, record.ended_well, record.lower_is_better)


def stage_runs(
    pipeline: Mapping[str, Node],
    spaces: Mapping[str, StageSpace],
    reduce: Mapping[str, int],
    samples: Mapping[str, int],
) -> dict[str, StageRun]:
    """The stages in order, each knowing what later stages link to."""
    made = {}
    for name, space in spaces.items():
        later = {stage: node for stage, node in pipeline.items() if stage != name}
        exports = {path for node in later.values() for path in links_to(name, node)}
        made[name] = StageRun(
            name,
            space,
            exports=tuple(sorted(exports, key=str)),
            consumers=tuple(stage for stage, other in spaces.items() if name in other.needs),
            reduce=reduce.get(name),
            samples=samples.get(name),
        )
    return made


def links_to(stage: str, node: Node) -> Iterator[LinkPath]:
    """What `node` needs of `stage`; of a method to be called, the object that has it."""
    for _, found in walk(node):
        if isinstance(found, nodes.Link) and found.path.root == stage:
            yield LinkPath(stage, found.path.steps[:-1]) if found.call else found.path


def upstream_keys(variant: Variant) -> Iterable[TrialKey]:
    """The trials that `variant` takes values from."""
    return (TrialKey(stage, upstream.id) for stage, upstream in variant.upstream.items())
