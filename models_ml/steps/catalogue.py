"""Every step with its needs, options and prompts, and the pipelines that the library brings."""

from __future__ import annotations

from typing import Any

from models_ml import prompts
from models_ml.steps.audio import audio_clue
from models_ml.steps.fine import fine_generation
from models_ml.steps.labels import ov_labels
from models_ml.steps.measured import au_expression, measured_prosody
from models_ml.steps.merge import FORMS, merge
from models_ml.steps.template import coarse_template
from models_ml.steps.text import PROMPTS, VARIANTS, disambiguate
from models_ml.steps.tracks import au_filter, au_track, faces
from models_ml.steps.translate import translate
from models_ml.steps.types import Option, StepSpec
from models_ml.steps.visual import FRAME_SIDE, FRAMES, SCENE_SIDE, visual_clue, visual_objective
from models_ml.steps.whole import clip_description

_FIRST = ("au_track", "faces", "au_filter")  # what decides whether a clip goes on, and whom it is about
_CLUES = ("measured_prosody", "au_expression", "visual_objective", "visual_clue", "audio_clue")
_LANGUAGE = Option("en", "language of the answer", choices=("zh", "en"))
_LANGUAGES = Option("both", "languages of the answer", choices=("both", "zh", "en"))

STEPS: dict[str, StepSpec] = {
    spec.name: spec
    for spec in (
        StepSpec("au_track", au_track, ("video",), None, "au_track", "media", modality="visual"),
        StepSpec("faces", faces, ("video",), None, "faces", "media", modality="visual"),
        StepSpec(
            "au_filter",
            au_filter,
            ("au", "au_track", "faces"),
            None,
            "filter",
            "cpu",
            modality="visual",
            options={
                "strength": Option(1.0, "least mean intensity of the combination at the peak", least=0.0, most=5.0),
                "labels": Option((), "keep these pseudo-labels only; none named: all"),
                "neutral_share": Option(0.0, "share of clips without expression that is kept", least=0.0, most=1.0),
                "seed": Option(0, "seed of that choice"),
                "rare_first": Option(False, "look for rare emotions (disgust) first", choices=(True, False)),
            },
        ),
        StepSpec(
            "measured_prosody", measured_prosody, ("audio", *_FIRST), None, "clue", "cpu", version="1", modality="audio"
        ),
        StepSpec("au_expression", au_expression, ("au", *_FIRST), None, "clue", "cpu", version="2", modality="visual"),
        StepSpec(
            "visual_objective",
            visual_objective,
            ("video", *_FIRST, "au_expression"),
            "PRELABEL",
            "clue",
            "llm",
            modality="visual",
            options={
                "frame_side": Option(SCENE_SIDE, "pixels of the frame's longer side", least=224, most=2048),
            },
            prompts=("visual_objective",),
        ),
        StepSpec(
            "visual_clue",
            visual_clue,
            ("video", *_FIRST),
            "PRELABEL",
            "clue",
            "llm",
            version="2",
            modality="visual",
            options={
                "frames": Option(FRAMES, "uniformly sampled frames", least=4, most=8),
                "frame_side": Option(FRAME_SIDE, "pixels of each frame's longer side", least=224, most=2048),
                "send": Option(
                    "auto",
                    "frames, the video file without sound, or whichever the server takes",
                    choices=("auto", "frames", "video"),
                ),
            },
            prompts=("visual_clue",),
        ),
        StepSpec(
            "audio_clue",
            audio_clue,
            ("audio", *_FIRST),
            "PRELABEL",
            "clue",
            "llm",
            version="2",
            modality="audio",
            options={
                "audio_window": Option(
                    "loudest", "which 30 s of audio above 120 s are heard", choices=("loudest", "first")
                ),
            },
            prompts=("audio_clue",),
        ),
        StepSpec(
            "disambiguate",
            disambiguate,
            ("subtitle", *_FIRST, *_CLUES),
            "LLM",
            "clue",
            "llm",
            version="2",
            modality="text",
            options={
                "variant": Option(
                    "auto", "with video and audio clues, one of them, or those there are", choices=("auto", *VARIANTS)
                ),
            },
            prompts=tuple(PROMPTS.values()),
        ),
        StepSpec(
            "coarse_template",
            coarse_template,
            (*_FIRST, *_CLUES, "disambiguate"),
            None,
            "description",
            "cpu",
            version="2",
            options={"form": Option("emer", "layout of the description", choices=("emer", "merr"))},
        ),
        StepSpec(
            "fine_generation",
            fine_generation,
            (*_FIRST, *_CLUES, "disambiguate", "coarse_template"),
            "LLM",
            "description",
            "llm",
            options={
                "languages": _LANGUAGES,
                "filter_contradictory": Option(
                    True, "leave out a clip whose clues contradict each other", choices=(True, False)
                ),
            },
            prompts=("fine_generation", "fine_generation_one"),
        ),
        StepSpec(
            "merge",
            merge,
            (*_FIRST, *_CLUES, "disambiguate"),
            "LLM",
            "description",
            "llm",
            version="2",
            options={
                "form": Option(
                    "json", "the prompt: both languages and labels at once, or plain text", choices=tuple(FORMS)
                ),
                "language": _LANGUAGE,
            },
            prompts=tuple(FORMS.values()),
        ),
        StepSpec(
            "clip_description",
            clip_description,
            ("media", *_FIRST, *_CLUES, "disambiguate"),
            "PRELABEL",
            "description",
            "llm",
            modality="clip",
            options={
                "language": _LANGUAGE,
                "frames": Option(FRAMES, "uniformly sampled frames", least=4, most=8),
                "frame_side": Option(FRAME_SIDE, "pixels of each frame's longer side", least=224, most=2048),
            },
            prompts=("clip_description",),
        ),
        StepSpec(
            "translate",
            translate,
            ("coarse_template", "fine_generation", "merge", "clip_description"),
            "LLM",
            "description",
            "llm",
            options={"target": Option("auto", "the language to write", choices=("auto", "zh", "en"))},
            prompts=("translate",),
        ),
        StepSpec(
            "ov_labels",
            ov_labels,
            ("coarse_template", "fine_generation", "merge", "clip_description", "translate"),
            "LLM",
            "description",
            "llm",
            options={"languages": _LANGUAGES},
            prompts=("ov_labels",),
        ),
    )
}

