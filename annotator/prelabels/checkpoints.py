"""A promoted checkpoint as a pre-labeller: a process beside the worker holds the model, and is asked like a server.

Only one checkpoint is in memory at a time: who asks another one ends the process of the first, and its memory with it.
The process is started at the first question, started again where it was killed, and ends by itself when it is idle or
when the worker dies (its input ends). Questions that several threads bring meanwhile are answered together.
"""

import atexit
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings

from annotator.embedded.child import last_line, open_log
from models_ml.llm import Completion, ModelFailure, NotConfigured
from models_ml.llm.client import request_hash
from models_ml.llm.traffic import Spent, current, last

FOLDER = ".promoted"  # below the runs' folder; promoting copies a checkpoint there
LOADING_SECONDS = 600.0
SECRETS = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "SECRET_KEY")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,190}")


@dataclass(frozen=True)
class CheckpointModel:
    """Which weights, and how to run them. ``folder``: its name below `FOLDER`; ``name``: the pre-labeller's;
    ``batch``: questions answered together. Raises ValueError."""

    folder: str
    name: str
    sha256: str
    checkpoint: int
    run: str = ""
    step: int = 0
    stage: int | None = None
    language: str = "en"
    device: str = ""
    batch: int = 4
    timeout_s: float = 300.0
    idle_s: float = 300.0

    trust = "inside"
    queue = "gpu"
    base_url = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.folder):
            raise ValueError("a checkpoint becomes a pre-labeller on its page under Experiments, not by a path")
        if not re.fullmatch(r"[0-9a-f]{64}", str(self.sha256)):
            raise ValueError("sha256 must be that of the checkpoint's weights")
        for name in ("batch", "timeout_s", "idle_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
                raise ValueError(f"{name} must be a number of at least 1, not {value!r}")

    @classmethod
    def from_parameters(cls, folder: str, name: str, parameters: Mapping[str, Any]) -> "CheckpointModel":
        """Raises NotConfigured: an unknown option, a missing digest, or a folder that is gone."""
        known = {item.name for item in fields(cls)} - {"folder", "name"}
        if alien := sorted(set(parameters) - known):
            raise NotConfigured(f"not configured: a checkpoint has no option {alien[0]!r}; it has {sorted(known)}")
        try:
            found = cls(folder, name, **parameters)
        except (TypeError, ValueError) as error:
            raise NotConfigured(f"not configured: pre-labeller {name}: {error}") from error
        if not (found.path / "trainable.safetensors").is_file():
            raise NotConfigured(f"not configured: the checkpoint of pre-labeller {name} is not on this host any more")
        return found

    @property
    def path(self) -> Path:
        return Path(settings.RUNS_ROOT) / FOLDER / self.folder

    @property
    def model(self) -> str:
        """The name that its answers carry: which weights, whatever the pre-labeller is called later."""
        return f"{self.run}/step-{self.step:08d}@{self.sha256[:12]}"

    @property
    def identity(self) -> dict[str, Any]:
        """What provenance keeps of it."""
        return {"id": self.checkpoint, "run": self.run, "step": self.step, "stage": self.stage, "sha256": self.sha256}

    def describe_whole(
        self, media: str, subtitles: dict[str, str | None], clip: str, media_sha256: str | None
    ) -> Completion:
        """See `models_ml.steps.WholeClipModel`. Raises ModelFailure `crashed`, `timeout`, `unreadable`."""
        asked = {"sha256": self.sha256, "media_sha256": media_sha256, "subtitles": subtitles, "clip": clip}
        request = {"model": self.model, **asked}
        key, traffic = request_hash(request), current.get()
        if traffic and media_sha256 and (known := traffic.recall(key)) is not None:
            return Completion(**known, prompt_tokens=0, completion_tokens=0, seconds=0.0, calls=0, cached=True)
        question = _Question({"media": media, "subtitles": subtitles, "clip": clip, "media_sha256": media_sha256})
        _seat.ask(self, question)
        if question.failure is not None:
            raise question.failure
        told = question.answer or {}
        if "error" in told:
            raise ModelFailure("unreadable", told["error"], 1)
        on_gpu = str(told["device"]).startswith("cuda")
        parameters = {"checkpoint": self.identity, "device": told["device"], "in_training": told["seen"]}
        answer = Completion(
            text=told["text"], model=self.model, prompt_tokens=0, completion_tokens=0, seconds=told["seconds"],
            calls=1, parameters=parameters, request_sha256=key, gpu_seconds=told["seconds"] if on_gpu else 0.0,
        )  # fmt: skip
        last.set((self, request, answer.text))
        if traffic:
            traffic.spent.add(Spent(1, 0, 0, answer.seconds, answer.gpu_seconds, 0.0))
            if media_sha256:
                traffic.keep(
                    key, {name: getattr(answer, name) for name in ("text", "model", "parameters", "request_sha256")}
                )
        return answer


@dataclass(eq=False)
class _Question:
    asked: dict[str, Any]
    answer: dict[str, Any] | None = None
    failure: Exception | None = None

    @property
    def open(self) -> bool:
        return self.answer is None and self.failure is None


class _Child:
    """One running process and its pipes."""

    def __init__(self, model: CheckpointModel) -> None:
        self.model, self.rest = model, b""
        self.log = Path(settings.VAR) / "logs" / f"checkpoint-{model.folder}.log"
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = [sys.executable, "-m", "annotator.prelabels.checkpoint_worker", str(model.path.resolve())]
        words += ["--sha256", model.sha256, "--idle", str(model.idle_s)]
        words += ["--device", model.device] if model.device else []
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        with open_log(self.log) as log:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=settings.BASE_DIR,
                env=environment, bufsize=0,
            )  # fmt: skip
        self.asked, self.told = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        first = self.read(LOADING_SECONDS)
        if first is None or "error" in first:
            self.end()
            reason = (first or {}).get("error") or last_line(self.log) or "it ended without a word"
            raise NotConfigured(f"not configured: the checkpoint {model.name} cannot be loaded: {reason}")

    def ask(self, questions: list[dict[str, Any]], seconds: float) -> dict[str, Any] | None:
        """The answer to all of them; None where the process is gone or does not answer in time."""
        try:
            self.asked.write(json.dumps({"questions": questions}).encode() + b"\n")
        except OSError:
            return None
        return self.read(seconds)

    def read(self, seconds: float) -> dict[str, Any] | None:
        until = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.told], [], [], left)[0]:
                return None
            piece = os.read(self.told.fileno(), 65536)
            if not piece:
                return None
            self.rest += piece
        line, _newline, self.rest = self.rest.partition(b"\n")
        try:
            return dict(json.loads(line))
        except ValueError:
            return None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.asked.close()
        self.told.close()


