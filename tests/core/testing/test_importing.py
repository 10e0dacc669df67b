from __future__ import annotations

import subprocess
import sys

import pytest

import flambe.testing


def test_the_stages_for_trying_things_out_do_without_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; from flambe.testing.stages import Counter; print(Counter)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Counter" in done.stdout, done.stderr


@pytest.mark.parametrize("name", flambe.testing.__all__)
def test_every_contract_is_there_by_name(name: str) -> None:
    assert getattr(flambe.testing, name).__name__ == name


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="NoContract"):
        _ = flambe.testing.NoContract
