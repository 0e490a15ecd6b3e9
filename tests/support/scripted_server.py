"""A real HTTP server that speaks OpenAI's chat protocol with scripted content, for tests of everything around
a model.

    python -m tests.support.scripted_server --port 0 --log calls.jsonl [--delay 0.2]

prints its port as the first line and ends with its parent. What it says depends on what it is asked, by the step it
recognises in the request (``visual``, ``objective``, ``audio``, ``disambiguate``, ``merge``, ``prose``: a merge in one
language, ``fine``, ``translate``, ``labels``, ``group``, ``chat``) and on the clue text it was given, so a test can
tell whether the right evidence arrived. Every request is one JSON line in the log, written when the request arrives:
``{n, time, path, kind, model, key, stream, behaviour, status, text, media}``, ``media`` as pairs of type and sha256.
When somebody leaves in the middle of a slow or stalled stream, a line with ``gone`` follows.

The part of the model's name after the last ``:`` (or all of it) makes it misbehave: see BEHAVIOURS.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BEHAVIOURS = (
    "http-500-once",  # per Idempotency-Key (per server without one)
    "http-429-retry-after",  # 429 with Retry-After: 1, once per key
    "http-500",
    "http-401",
    "html",
    "half-json",
    "empty",
    "refuse",
    "hang",
    "endless",
    "truncated",
    "wrong-language",
    "no-response-format",  # 400 for a request that asks for structured output
    "varied",  # no two answers are the same (not where JSON is asked for)
    "slow",  # streams a piece every 0.4 s
    "stall",  # streams the first half, and then nothing more comes
    "drop",  # closes the connection in the middle of the answer
)
# Words of a clue -> the label the server derives from them; first match first.
FEELINGS = (
    (r"smil|cheer|laugh|bright|happy|joy|嘴角|笑|高兴|愉快", "happy", "高兴"),
    (r"frown|angr|shout|glare|lowers the brows|怒|生气|瞪|皱眉", "angry", "愤怒"),
    (r"tear|weep|sob|sad|inner brow|哭|悲|难过|低落", "sad", "悲伤"),
    (r"surpris|jaw|wide[- ]open|upper lid|惊|张嘴", "surprised", "惊讶"),
    (r"trembl|afraid|fear|nervous|anxious|害怕|恐惧|紧张|颤", "fearful", "害怕"),
    (r"worr|uneas|担心|担忧|不安", "worried", "担心"),
)
SAID = {
    ("visual", "en"): "The person smiles with raised cheeks, looks into the camera and leans forward.",
    ("visual", "zh"): "画面中的人物面带微笑，脸颊上扬，目光看向镜头，身体微微前倾。",
    ("objective", "en"): "The person is standing at a kitchen table, one hand on a letter, with a window behind.",
    ("objective", "zh"): "人物站在厨房的桌边，一只手按着一封信，身后有一扇窗。",
    ("audio", "en"): "The voice is bright and quick, with a rising tone that suggests a cheerful mood.",
    ("audio", "zh"): "说话人声音明亮，语速较快，语调上扬，听起来心情愉快。",
    ("disambiguate", "en"): "Together with the smile and the bright voice, the words express sincere joy.",
    ("disambiguate", "zh"): "结合微笑的表情和明亮的声音，这句话表达了真诚的喜悦。",
    ("chat", "en"): "This is a scripted answer to a question of the test.",
    ("chat", "zh"): "这是测试服务器按脚本给出的回答。",
}


def text_of(messages: list[dict[str, Any]]) -> str:
    """All text of a request."""
    parts = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            parts.append(content)
        else:
            parts.extend(part.get("text", "") for part in content or [])
    return "\n".join(parts)


def media_of(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Type and sha256 of every picture, sound and film of a request, in their order."""
    found = []
    for message in messages:
        for part in message["content"] if isinstance(message.get("content"), list) else []:
            value = part.get(str(part.get("type"))) if isinstance(part, dict) else None
            if isinstance(value, dict):
                data = str(value.get("data") or value.get("url")).rpartition("base64,")[2]
                found.append((part["type"], hashlib.sha256(base64.b64decode(data)).hexdigest()))
    return found


