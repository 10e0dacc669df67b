"""Which trial of a run a person means."""

from __future__ import annotations

from collections.abc import Collection

from flambe.errors import RunError
from flambe.trials.protocol import TrialKey

_MOST_NAMED = 8


def find_trial(known: Collection[TrialKey], text: str) -> TrialKey:
    """The trial that `text` names: `stage/variant`, or so much of its id or of its hash that it is one alone.

    The name of a stage is enough where it has one variant.

    Raises:
        RunError: there is none, or more than one; the message names those that come near.

    Example:
        >>> find_trial([TrialKey("walk", "stride=1.0~466b03"), TrialKey("walk", "stride=2.0~0c11aa")], "466")
        TrialKey(stage='walk', variant='stride=1.0~466b03')
    """
    stage, slash, rest = text.partition("/")
    within = [key for key in known if key.stage == stage] if slash else list(known)
    wanted = rest if slash else text
    if not slash and any(key.stage == text for key in known):
        within, wanted = [key for key in known if key.stage == text], ""
    exact = [key for key in within if key.variant == wanted or short_id(key) == wanted]
    found = exact or [key for key in within if _begins(key, wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RunError(f"{text!r} may be {len(found)} trials: {_named(found)}; give more of its id")
    raise RunError(f"the run has no trial {text!r}; it has {_named(within or list(known)) or 'none yet'}")


def short_id(key: TrialKey) -> str:
    """The hash that ends the variant's id, or the whole id where it has none."""
    return key.variant.rpartition("~")[2]


def _begins(key: TrialKey, text: str) -> bool:
    return key.variant.startswith(text) or short_id(key).startswith(text)


def _named(keys: list[TrialKey]) -> str:
    shown = ", ".join(f"{key.stage}/{key.variant}" for key in keys[:_MOST_NAMED])
    return shown + (f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else "")
