"""What goes into a pipeline step and what comes out of it: evidence in, text and its provenance out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from models_ml.face import AuTrack

MODALITIES = ("visual", "audio", "text")
ASPECTS = ("expression", "gesture", "scene", "tone", "prosody", "content", "")


def _both() -> dict[str, str | None]:
    return {"zh": None, "en": None}


@dataclass
class Evidence:
    """All that is known of one clip when a step runs.

    ``clues`` holds what earlier steps (or a person) stated: dicts with ``modality, aspect, language, text`` and,
    where they are kept, ``codes`` and ``texts`` (the same clue rendered in zh and en). Rejected clues do not belong
    here. ``baseline`` is ``models_ml.voice.baseline`` of the speaker's other clips, when the speaker is known.

    ``person``: who is meant where several people are seen: ``{"track": n, "place": {"zh": str, "en": str}, "span":
    [t0, t1], "boxes": [[t, x, y, w, h], …]}`` (shares of the picture's width and height); None: nobody chose.
    ``draft``: the description that an earlier step of the same run wrote: ``{"description": {zh, en}, "ov_labels":
    {zh, en} | None}``. ``muted_path``: the picture of the clip as a video file without sound, where one was made.
    ``duration``: seconds of the clip, where they are known. A clue may name its ``annotator``, where several people
    checked the clip.
    """

    name: str
    media_path: Path | str | None = None
    wav_path: Path | str | None = None
    au: AuTrack | None = None
    subtitle: dict[str, str | None] = field(default_factory=_both)
    clues: list[dict[str, Any]] = field(default_factory=list)
    baseline: dict[str, Any] | None = None
    media_sha256: str | None = None
    person: dict[str, Any] | None = None
    draft: dict[str, Any] | None = None
    muted_path: Path | str | None = None
    duration: float | None = None


@dataclass
class StepResult:
    """What a step found.

    ``clues``: dicts ``{modality, aspect, language, text, codes|None, texts:{zh,en}|None,
    span:[t0,t1]|None}``; ``codes`` is a JSON object ``{"kind": "prosody"|"au", …}`` from which
    ``render_codes`` writes the text again in either language. ``description`` is ``{"zh": str|None, "en":
    str|None}``, ``ov_labels`` ``{"zh": […], "en": […]}``; None = not produced. ``provenance``:
    ``{prelabeller, model|None, prompt:{file, version, sha256}|None, parameters, media_sha256, prompt_tokens,
    completion_tokens, calls, seconds, cached, cost, gpu_seconds}``.

    ``filtered``: why the rest of the pipeline leaves this clip out (no strong expression, contradictory clues); None:
    it goes on. ``track``: ``{"csv": text of an OpenFace CSV, "producer": name and version}``. ``faces``: the people
    seen, one dict each as ``models_ml.face.people`` gives them.
    """

    state: Literal["done", "skipped"]
    reason: str | None = None
    clues: list[dict[str, Any]] = field(default_factory=list)
    description: dict[str, str | None] | None = None
    ov_labels: dict[str, list[str]] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    filtered: str | None = None
    track: dict[str, Any] | None = None
    faces: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Option:
    """A setting of a step that a pipeline may change: its default, what is allowed (``choices``, or a number between
    ``least`` and ``most``) and one line of help. The value reaches the step as a keyword argument of the same name."""

    default: Any
    help: str
    choices: tuple[Any, ...] | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class StepSpec:
    """One step of a pipeline.

    ``needs`` mixes two kinds of words. ``audio``, ``video``, ``media`` (either of both), ``au``, ``subtitle`` are
    inputs of the clip: where one is missing the step is skipped. The others name steps: within one pipeline this
    step starts when those of them that are part of the pipeline have ended, in whatever way.

    ``produces``: ``clue`` and ``description`` are stored for people; ``filter`` decides whether the clip goes on;
    ``au_track`` and ``faces`` are files and tracks of the clip. ``queue``: ``media`` decodes or runs a program,
    ``cpu`` computes for milliseconds, ``llm`` waits for a server, ``gpu`` has a model in the worker. ``prompts``: the
    prompts (files without their language) that it may use; ``models_ml.steps.prompts_of`` tells their hashes.
    """

    name: str
    fn: Callable[..., StepResult]
    needs: tuple[str, ...]
    endpoint: Literal["LLM", "PRELABEL"] | None
    produces: Literal["clue", "description", "filter", "au_track", "faces"]
    queue: Literal["media", "cpu", "gpu", "llm"]
    version: str = "1"
    modality: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    prompts: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The clip inputs among ``needs``."""
        return tuple(need for need in self.needs if need in INPUTS)

    def after(self, pipeline_steps: list[str]) -> list[str]:
        """The steps of this pipeline that must have ended before this one starts."""
        return [need for need in self.needs if need in pipeline_steps]


INPUTS = ("audio", "video", "media", "au", "subtitle")


def provenance(ev: Evidence, prelabeller: str, seconds: float, **more: Any) -> dict[str, Any]:
    """A complete provenance dict; what a step does not know stays None or 0."""
    base: dict[str, Any] = {
        "prelabeller": prelabeller,
        "model": None,
        "prompt": None,
        "parameters": {},
        "media_sha256": ev.media_sha256,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "calls": 0,
        "seconds": round(seconds, 3),
        "cached": False,
        "cost": 0.0,
        "gpu_seconds": 0.0,
    }
    unknown = set(more) - set(base)
    if unknown:
        raise TypeError(f"unknown provenance keys: {sorted(unknown)}")
    return base | more


def clue(modality: str, aspect: str, language: str, text: str, **more: Any) -> dict[str, Any]:
    """A clue dict with every key present."""
    return {
        "modality": modality,
        "aspect": aspect,
        "language": language,
        "text": text,
        "codes": more.get("codes"),
        "texts": more.get("texts"),
        "span": more.get("span"),
    }


def clue_text(item: dict[str, Any], language: str) -> str:
    """The clue in this language, or "" when nobody wrote it in this language."""
    texts = item.get("texts") or {}
    if texts.get(language):
        return str(texts[language]).strip()
    return str(item.get("text") or "").strip() if item.get("language") == language else ""