def kind_of(messages: list[dict[str, Any]]) -> str:
    """The step a request belongs to."""
    types = {
        part.get("type")
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
    }
    text = text_of(messages)
    if types & {"image_url", "video_url"}:
        return "objective" if "one moment of a video" in text or "某一时刻的画面" in text else "visual"
    if "input_audio" in types:
        return "audio"
    if '"contradictions"' in text:
        return "fine"
    if "<Subtitle>" in text:
        return "prose"
    if "ov_labels" in text or "summar" in text.lower() or "总结" in text:
        return "merge"
    if '<data name="labels">' in text:
        return "group"
    if '<data name="description">' in text:
        return "labels"
    if '<data name="text">' in text and ("Translate this" in text or "翻译成中文" in text):
        return "translate"
    return "disambiguate" if '<data name="subtitle">' in text or "字幕" in text else "chat"


def given(messages: list[dict[str, Any]]) -> str:
    """The material of a request: the contents of its data blocks, or all of the last turn without such."""
    user = text_of([message for message in messages if message.get("role") == "user"])
    blocks = re.findall(r'<data name="\w+">\s*(.*?)\s*</data>', user, re.DOTALL)
    blocks += [
        text for _, text in re.findall(r"<(Visual clues|Audio clues|Subtitle)>\s*(.*?)\s*</\1>", user, re.DOTALL)
    ]
    return " ".join(block for block in blocks if block) if blocks else user


def answer_to(kind: str, messages: list[dict[str, Any]]) -> str:
    """The scripted content."""
    material = given(messages)
    if kind == "merge":
        return json.dumps(merged(material), ensure_ascii=False)
    if kind == "group":
        return json.dumps([[label] for label in json.loads(material)], ensure_ascii=False)
    asked_zh = re.search(r"用中文|一到两句中文|成中文|使用中文", text_of(messages)) is not None
    language = "zh" if asked_zh else "en"
    if kind == "fine":
        return json.dumps(fine(messages), ensure_ascii=False)
    if kind == "labels":
        return json.dumps(merged(material)["ov_labels"][language], ensure_ascii=False)
    if kind in ("prose", "translate"):
        text: str = merged(material)["description"][language]
        return text
    return SAID[kind, language]


def merged(material: str) -> dict[str, Any]:
    """A description and labels that follow from the words of the clues."""
    found = [(en, zh) for pattern, en, zh in FEELINGS if re.search(pattern, material, re.IGNORECASE)]
    names_en = ", ".join(en for en, _ in found) or "no clear emotion"
    names_zh = "、".join(zh for _, zh in found) or "没有明确的情绪"
    shown = re.sub(r"\s+", " ", re.sub(r"[^\x20-\x7e]", "", material)).strip(" -")[:200]
    return {
        "description": {
            "en": f"From the clues ({shown}) one can infer that the person feels: {names_en}.",
            "zh": f"综合视频、音频和文本中的线索，可以推断人物的情绪状态是：{names_zh}。",
        },
        "ov_labels": {"en": [en for en, _ in found], "zh": [zh for _, zh in found]},
    }


