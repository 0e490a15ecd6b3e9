"""An OpenAI-compatible server around one Python function, so that any model can pre-label.

    python -m models_ml.serve mypackage.mymodule:describe --port 8001
    python -m models_ml.serve --factory mypackage.mymodule:load --port 8001
    python serve.py mymodule:describe            # this file alone, in another environment

``describe(frames|video_path, audio_path, prompt) -> str`` is called by the names of its parameters; it may
leave out what it does not use. ``frames``: list of RGB ``PIL.Image`` from image parts, in order;
``video_path``: file of a ``video_url`` part or None; ``audio_path``: WAV file of an ``input_audio`` part or
None; ``prompt``: all text of the request. A request with media that the function does not take is refused: nothing
is answered about what was not seen. Files are deleted after the call. Media comes as data only (data
URLs, base64): this server never fetches an address. ``--factory``: the callable is called once, without arguments,
and gives the function; that is where a model is loaded.

Research code with its own environment runs behind this, out of process. This file stands alone: copy it there. It needs
Python 3.8 and its standard library, and Pillow where pictures come.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import importlib
import inspect
import io
import json
import logging
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

log = logging.getLogger("models_ml.serve")
MAX_BODY = 256 << 20
READ_TIMEOUT_S = 60.0
NAMES = ("frames", "video_path", "audio_path", "prompt")


class BadRequest(ValueError):
    """The request cannot be answered; the message says which part is wrong."""


def load_callable(path: str) -> Callable[..., str]:
    """``package.module:name`` → the function. Raises ValueError when it cannot be used."""
    fn = _found(path)
    accepted(fn)
    return fn


def _found(path: str) -> Callable[..., Any]:
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise ValueError(f"wanted path.to.module:function, got {path!r}")
    try:
        fn = importlib.import_module(module_name)
        for part in name.split("."):
            fn = getattr(fn, part)
    except Exception as error:  # noqa: BLE001 - importing runs somebody else's module, which may raise anything
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not callable(fn):
        raise ValueError(f"{path} is not callable")
    return fn


def made_by(path: str) -> Callable[..., str]:
    """``package.module:name`` of a factory → the function that it gives. Raises ValueError when it cannot be used."""
    factory = _found(path)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the first line on stdout is the address
            fn = factory()
    except Exception as error:  # noqa: BLE001 - somebody else's code loads a model here
        log.exception("the factory failed")
        raise ValueError(f"{path}() failed: {type(error).__name__}: {error}") from error
    if not callable(fn):
        raise ValueError(f"{path}() gave {type(fn).__name__}, which is not callable")
    accepted(fn)
    return fn


def accepted(fn: Callable[..., str]) -> tuple[str, ...]:
    """Which of NAMES the function takes. Raises ValueError when it wants something else."""
    parameters = inspect.signature(fn).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return NAMES
    alien = [p.name for p in parameters if p.name not in NAMES and p.default is p.empty]
    if alien:
        raise ValueError(f"the function wants {', '.join(alien)}; it may take {', '.join(NAMES)}")
    return tuple(parameter.name for parameter in parameters if parameter.name in NAMES)


def unpack(messages: Any, folder: Path) -> dict[str, Any]:
    """Chat messages → the function's arguments; audio and video are written below ``folder``. Raises BadRequest."""
    values: dict[str, Any] = {"frames": [], "video_path": None, "audio_path": None, "prompt": ""}
    texts: list[str] = []
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a non-empty list")
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if not isinstance(parts, list):
            raise BadRequest("the content of a message must be text or a list of parts")
        for part in parts:
            try:
                _take(part, values, texts, folder)
            except (KeyError, TypeError, AttributeError) as error:
                raise BadRequest(f"malformed content part: {error!r}") from error
    values["prompt"] = "\n\n".join(texts)
    return values


def _take(part: dict[str, Any], values: dict[str, Any], texts: list[str], folder: Path) -> None:
    kind = part["type"]
    if kind == "text":
        texts.append(str(part["text"]))
    elif kind == "image_url":
        values["frames"].append(_image(_data_url(part["image_url"]["url"])))
    elif kind == "video_url":
        values["video_path"] = folder / "video.mp4"
        values["video_path"].write_bytes(_data_url(part["video_url"]["url"]))
    elif kind == "input_audio":
        values["audio_path"] = folder / "audio.wav"
        values["audio_path"].write_bytes(_decode(part["input_audio"]["data"]))
    else:
        raise BadRequest(f"unknown content part {kind!r}")


def _data_url(url: str) -> bytes:
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64") or not comma:
        raise BadRequest("media must come as a base64 data URL; this server fetches no addresses")
    return _decode(data)


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"not base64: {error}") from error


