"""Seeds and fingerprints of trials: pure functions of what a trial is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from flambe.language import nodes
from flambe.language.nodes import Node
from flambe.language.walk import walk
from flambe.registry.registry import Registry


def trial_seed(seed: int, stage: str, variant: str) -> int:
    """The trial's own seed, in [0, 2**32): the same for the same experiment seed, stage and variant id."""
    digest = hashlib.blake2b(f"{seed}\0{stage}\0{variant}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def fingerprint(
    node: Node,
    *,
    seed: int,
    upstream: Mapping[str, str],
    resources: Mapping[str, str],
    versions: Mapping[str, str],
) -> str:
    """What decides whether a finished trial may be reused: 32 hex digits.

    Args:
        node: The stage's node with every option replaced by its choice.
        seed: The trial's seed.
        upstream: The fingerprints of the upstream trials, by stage.
        resources: The locations of the resources it links to, by name.
        versions: The versions of the distributions that provide its tags, by name.
    """
    said = {
        "config": shape(node),
        "seed": seed,
        "upstream": dict(upstream),
        "resources": dict(resources),
        "versions": dict(versions),
    }
    text = json.dumps(said, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def shape(node: Node | None) -> Any:
    """`node` as plain JSON values that are equal exactly when the nodes are, and share the same parts."""
    return _shape(node, {})


def _shape(node: Node | None, seen: dict[int, int]) -> Any:
    """`seen` numbers the parts that come before it: one that stands there again is one object with it."""
    if node is None:
        return None
    if isinstance(node, nodes.Scalar):
        return [type(node.value).__name__, repr(node.value)]
    if id(node) in seen:
        return ["again", seen[id(node)]]
    seen[id(node)] = len(seen)
    match node:
        case nodes.Sequence(items=items):
            return ["list", *(_shape(item, seen) for item in items)]
        case nodes.Mapping(entries=entries):
            return ["map", *([type(e.key).__name__, repr(e.key), _shape(e.value, seen)] for e in entries)]
        case nodes.Build(tag=tag, arguments=arguments):
            return ["build", tag, _shape(arguments, seen)]
        case nodes.Link(path=path, call=call, args=args, kwargs=kwargs):
            given = [[str(e.key), _shape(e.value, seen)] for e in kwargs]
            return ["link", str(path), call, [_shape(arg, seen) for arg in args], given]
        case nodes.Environment(name=name):
            return ["env", name]
        case nodes.Secret(section=section, key=key):
            return ["secret", section, key]
        case nodes.ClusterPath(path=location):
            return ["cluster", location]
    return [type(node).__name__, repr(node)]


def versions_of(node: Node, registry: Registry) -> dict[str, str]:
    """The distributions, with their versions, that provide the tags of `node`."""
    return versions_of_tags({item.tag for _, item in walk(node) if isinstance(item, nodes.Build)}, registry)


def versions_of_tags(tags: Iterable[str], registry: Registry) -> dict[str, str]:
    """The distributions, with their versions, that provide `tags`."""
    providers = [registry.resolve(tag).provider for tag in sorted(tags)]
    return {provider.distribution: provider.version for provider in providers}
