"""What to suggest for a name that nothing has: the nearest known names, and packages that would bring it."""

from __future__ import annotations

from collections.abc import Iterable

_BY_PREFIX = {
    "tune": "flambe-ray",
    "ray": "flambe-ray",
    "torch": "flambe-torch",
    "cl": "flambe-nlp",
    "lm": "flambe-nlp",
    "nlp": "flambe-nlp",
    "dist": "flambe-distill",
    "aws": "flambe-aws",
}
_BY_NAME = {
    "flambe-torch": (
        "Accuracy BaseSampler EmbeddingEncoder Evaluator Model Module RNNEncoder SoftmaxDecoder Trainer"
        " NLLLoss CrossEntropyLoss MSELoss Linear Adam AdamW SGD"
    ),
    "flambe-nlp": "TextField LabelField WordTokenizer CharTokenizer WordVectors",
    "flambe-ray": "SSHManager HyperBandScheduler OptunaSearch",
    "flambe-aws": "AWSManager",
}


def package_for(tag: str) -> str | None:
    """The package of ours that brings `tag`, if it is a known one."""
    first, dot, _ = tag.partition(".")
    if dot and first in _BY_PREFIX:
        return _BY_PREFIX[first]
    return next((package for package, names in _BY_NAME.items() if first in names.split()), None)


def nearest(tag: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of the `known` tags that look like `tag`, the most alike first; case counts little.

    Last names are compared; of tags with one last name, that with the prefix of `tag` is taken.
    """
    import difflib

    prefix, name = _split(tag)
    alike: dict[str, list[str]] = {}
    for other in known:
        alike.setdefault(_split(other)[1].lower(), []).append(other)
    found = difflib.get_close_matches(name.lower(), alike, n=count, cutoff=0.7)
    return [min(alike[last], key=lambda other: (_split(other)[0] != prefix, other)) for last in found]


def _split(tag: str) -> tuple[str, str]:
    end = max(tag.rfind("."), tag.rfind(":"))
    return tag[: max(end, 0)], tag[end + 1 :]


def did_you_mean(names: Iterable[str]) -> str:
    """`; did you mean 'a' or 'b'?`, or nothing where there is no name."""
    quoted = [repr(name) for name in names]
    return f"; did you mean {' or '.join(quoted)}?" if quoted else ""
