"""Way 2: a model of the transformers library inside the worker process, asked like a server.

    answer = complete(LocalModel("/models/Qwen2-Audio-7B-Instruct"), messages)

A checkpoint is loaded at its first question and kept for the life of the process; a lock lets one thread at a time
compute, and questions that other threads bring meanwhile are answered together, up to ``batch`` at a time.
"""

from __future__ import annotations

import copy
import functools
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from models_ml.llm.client import Completion, request_hash
from models_ml.llm.errors import ModelFailure, NotConfigured, excerpt
from models_ml.mllm.families import ALIASES, FAMILIES, Asked, Loaded, Messages, inputs, load, take_apart

T = TypeVar("T")
_NO_MEMORY = re.compile(r"OutOfMemoryError|out of memory|can't allocate memory")
DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LocalModel:
    """A checkpoint in a folder or on the hub, and how to run it. Nothing is loaded before the first question.

    ``family``: ``auto`` (by the checkpoint's config) or one of ``families.FAMILIES``; ``device``: ``auto``, ``cpu``,
    ``cuda``, ``cuda:1`` …; ``dtype``: ``auto`` is the checkpoint's own on a GPU, float32 on a processor. ``batch``:
    questions answered together. Raises ValueError.
    """

    path: str
    family: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    batch: int = 1
    max_new_tokens: int = 1024  # an upper bound on what a question may ask for

    trust = "inside"
    queue = "gpu"
    base_url = ""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("a local model needs the path of its folder, or its id on the hub")
        if self.family not in ("auto", *FAMILIES, *ALIASES):
            raise ValueError(f"family must be auto or one of {', '.join(FAMILIES)}, not {self.family!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        for name in ("batch", "max_new_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")

    @property
    def model(self) -> str:
        """The name that its answers carry."""
        return self.path

    @property
    def address(self) -> str:
        """What an answer of it is remembered under: other options or other weights in the same folder are another
        model."""
        folder = Path(self.path).expanduser()
        found = sorted(folder.glob("*.json")) + sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in found]
        return f"{self!r} {files}"

    @classmethod
    def from_parameters(cls, path: str, parameters: Mapping[str, Any]) -> LocalModel:
        """The model at ``path`` with the options a person wrote. Raises NotConfigured for one that is not known."""
        known = {item.name for item in fields(cls)} - {"path"}
        if alien := sorted(set(parameters) - known):
            raise NotConfigured(f"not configured: a local model has no option {alien[0]!r}; it has {sorted(known)}")
        try:
            return cls(path, **parameters)
        except ValueError as error:
            raise NotConfigured(f"not configured: {error}") from error


@dataclass(eq=False)
class _Question:
    messages: Messages
    temperature: float
    max_tokens: int
    seed: int
    answer: Completion | None = None
    failure: Exception | None = None

    @property
    def alike(self) -> tuple[float, int, int | None]:
        """Questions that may share a batch: drawn answers are drawn one by one, by their own seed."""
        return self.temperature, self.max_tokens, None if self.temperature == 0 else id(self)