# A step is a name, or a mapping with its `options` (and a `tag`, where one step stands twice).
PIPELINES: dict[str, dict[str, Any]] = {
    "measured": {"version": "1", "steps": ["measured_prosody", "au_expression", "coarse_template"]},
    # The order of arXiv 2407.07653; the merging call writes both languages and the labels at once.
    "emer": {
        "version": "2",
        "steps": ["measured_prosody", "au_expression", "visual_clue", "audio_clue", "disambiguate", "merge"],
    },
    # The same with open models that cannot be trusted with JSON: plain text, then translation, then labels.
    "emer-open": {
        "version": "1",
        "steps": [
            "visual_clue",
            "audio_clue",
            "disambiguate",
            {"step": "merge", "options": {"form": "clues"}},
            "translate",
            "ov_labels",
        ],
    },
    # Emotion-LLaMA's. Clips without strong expression stay: `au_filter` is for a pipeline that asks for it.
    "merr": {
        "version": "2",
        "steps": [
            "au_track",
            "au_expression",
            "visual_objective",
            "audio_clue",
            {"step": "coarse_template", "options": {"form": "merr"}},
            "fine_generation",
        ],
    },
}


def base_name(step: str | dict[str, Any]) -> str:
    """The step's name in an entry of a pipeline's ``steps``."""
    return step if isinstance(step, str) else str(step["step"])


def prompts_of(name: str) -> list[dict[str, str]]:
    """File, version and sha256 of every prompt that a step may use, by file: a changed wording is another plan."""
    stems = set(STEPS[name].prompts)
    return [prompt.reference for prompt in prompts.available() if prompt.step in stems]