class _Seat:
    """The one process that this worker may have, and the questions that wait for it."""

    def __init__(self) -> None:
        self.turn, self.door = threading.Lock(), threading.Lock()
        self.waiting: list[tuple[CheckpointModel, _Question]] = []
        self.child: _Child | None = None
        self.pid = os.getpid()

    def ask(self, model: CheckpointModel, question: _Question) -> None:
        """Answer this question, and with it what other threads asked of the same model meanwhile."""
        with self.door:
            self.waiting.append((model, question))
        with self.turn:
            while question.open:
                with self.door:
                    first = self.waiting[0][0]
                    batch = [each for each in self.waiting if each[0] == first][: int(first.batch)]
                    self.waiting = [each for each in self.waiting if each not in batch]
                self._answer(first, [each for _model, each in batch])

    def _answer(self, model: CheckpointModel, questions: list[_Question]) -> None:
        try:
            told = self._told(model, [question.asked for question in questions])
        except (NotConfigured, ModelFailure) as error:
            for question in questions:
                question.failure = error
            return
        each = round(told["seconds"] / len(questions), 3)
        for question, answer in zip(questions, told["answers"], strict=True):
            question.answer = {**answer, "seconds": each, "device": told["device"]}

    def _told(self, model: CheckpointModel, questions: list[dict[str, Any]]) -> dict[str, Any]:
        """Ask; a process that was killed meanwhile is started once more."""
        for _attempt in range(2):
            child = self._child_for(model)
            began = time.monotonic()
            told = child.ask(questions, model.timeout_s * len(questions))
            if told is not None and len(told.get("answers", [])) == len(questions):
                return told
            late = time.monotonic() - began >= model.timeout_s * len(questions)
            self.close()
            if late:
                raise ModelFailure("timeout", f"{model.name} did not answer within {model.timeout_s:g} s a clip", 1)
        reason = last_line(child.log) or "without a word"
        raise ModelFailure("crashed", f"the process of {model.name} ended twice: {reason}", 2)

    def _child_for(self, model: CheckpointModel) -> _Child:
        if self.child is not None and (self.child.model != model or self.child.process.poll() is not None):
            self.close()
        if self.child is None:
            self.child = _Child(model)
        return self.child

    def close(self) -> None:
        """End the process, if there is one of ours."""
        child, self.child = self.child, None
        if child is not None and self.pid == os.getpid():
            child.end()


_seat = _Seat()


def close() -> None:
    """End the process that holds a checkpoint; the next question starts one again."""
    with _seat.turn:
        _seat.close()


def _after_fork() -> None:
    global _seat
    _seat = _Seat()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _seat.close())
