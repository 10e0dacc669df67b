"""One Ray for all tests of this folder: starting it takes seconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from flambe_ray.session import Session, prepare_environment

prepare_environment()  # before any test imports Ray: runs in processes of their own have the same token then


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Session]:
    """Ray with two processors; executors find it and leave it running."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = Session({"cpu": 2})
    yield session
    session.close()
