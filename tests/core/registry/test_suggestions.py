from __future__ import annotations

from flambe.registry.suggestions import did_you_mean, nearest

KNOWN = ["Linear", "torch.Linear", "torch.LinearLR", "torch.Adam", "TextField", "tune.ASHAScheduler"]


def test_last_names_are_compared_and_the_same_prefix_is_preferred():
    assert nearest("torch.Lineer", KNOWN)[0] == "torch.Linear"
    assert nearest("linear", KNOWN)[0] == "Linear"
    assert nearest("trch.Adam", KNOWN) == ["torch.Adam"]
    assert nearest("textfeld", KNOWN) == ["TextField"]
    assert nearest("Convolution", KNOWN) == []


def test_suggestions_read_as_a_question():
    assert did_you_mean(["a", "b"]) == "; did you mean 'a' or 'b'?"
    assert did_you_mean([]) == ""