def fine(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A merged answer in the languages that the prompt shows, which finds a contradiction where the visual clues smile
    and the audio clues do not."""
    text = text_of([message for message in messages if message.get("role") == "user"])
    blocks = dict(re.findall(r'<data name="(\w+)">\s*(.*?)\s*</data>', text, re.DOTALL))
    seen, heard = (merged(blocks.get(name, ""))["ov_labels"]["en"][:1] for name in ("visual", "audio"))
    against = bool(seen and heard) and seen != heard and "happy" in (seen + heard)
    found = merged(given(messages))
    languages = re.findall(r'"(en|zh)": "…"', text)
    what = f"the face looks {seen[0]} and the voice sounds {heard[0]}" if against else ""
    return {
        "contradictions": [{"between": ["visual", "audio"], "what": what}] if against else [],
        "consistent": not against,
        "description": {language: found["description"][language] for language in languages},
        "ov_labels": {language: found["ov_labels"][language] for language in languages},
    }


class Handler(BaseHTTPRequestHandler):
    """Answers one request; state lives on the server object."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a kept connection waits 40 ms for each answer's second packet
    server: Scripted

    def do_GET(self) -> None:
        if self.path.rstrip("/") != "/v1/models":
            return self._json(404, {"error": {"message": f"no such path: {self.path}"}})
        models = ["scripted", *(f"scripted:{name}" for name in BEHAVIOURS)]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in models]
        return self._json(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.rstrip("/") != "/v1/chat/completions":
            return self._json(404, {"error": {"message": f"no such path: {self.path}"}})
        try:
            request = json.loads(body)
            messages, model = request["messages"], str(request["model"])
            kind = kind_of(messages)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self._json(400, {"error": {"message": f"bad request: {error!r}"}})
        name = model.rpartition(":")[2]
        behaviour = name if name in BEHAVIOURS else ""
        key = self.headers.get("Idempotency-Key")
        first = self.server.first_time(behaviour, key)
        status = self._status(behaviour, first)
        if behaviour == "no-response-format" and "response_format" in request:
            status = 400
        self.server.log(
            path=self.path, kind=kind, model=model, key=key, stream=bool(request.get("stream")), behaviour=behaviour,
            status=status, text=given(messages)[:2000], media=media_of(messages),
        )  # fmt: skip
        if self.server.delay:
            time.sleep(self.server.delay)
        if status != 200:
            headers = {"Retry-After": "1"} if status == 429 else {}
            return self._json(
                status, {"error": {"message": f"scripted {status}: {behaviour.replace('-', '_')}"}}, headers
            )
        return self._answer(behaviour, kind, model, messages, bool(request.get("stream")))

    @staticmethod
    def _status(behaviour: str, first: bool) -> int:
        if behaviour in ("http-500", "http-401"):
            return int(behaviour[5:])
        if behaviour in ("http-500-once", "http-429-retry-after") and first:
            return int(behaviour[5:8])
        return 200

    def _answer(self, behaviour: str, kind: str, model: str, messages: list[dict[str, Any]], stream: bool) -> None:
        if behaviour == "hang":
            self.server.stopping.wait(3600)
            return None
        if behaviour == "html":
            page = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
            return self._send(200, "text/html; charset=utf-8", page)
        if behaviour == "endless":
            return self._endless(stream, model)
        text, reason = answer_to(kind, messages), "stop"
        if behaviour == "half-json":
            text = json.dumps(merged(given(messages)), ensure_ascii=False)
            text = text[: len(text) // 2]
        elif behaviour == "empty":
            text = ""
        elif behaviour == "refuse":
            text = "I'm sorry, but I can't help with describing people."
        elif behaviour == "truncated":
            text, reason = text[: len(text) // 2], "length"
        elif behaviour == "varied" and not text.startswith(("{", "[")):
            text = f"{text[:-1]} ({self.server.count}){text[-1:]}"
        elif behaviour == "wrong-language":
            text = _other_language(kind, text)
        usage = {"prompt_tokens": len(text_of(messages).split()), "completion_tokens": len(text.split())}
        usage["total_tokens"] = sum(usage.values())
        if stream:
            return self._stream(model, text, reason, usage, behaviour)
        message = {"role": "assistant", "content": text}
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        payload = {"id": "scripted", "object": "chat.completion", "created": 0, "model": model}
        return self._json(200, payload | {"choices": choices, "usage": usage}, drop=behaviour == "drop")

    def _event(self, model: str, delta: dict[str, str], reason: str | None = None, usage: Any = None) -> bytes:
        choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": reason}]
        event = {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": choices}
        if usage:
            event["usage"] = usage
        return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()

    def _stream(self, model: str, text: str, reason: str, usage: Any, behaviour: str) -> None:
        self._open_ended("text/event-stream")
        pieces = re.findall(r".{1,12}", text, re.DOTALL)
        for number, piece in enumerate(pieces):
            self.wfile.write(self._event(model, {"content": piece}))
            if behaviour == "drop":
                return
            stalled = behaviour == "stall" and number == len(pieces) // 2
            if (stalled and self._left_within(3600)) or (behaviour == "slow" and self._left_within(0.4)):
                return
        self.wfile.write(self._event(model, {}, reason))
        self.wfile.write(self._event(model, {}, usage=usage) + b"data: [DONE]\n\n")

    def _left_within(self, seconds: float) -> bool:
        """Wait; whether the one who asked closed the connection meanwhile."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable:
            self.server.log(path=self.path, gone=True)
        return bool(readable)

    def _endless(self, stream: bool, model: str) -> None:
        self._open_ended("text/event-stream" if stream else "application/json")
        if not stream:
            self.wfile.write(b'{"choices": [{"message": {"content": "')
        piece = self._event(model, {"content": "and on "}) if stream else b"and on " * 1000
        with contextlib.suppress(ConnectionError):
            while not self.server.stopping.is_set():
                self.wfile.write(piece)

    def _open_ended(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None, drop: bool = False) -> None:
        body = json.dumps(value, ensure_ascii=False).encode()
        self._send(status, "application/json", body, headers, drop)

    def _send(
        self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None, drop: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[: len(body) // 2] if drop else body)
        self.close_connection = self.close_connection or drop

    def log_message(self, format: str, *args: Any) -> None:
        """The log file holds what matters; the terminal stays quiet."""


def _other_language(kind: str, text: str) -> str:
    if kind in ("merge", "fine"):
        value = json.loads(text)
        value["description"] = {"en": value["description"]["zh"], "zh": value["description"]["en"]}
        return json.dumps(value, ensure_ascii=False)
    if kind == "labels":
        return json.dumps(["高兴"] if text.isascii() else ["happy"], ensure_ascii=False)
    return SAID["chat", "zh" if text.isascii() else "en"]


class Scripted(ThreadingHTTPServer):
    """The server with its log and the memory of what it has answered."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, log: Path | None, delay: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.delay, self.count, self.stopping = delay, 0, threading.Event()
        self._log = log.open("a", encoding="utf-8", buffering=1) if log else None
        self._lock, self._seen = threading.Lock(), set[tuple[str, str | None]]()

    def first_time(self, behaviour: str, key: str | None) -> bool:
        with self._lock:
            first = (behaviour, key) not in self._seen
            self._seen.add((behaviour, key))
            return first

    def log(self, **entry: Any) -> None:
        with self._lock:
            self.count += 1
            if self._log:
                line = {"n": self.count, "time": time.time()} | entry
                self._log.write(json.dumps(line, ensure_ascii=False) + "\n")


@dataclass
class Running:
    """A server that runs as its own process."""

    base_url: str
    log_file: Path
    process: subprocess.Popen[str]

    def calls(self) -> list[dict[str, Any]]:
        """The log so far."""
        if not self.log_file.exists():
            return []
        return [json.loads(line) for line in self.log_file.read_text("utf-8").splitlines()]


@contextlib.contextmanager
def running(log_file: Path, delay: float = 0.0) -> Iterator[Running]:
    """Start the server as a process of its own, give its base URL and log, and end it."""
    command = [sys.executable, "-m", "tests.support.scripted_server", "--port", "0", "--log", str(log_file)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([*command, "--delay", str(delay)], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Running(f"http://127.0.0.1:{port}/v1", log_file, process)
        finally:
            process.terminate()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before every answer")
    options = parser.parse_args()
    server = Scripted(options.port, options.log, options.delay)
    print(server.server_address[1], flush=True)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
