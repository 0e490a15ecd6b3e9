"""A snapshot comes over the wire whole or not at all."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from training import fetch as fetching
from training.snapshot import read_snapshot


class Server(ThreadingHTTPServer):
    """Serves a snapshot as the REST interface does: Bearer token, Range; ``cut``: paths broken off once;
    ``spoil``: paths with a byte changed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.cut: set[str] = set()
        self.spoil: set[str] = set()
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/v1/snapshots/7/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Bearer secret":
            self.send_error(401)
            return
        match = re.fullmatch(r"/api/v1/snapshots/7/files/(.+)", self.path)
        path = self.server.folder / match[1] if match else None
        if path is None or not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        if match and match[1] in self.server.spoil:
            body = b"#" + body[1:]
        start = 0
        if asked := self.headers.get("Range"):
            self.server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if match and match[1] in self.server.cut:
            self.server.cut.discard(match[1])
            self.wfile.write(body[start : start + 40])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(body[start:])

    def log_message(self, *words: Any) -> None:
        """Quiet."""


@pytest.fixture
def server(snapshot: Path) -> Iterator[Server]:
    running = Server(snapshot)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def test_a_fetched_snapshot_has_the_same_digest_and_can_be_read(
    command: Any, server: Server, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMER_TOKEN", "secret")
    code, said, _ = command("fetch", server.url, "--out", tmp_path / "copy")
    assert code == 0
    assert said["digest"] == read_snapshot(tmp_path / "copy").digest == read_snapshot(snapshot).digest
    assert said["downloaded"] > 0
    # Again: nothing is downloaded twice.
    assert command("fetch", server.url, "--out", tmp_path / "copy")[1]["downloaded"] == 0


def test_a_broken_connection_is_continued_where_it_broke(command: Any, server: Server, tmp_path: Path) -> None:
    server.cut = {"records.jsonl"}
    code, _, _ = command("fetch", server.url, "--out", tmp_path / "copy", "--token", "secret")
    assert code == 0
    assert server.ranges == ["bytes=40-"]
    assert len(read_snapshot(tmp_path / "copy").records) == 10


def test_a_stale_part_file_is_thrown_away(command: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "records.jsonl.part").write_text("something else")
    (tmp_path / "copy" / "media.jsonl.part").write_text("x" * 100_000)
    code, _, _ = command("fetch", server.url, "--out", tmp_path / "copy", "--token", "secret")
    assert code == 0
    assert len(read_snapshot(tmp_path / "copy").records) == 10


def test_wrong_bytes_never_become_a_snapshot(command: Any, server: Server, tmp_path: Path) -> None:
    server.spoil = {"records.jsonl"}
    code, _, err = command("fetch", server.url, "--out", tmp_path / "copy", "--token", "secret")
    assert (code, "does not match its sha256" in err) == (1, True)
    assert not (tmp_path / "copy" / "SHA256SUMS").exists()
    assert not (tmp_path / "copy" / "records.jsonl").exists()


def test_no_token_a_wrong_address_and_a_used_folder_are_usage_errors(
    command: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EMER_TOKEN", raising=False)
    code, _, err = command("fetch", server.url, "--out", tmp_path / "copy")
    assert (code, "EMER_TOKEN" in err) == (2, True)
    code, _, err = command("fetch", server.url.replace("/7/", "/8/"), "--out", tmp_path / "copy", "--token", "secret")
    assert (code, "no such snapshot" in err) == (2, True)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    code, _, err = command("fetch", server.url, "--out", tmp_path / "used", "--token", "secret")
    assert (code, "not empty" in err) == (2, True)
    assert command("fetch", "ftp://host/x", "--out", tmp_path / "copy")[0] == 2


def test_a_fetch_stopped_between_two_files_goes_on(
    command: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[str] = []
    bring = fetching._file

    def stop_at_the_second(base: str, path: str, *rest: Any) -> int:
        if brought:
            raise KeyboardInterrupt
        brought.append(path)
        return bring(base, path, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetching, "_file", stop_at_the_second)
        command("fetch", server.url, "--out", tmp_path / "copy", "--token", "secret")
    code, _, err = command("fetch", server.url, "--out", tmp_path / "copy", "--token", "secret")
    assert (code, err) == (0, "")
    assert len(read_snapshot(tmp_path / "copy").records) == 10
    assert not list((tmp_path / "copy").rglob("*.part"))


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://", "secret"), ("http://a..b/x/", "secret"), ("http://[::1/", "secret"), ("http://h:x/", "secret"),
        ("http://exa mple/", "secret"), ("http://127.0.0.1:1/", "two\nlines"), ("http://127.0.0.1:1/", "令牌"),
    ],
)  # fmt: skip
def test_an_address_or_token_that_cannot_be_is_a_usage_error(
    command: Any, tmp_path: Path, url: str, token: str
) -> None:
    code, said, err = command("fetch", url, "--out", tmp_path / "copy", "--token", token)
    assert (code, said, len(err.splitlines())) == (2, None, 1)


def test_fit_takes_a_snapshot_by_url(
    command: Any, server: Server, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMER_TOKEN", "secret")
    words = [server.url if isinstance(word, Path) and word.name == "few" else word for word in quick]
    code, said, _ = command(*words, "--out", tmp_path / "run")
    assert (code, said["steps"]) == (0, 4)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["snapshot"]["path"] == str(tmp_path / "run.snapshot")
