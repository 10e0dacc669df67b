import math

import pytest

from flambe.language.distributions import DISTRIBUTIONS, InvalidNumbersError, check_distribution, check_draws


def test_the_table_names_every_distribution_over_numbers():
    assert {name: kind.parameters for name, kind in DISTRIBUTIONS.items()} == {
        "uniform": ("low", "high"),
        "loguniform": ("low", "high"),
        "quniform": ("low", "high", "q"),
        "randint": ("low", "high"),
        "lograndint": ("low", "high"),
        "normal": ("mean", "sd"),
    }


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("uniform", (-1, 1.5)),
        ("loguniform", (1e-5, 1)),
        ("quniform", (0, 1, 0.25)),
        ("quniform", (0.7, 0.75, 0.1)),
        ("randint", (0, 10**400)),
        ("lograndint", (1, 2)),
        ("normal", (0, 1)),
    ],
)
def test_sensible_numbers_are_accepted(name, numbers):
    check_distribution(name, numbers)


@pytest.mark.parametrize(
    ("name", "numbers", "index", "message"),
    [
        ("uniform", (1,), None, "'!uniform' takes [low, high], but 1 value is given"),
        ("quniform", (1, 2), None, "'!quniform' takes [low, high, q], but 2 values are given"),
        ("uniform", (2, 1), None, "'!uniform': high must be above low, but low is 2 and high is 1"),
        ("loguniform", (0, 1), None, "'!loguniform': low must be above 0, but it is 0"),
        ("quniform", (0, 1, 0), None, "'!quniform': q must be above 0, but it is 0"),
        (
            "quniform",
            (0.3, 0.9, 1),
            None,
            "'!quniform': no multiple of q lies between low and high: low is 0.3, high is 0.9, q is 1",
        ),
        ("normal", (0, -1), None, "'!normal': sd must be above 0, but it is -1"),
        ("randint", (0, 1.5), 1, "'!randint' takes [low, high], and high must be an integer, not 1.5"),
        ("uniform", ("a", 1), 0, "'!uniform' takes [low, high], and low must be a number, not 'a'"),
        ("uniform", (0, True), 1, "'!uniform' takes [low, high], and high must be a number, not True"),
        ("uniform", (0, math.inf), 1, "'!uniform' takes [low, high], and high must be finite, not inf"),
    ],
)
def test_senseless_numbers_are_refused(name, numbers, index, message):
    with pytest.raises(InvalidNumbersError) as raised:
        check_distribution(name, numbers)
    assert (str(raised.value), raised.value.index) == (message, index)


@pytest.mark.parametrize("numbers", [(0, 1, 3), (0.5, 1, 3, 2), (-5, 5, 1, 0), (0.5, 1, 3, 10**9)])
def test_sensible_draws_are_accepted(numbers):
    check_draws(numbers)


@pytest.mark.parametrize(
    ("numbers", "index", "message"),
    [
        ((0, 1), None, "'!s' takes [low, high, k] or [low, high, k, decimals], but 2 values are given"),
        ((1, 1, 3), None, "'!s': high must be above low, but low is 1 and high is 1"),
        ((0, 1, 0), 2, "'!s': k must be at least 1, but it is 0"),
        ((0, 1, 2, -1), 3, "'!s': decimals must be at least 0, but it is -1"),
        ((0.01, 0.02, 2, 1), 3, "'!s': no number with 1 decimals lies between 0.01 and 0.02"),
        (
            (0, 1, 2.0),
            2,
            "'!s' takes [low, high, k] or [low, high, k, decimals], and k must be an integer, not 2.0",
        ),
    ],
)
def test_senseless_draws_are_refused(numbers, index, message):
    with pytest.raises(InvalidNumbersError) as raised:
        check_draws(numbers)
    assert (str(raised.value), raised.value.index) == (message, index)
