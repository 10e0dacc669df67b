from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from flambe_torch.errors import DataError, MissingDataError
from flambe_torch.published import PublishedFile

CONTENT = b"HUM:ind Who sang ?\n" * 1000
SUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT: whole, altered, cut short, or not at all."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        body = CONTENT.replace(b"W", b"w") if self.path == "/altered" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(body[:100] if self.path == "/short" else body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FLAMBE_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "flambe" / "data"


def published(*urls: str) -> PublishedFile:
    return PublishedFile("set/part.label", SUM, urls)


def test_a_file_in_the_data_folder_is_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    path = tmp_path / "set" / "part.label"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert published(f"{server}/whole").locate() == path
    assert Handler.asked == []


def test_a_download_lands_in_the_cache_and_is_made_once(cache: Path, server: str) -> None:
    file = published(f"{server}/whole")
    assert file.locate() == cache / "set" / "part.label"
    assert file.locate().read_bytes() == CONTENT
    assert Handler.asked == ["/whole"]


def test_the_next_address_is_tried(cache: Path, server: str) -> None:
    assert published(f"{server}/missing", f"{server}/whole").locate().read_bytes() == CONTENT


def test_a_wrong_file_is_refused_with_both_sums(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    path = tmp_path / "set" / "part.label"
    path.parent.mkdir()
    path.write_bytes(b"other")
    with pytest.raises(DataError) as caught:
        published().locate()
    assert str(caught.value) == (
        f"{path} is not the published file: its sha256 is {hashlib.sha256(b'other').hexdigest()}, "
        f"the published one is {SUM}; replace or remove it"
    )


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("altered", f"received {len(CONTENT)} bytes with sha256 "),
        ("short", "received 100 bytes with sha256 "),
        ("missing", "the server answered 404 Not Found"),
    ],
)
def test_a_bad_download_is_refused_and_leaves_nothing(
    cache: Path, server: str, page: str, reason: str
) -> None:
    with pytest.raises(MissingDataError) as caught:
        published(f"{server}/{page}").locate()
    assert f"  {server}/{page}: {reason}" in str(caught.value)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_without_a_network_the_error_says_where_to_put_the_file(cache: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"  # nobody listens there
        with pytest.raises(MissingDataError) as caught:
            published(url).locate()
    assert str(caught.value) == (
        "cannot get set/part.label: it is not on this machine, and downloading failed:\n"
        f"  {url}: [Errno {errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}\n"
        f"Put the file at {cache}/set/part.label (or set FLAMBE_DATA to a data folder); its sha256 is {SUM}"
    )


def test_only_http_addresses_are_opened(cache: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with pytest.raises(MissingDataError, match="is no http or https address"):
        published(secret.as_uri()).locate()