class _Engine:
    """One loaded checkpoint and the questions that wait for it."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self.turn, self.door = threading.Lock(), threading.Lock()
        self.waiting: list[_Question] = []
        self.loaded: Loaded | None = None

    def ask(self, questions: Sequence[_Question]) -> None:
        """Answer these, and with them what other threads put in the queue."""
        with self.door:
            self.waiting += questions
        with self.turn:
            while any(one.answer is None and one.failure is None for one in questions):
                with self.door:
                    first = self.waiting[0]
                    batch = [one for one in self.waiting if one.alike == first.alike][: self.model.batch]
                    self.waiting = [one for one in self.waiting if one not in batch]
                self._answer(batch)

    def _answer(self, batch: list[_Question]) -> None:
        try:
            if self.loaded is None:
                self.loaded = _out_of_memory_is_said(self.model, self._load)
            answers = _answers(self.model, self.loaded, batch)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            if len(batch) > 1 and not isinstance(error, NotConfigured):
                # One clip's sound may be broken, or two together too large: each is asked alone.
                for one in batch:
                    self._answer([one])
                return
            for one in batch:
                one.failure = error
            return
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                one.failure = answer
            else:
                one.answer = answer

    def _load(self) -> Loaded:
        model = self.model
        return load(model.path, ALIASES.get(model.family, model.family), model.device, model.dtype)


@functools.cache
def _made(model: LocalModel) -> _Engine:
    return _Engine(model)


_making = threading.Lock()


def _engine(model: LocalModel) -> _Engine:
    with _making:
        return _made(model)


def complete_local(
    model: LocalModel,
    messages: Messages,
    *,
    temperature: float = 0.0,
    max_tokens: int = 512,
    seed: int = 0,
) -> Completion:
    """Ask the model one question; as ``models_ml.llm.complete``, which hands over to it.

    The same question gets the same answer at temperature 0, and for the same seed above. Token counts are the
    tokenizer's, media included. Raises NotConfigured (it cannot be loaded, or does not take this media) and
    ModelFailure: ``truncated`` (max_tokens came before the end), ``empty``, ``out_of_memory``, ``bad_request``.
    """
    return complete_many(model, [messages], temperature=temperature, max_tokens=max_tokens, seed=seed)[0]


def complete_many(
    model: LocalModel,
    conversations: Sequence[Messages],
    *,
    temperature: float = 0.0,
    max_tokens: int = 512,
    seed: int = 0,
) -> list[Completion]:
    """Ask several questions, ``model.batch`` at a time. Raises for the first that failed, as ``complete_local``."""
    questions = [
        _Question(messages, temperature, min(max_tokens, model.max_new_tokens), seed) for messages in conversations
    ]
    _engine(model).ask(questions)
    for one in questions:
        if one.failure is not None:
            raise one.failure
    return [one.answer for one in questions if one.answer is not None]


def _answers(model: LocalModel, loaded: Loaded, batch: list[_Question]) -> list[Completion | ModelFailure]:
    started = time.monotonic()
    asked = [take_apart(one.messages, loaded, model.path) for one in batch]
    made, prompt_tokens = _out_of_memory_is_said(model, lambda: _generate(model, loaded, asked, batch[0]))
    seconds = round((time.monotonic() - started) / len(batch), 3)
    return [
        _judge(model, loaded, one, list(ids), tokens, seconds)
        for one, ids, tokens in zip(batch, made, prompt_tokens, strict=True)
    ]


def _generate(model: LocalModel, loaded: Loaded, asked: list[Asked], how: _Question) -> tuple[Any, list[int]]:
    """New ids of each row, and how many tokens each prompt had."""
    import torch

    tensors = inputs(loaded, asked, model.path)
    settings = copy.deepcopy(loaded.model.generation_config)
    settings.max_new_tokens, settings.max_length, settings.num_beams = how.max_tokens, None, 1
    settings.pad_token_id = loaded.tokenizer.pad_token_id
    settings.eos_token_id = _ends(loaded)
    settings.do_sample = how.temperature > 0
    settings.temperature = how.temperature or 1.0
    if not settings.do_sample:
        settings.top_p, settings.top_k = 1.0, 50  # what the checkpoint says of drawing does not matter then
    gpus = [loaded.device] if loaded.device.type == "cuda" else []
    with torch.inference_mode(), torch.random.fork_rng(gpus):
        torch.manual_seed(how.seed)
        whole = loaded.model.generate(**tensors, generation_config=settings)
    return whole[:, tensors["input_ids"].shape[1] :].tolist(), tensors["attention_mask"].sum(1).tolist()


def _ends(loaded: Loaded) -> list[int]:
    """Ids that end an answer: the checkpoint's and its tokenizer's."""
    said = loaded.model.generation_config.eos_token_id
    ids = [*said] if isinstance(said, list | tuple) else [said]
    return sorted({one for one in [*ids, loaded.tokenizer.eos_token_id] if one is not None})


def _judge(
    model: LocalModel, loaded: Loaded, one: _Question, ids: list[int], prompt_tokens: int, seconds: float
) -> Completion | ModelFailure:
    ends = _ends(loaded)
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    text = loaded.tokenizer.decode(ids if end is None else ids[:end], skip_special_tokens=True)
    if end is None and len(ids) >= one.max_tokens:
        return ModelFailure("truncated", f"the answer was cut at max_tokens: {excerpt(text)}", 1)
    if not text.strip():
        return ModelFailure("empty", "the model answered with nothing", 1)
    parameters = {"temperature": one.temperature, "max_tokens": one.max_tokens, "seed": one.seed}
    return Completion(
        text=text,
        model=model.model,
        prompt_tokens=int(prompt_tokens),
        completion_tokens=len(ids) if end is None else end + 1,
        seconds=seconds,
        calls=1,
        parameters={
            **parameters,
            "device": str(loaded.device),
            "dtype": str(loaded.model.dtype).removeprefix("torch."),
        },
        request_sha256=request_hash({"model": model.model, "messages": one.messages, **parameters}),
        gpu_seconds=seconds if loaded.device.type == "cuda" else 0.0,
    )


def _out_of_memory_is_said(model: LocalModel, work: Callable[[], T]) -> T:
    """Run ``work``; memory that runs out becomes ModelFailure ``out_of_memory`` and what was cached is freed."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        # torch.OutOfMemoryError of a GPU; of a processor torch says it in words only
        if isinstance(error, RuntimeError) and not _NO_MEMORY.search(f"{type(error).__name__}: {error}"):
            raise
        reason = excerpt(str(error))
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise ModelFailure(
        "out_of_memory",
        f"{model.path} does not fit into memory ({model.device}): {reason}; take a smaller batch, another dtype or "
        "another device",
        1,
    )


__all__ = ["LocalModel", "complete_local", "complete_many"]
