"""New values for arguments of a stage, judged like those that its config gives."""

from __future__ import annotations

from collections.abc import Iterator

from flambe.check.arguments import Call, split
from flambe.check.knowledge import Knowledge
from flambe.check.objects import misjudged
from flambe.check.tags import Tags
from flambe.language.nodes import Build, Node
from flambe.language.walk import walk
from flambe.registry.registry import Registry


def faults_of_change(before: Node, after: Node, registry: Registry) -> list[str]:
    """What is wrong with values in a stage's node `after` that was not so `before`; options are all judged.

    Whether they stand where a value may stand is for those to say who put them there.
    """
    knowledge = Knowledge(Tags(registry))
    known = set(_faults(before, knowledge))
    return [fault for fault in dict.fromkeys(_faults(after, knowledge)) if fault not in known]


def _faults(node: Node, knowledge: Knowledge) -> Iterator[str]:
    for _, build in walk(node):
        signature = knowledge.signature(build) if isinstance(build, Build) else None
        if not isinstance(build, Build) or signature is None:
            continue
        args, kwargs = split(build.arguments)
        call = Call(knowledge.tags.resolve(build.tag).name, signature, None, args, kwargs)
        for given in call.bind().given:
            for _, fault in misjudged(call.name, given, knowledge):
                yield fault