def _image(data: bytes) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise BadRequest(
            "this server's environment has no Pillow, so it takes no pictures: pip install pillow"
        ) from error
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:  # Pillow's, by format
        raise BadRequest(f"an image cannot be read: {error}") from error


class FunctionServer(ThreadingHTTPServer):
    """Serves ``fn`` under the model name ``model``; at most ``concurrency`` calls of it run at a time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, fn: Callable[..., str], model: str, host: str = "127.0.0.1", port: int = 0, concurrency: int = 1
    ) -> None:
        super().__init__((host, port), Handler)
        self.fn, self.model, self.takes = fn, model, accepted(fn)
        self.slots = threading.BoundedSemaphore(concurrency)

    def answer(self, messages: Any) -> str:
        """Call the function. Raises BadRequest, and whatever the function raises."""
        with tempfile.TemporaryDirectory(prefix="serve-") as folder:
            values = unpack(messages, Path(folder))
            if unseen := [name for name in NAMES if name != "prompt" and values[name] and name not in self.takes]:
                raise BadRequest(f"the function takes {', '.join(self.takes)}; the request has {unseen[0]}")
            with self.slots:
                text = self.fn(**{name: values[name] for name in self.takes})
        if not isinstance(text, str):
            raise TypeError(f"the function returned {type(text).__name__}, not text")
        return text


class Handler(BaseHTTPRequestHandler):
    """``/health``, ``/v1/models`` and ``/v1/chat/completions``, plain or as a stream of one chunk."""

    protocol_version = "HTTP/1.1"
    timeout = READ_TIMEOUT_S
    server: FunctionServer

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/health":
            self._json(200, {"status": "ok", "model": self.server.model})
        elif self.path.rstrip("/") == "/v1/models":
            model = {"id": self.server.model, "object": "model", "created": 0, "owned_by": "local"}
            self._json(200, {"object": "list", "data": [model]})
        else:
            self._error(404, f"no such path: {self.path}")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            return self._error(411, "Content-Length is needed")
        if not 0 <= length <= MAX_BODY:
            return self._error(413, f"the body may hold {MAX_BODY} bytes at most")
        body = self.rfile.read(length)
        if self.path.rstrip("/") != "/v1/chat/completions":
            return self._error(404, f"no such path: {self.path}")
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise BadRequest("the body must be a JSON object")
            if request.get("model") not in (None, self.server.model):
                return self._error(404, f"this server has the model {self.server.model!r} only")
            text = self.server.answer(request.get("messages"))
        except (json.JSONDecodeError, UnicodeDecodeError, BadRequest) as error:
            return self._error(400, str(error))
        except Exception as error:  # noqa: BLE001 - somebody else's function: its error is the client's answer
            log.exception("the function failed")
            return self._error(500, f"{type(error).__name__}: {error}")
        return self._stream(text) if request.get("stream") else self._completion(text)

    def _base(self, kind: str) -> dict[str, Any]:
        made = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time())}
        return {**made, "model": self.server.model}  # not made | …: Python 3.8

    def _completion(self, text: str) -> None:
        message = {"role": "assistant", "content": text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self._json(200, {**self._base("chat.completion"), "choices": choices})

    def _stream(self, text: str) -> None:
        base = self._base("chat.completion.chunk")
        events = [
            {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            for delta, reason in (({"role": "assistant", "content": text}, None), ({}, "stop"))
        ]
        lines = [json.dumps(event, ensure_ascii=False) for event in events] + ["[DONE]"]
        self._send(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())

    def _error(self, status: int, message: str) -> None:
        self.close_connection = True  # the body may not have been read
        self._json(status, {"error": {"message": message, "type": "error", "code": status}})

    def _json(self, status: int, value: Any) -> None:
        self._send(status, "application/json", json.dumps(value, ensure_ascii=False).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.info(format, *args)


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted; the first line on stdout is the base URL. Exit 2: the call was wrong."""
    parser = argparse.ArgumentParser(prog="python -m models_ml.serve", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("callable", help="path.to.module:function")
    parser.add_argument("--factory", action="store_true", help="the callable gives the function (and loads its model)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--model", help="the name to serve it under (default: the function's)")
    parser.add_argument("--concurrency", type=int, default=1, help="calls of the function at a time")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    try:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # run as a file, only the file's own folder is there
        fn = made_by(options.callable) if options.factory else load_callable(options.callable)
        model = options.model or options.callable.rpartition(":")[2]
        server = FunctionServer(fn, model, options.host, options.port, max(1, options.concurrency))
    except (ValueError, OSError, OverflowError) as error:  # the last: a port above 65535
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"http://{options.host}:{server.server_address[1]}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
