"""A stage whose variants a search algorithm chooses, one search for each way to combine upstream variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flambe.experiment.journal import TrialRecord
from flambe.language import nodes
from flambe.variants.draws import may_draw
from flambe.variants.joins import Joins
from flambe.variants.search import Choices, Search
from flambe.variants.space import StageSpace
from flambe.variants.variant import Choice, Variant

NewSearch = Callable[[StageSpace, int], Search]
"""Makes a stage's search, given its space and the number of searches that the stage has already."""


@dataclass
class Searching:
    """The searches of one stage.

    Attributes:
        suggestions: What was suggested for each variant, as the journal keeps it.
    """

    space: StageSpace
    branches: list[Branch]
    suggestions: dict[str, dict[str, int | float]] = field(default_factory=dict)
    _of: dict[str, tuple[Branch, int]] = field(default_factory=dict)

    @classmethod
    def over(
        cls, space: StageSpace, upstream: Mapping[str, Sequence[Variant]], samples: int, new: NewSearch
    ) -> Searching:
        """A search of `samples` variants for each combination of upstream variants."""
        made = cls(space, [])
        made.widen(upstream, samples, new)
        return made

    def widen(self, upstream: Mapping[str, Sequence[Variant]], samples: int, new: NewSearch) -> None:
        """Begin a search for each combination of upstream variants that has none yet."""
        known = [branch.upstream for branch in self.branches]
        for lineage in Joins(upstream).over(self.space.needs):
            up = {stage: lineage[stage] for stage in self.space.needs}
            if up not in known:
                self.branches.append(Branch(new(self.space, len(self.branches)), up, samples))

    def extend(self, samples: int) -> None:
        """Suggest so many variants more in each search."""
        for branch in self.branches:
            branch.left += samples

    @property
    def exhausted(self) -> bool:
        """Whether no search has anything left that it could suggest."""
        return bool(self.branches) and all(branch.search.finished for branch in self.branches)

    @property
    def left(self) -> int:
        """How many variants are still to be suggested."""
        return sum(branch.left for branch in self.branches)

    def replay(self, records: Iterable[TrialRecord], fits: Callable[[Variant], bool]) -> Iterator[Variant]:
        """The variants that an earlier run was suggested and that still fit, which count as suggested now."""
        for record in records:
            for branch in self.branches:
                variant = self._again(branch, record)
                if variant is None or not fits(variant):
                    continue
                assert record.suggestion is not None
                self._of[variant.id] = branch, branch.search.add(record.suggestion)
                self._take(branch, variant, record.suggestion)
                if record.ended_well:
                    self.tell(record)
                yield variant
                break

    def next(self, *, waiting: bool) -> Variant | None:
        """The next variant; None while all searches wait for results, which `waiting` says will come."""
        for branch in sorted(self.branches, key=lambda branch: -branch.left):
            suggestion = branch.search.suggest() if branch.left else None
            if suggestion is not None:
                number, choices = suggestion
                variant = self._variant(branch, choices)
                self._take(branch, variant, choices)
                self._of[variant.id] = branch, number
                return variant
            if branch.search.finished or not waiting:
                branch.left = 0
        return None

    def note(self, record: TrialRecord) -> None:
        """The record's trial has done a step."""
        if record.key.variant in self._of:
            branch, number = self._of[record.key.variant]
            lower = record.lower_is_better
            branch.search.note(number, step=record.step, score=score(record), lower_is_better=lower)

    def tell(self, record: TrialRecord) -> None:
        """The record's trial has ended, or will not run."""
        if record.key.variant in self._of:
            branch, number = self._of.pop(record.key.variant)
            found, lower = score(record) if record.ended_well else None, record.lower_is_better
            branch.search.tell(number, step=record.step, score=found, lower_is_better=lower)

    def _variant(self, branch: Branch, choices: Choices) -> Variant:
        variant = self.space.variant(choices, branch.upstream)
        again = branch.given[variant.id]
        return self.space.variant(choices, branch.upstream, occurrence=again) if again else variant

    def _take(self, branch: Branch, variant: Variant, choices: Choices) -> None:
        """The branch has suggested the variant."""
        branch.given[self.space.variant(choices, branch.upstream).id] += 1
        branch.left -= 1
        self.suggestions[variant.id] = dict(choices)

    def _again(self, branch: Branch, record: TrialRecord) -> Variant | None:
        """The record's variant where the branch could suggest it; the config may have changed since."""
        ids = {stage: variant.id for stage, variant in branch.upstream.items()}
        if not branch.left or record.suggestion is None or not record.upstream.items() <= ids.items():
            return None
        try:
            variant = self._variant(branch, record.suggestion)
        except ValueError:
            return None
        return variant if variant.id == record.key.variant and all(map(_possible, variant.picks)) else None


@dataclass
class Branch:
    """One search, the upstream variants it is for, and how many variants it has still to suggest."""

    search: Search
    upstream: Mapping[str, Variant]
    left: int
    given: Counter[str] = field(default_factory=Counter)


def score(record: TrialRecord) -> float | None:
    """The record's metric, turned so that higher is better."""
    if record.metric is None:
        return None
    return -record.metric if record.lower_is_better else record.metric


def _possible(pick: Choice) -> bool:
    """Whether the option that was settled so could be settled so now."""
    if not isinstance(pick.option, nodes.Distribution) or pick.option.name == "choice":
        return True
    return isinstance(pick.node, nodes.Scalar) and may_draw(pick.option, pick.node.value)
