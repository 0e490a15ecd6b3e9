"""Labels are read out of answers by what is configured, and an answer that cannot be read is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import scripted_server
from tests.training import world
from training.config import load_config
from training.errors import TrainingError, UsageError
from training.extraction import extractor, split_labels
from training.snapshot import Record, read_snapshot

TEXTS = {"clip_00": "The person smiles and seems happy.", "clip_01": "The person frowns, not calm but angry."}


class Labeller(BaseHTTPRequestHandler):
    """Answers a chat request with the labels its description calls for; refuses when somebody frowns."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = request["messages"][-1]["content"]
        text = "I'm sorry, but I can't help with that." if "frowns" in asked else '["happy", "at ease"]'
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *words: Any) -> None:
        """Quiet."""


@pytest.fixture
def labeller() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Labeller)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    rows = [world.record(index, subtitle={"zh": "我受够了", "en": None}) for index in range(2)]
    return read_snapshot(world.write_snapshot(tmp_path / "s", rows)).split("all")


def _configure(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    for name in ("BASE_URL", "MODEL", "API_KEY", "STREAM"):
        monkeypatch.delenv(f"LLM_{name}", raising=False)
    if url:
        monkeypatch.setenv("LLM_BASE_URL", url)
        monkeypatch.setenv("LLM_MODEL", "m")
        monkeypatch.setenv("LLM_MAX_RETRIES", "0")


def test_the_lexicon_reads_both_languages_without_a_model(
    monkeypatch: pytest.MonkeyPatch, records: list[Record]
) -> None:
    _configure(monkeypatch, None)
    found = extractor(load_config("tiny"), "one-step", None)
    assert (found.how, found.by) == ("lexicon", None)
    assert list(found.each(records, TEXTS)) == [("clip_00", ["happy"], ""), ("clip_01", ["angry"], "")]
    assert found.labels(records[0], "他很难过。") == ["难过"]


def test_a_configured_llm_reads_the_labels_and_a_refusal_fails_its_clip_alone(
    monkeypatch: pytest.MonkeyPatch, records: list[Record], labeller: str
) -> None:
    _configure(monkeypatch, labeller)
    found = extractor(load_config("tiny"), "one-step", None)
    assert (found.how, found.by) == ("llm", "m")
    first, second = found.each(records, TEXTS)
    assert first == ("clip_00", ["happy", "at ease"], "")
    assert second[:2] == ("clip_01", None)
    assert "refusal" in second[2]
    assert list(found.each(records[:1], {"clip_00": ""})) == [("clip_00", [], "")]  # nothing said, nothing asked


def test_two_step_merges_the_answer_with_the_subtitle_first(
    monkeypatch: pytest.MonkeyPatch, records: list[Record], tmp_path: Path
) -> None:
    with scripted_server.running(tmp_path / "calls.jsonl") as server:
        _configure(monkeypatch, server.base_url)
        found = extractor(load_config("tiny"), "two-step", None)
        labels = {clip: labels for clip, labels, _ in found.each(records, TEXTS)}
        calls = server.calls()
    assert found.how == "llm"
    assert labels == {"clip_00": ["happy"], "clip_01": ["angry"]}
    assert {call["kind"] for call in calls} == {"merge"}
    assert all("我受够了" in call["text"] for call in calls)


def test_a_server_that_is_down_ends_the_evaluation(monkeypatch: pytest.MonkeyPatch, records: list[Record]) -> None:
    _configure(monkeypatch, "http://127.0.0.1:9/v1")
    found = extractor(load_config("tiny"), "one-step", None)
    with pytest.raises(TrainingError, match="clip_00"):
        list(found.each(records, TEXTS))


def test_what_cannot_be_done_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    _configure(monkeypatch, None)
    with pytest.raises(UsageError, match="LLM_BASE_URL"):
        extractor(load_config("tiny"), "two-step", None)
    with pytest.raises(UsageError, match="none of llm, lexicon, direct"):
        extractor(load_config("tiny"), "one-step", "guess")
    with pytest.raises(UsageError, match="two-step"):
        extractor(load_config("tiny"), "two-step", "lexicon")


def test_labels_are_split_at_both_scripts_commas() -> None:
    labels = split_labels("Happy, looking forward to，高兴、期待, happy.")
    assert labels == ["happy", "looking forward to", "高兴", "期待"]
    assert split_labels("") == []


def test_what_the_answer_puts_around_its_labels_is_no_label() -> None:
    form = "The character's emotional state is {labels}."
    assert split_labels("The character's emotional state is happy, at ease.", form) == ["happy", "at ease"]
    assert split_labels("happy, at ease", form) == ["happy", "at ease"]
    assert split_labels("人物的情绪是高兴、期待。", "人物的情绪是{labels}。") == ["高兴", "期待"]
