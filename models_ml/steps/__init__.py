"""The pipeline's steps as plain functions, and the pipelines as small declarations of them.

A step raises ``models_ml.llm.NotConfigured`` when it wants an endpoint that nobody gave,
``models_ml.llm.ModelFailure`` when a model's answer cannot be used, and lets ``MediaError`` and
``AuTrackError`` of the clip's own files through. It never invents a text.
"""

from __future__ import annotations

from typing import Any

from models_ml.steps.labels import parse_ov_labels
from models_ml.steps.measured import au_expression, measured_prosody, render_codes
from models_ml.steps.models import audio_clue, visual_clue
from models_ml.steps.template import coarse_template
from models_ml.steps.text import disambiguate, merge
from models_ml.steps.types import Evidence, StepResult, StepSpec

_CLUE_STEPS = ("measured_prosody", "au_expression", "visual_clue", "audio_clue")

STEPS: dict[str, StepSpec] = {
    spec.name: spec
    for spec in (
        StepSpec("measured_prosody", measured_prosody, ("audio",), None, "clue", "cpu"),
        StepSpec("au_expression", au_expression, ("au",), None, "clue", "cpu"),
        StepSpec("visual_clue", visual_clue, ("video",), "PRELABEL", "clue", "llm"),
        StepSpec("audio_clue", audio_clue, ("audio",), "PRELABEL", "clue", "llm"),
        StepSpec("disambiguate", disambiguate, ("subtitle", *_CLUE_STEPS), "LLM", "clue", "llm"),
        StepSpec("coarse_template", coarse_template, _CLUE_STEPS, None, "description", "cpu"),
        StepSpec("merge", merge, (*_CLUE_STEPS, "disambiguate"), "LLM", "description", "llm"),
    )
}

PIPELINES: dict[str, dict[str, Any]] = {
    "measured": {"version": "1", "steps": ["measured_prosody", "au_expression", "coarse_template"]},
    "emer": {
        "version": "1",
        "steps": ["measured_prosody", "au_expression", "visual_clue", "audio_clue", "disambiguate", "merge"],
    },
    "merr": {"version": "1", "steps": ["au_expression", "visual_clue", "audio_clue", "coarse_template"]},
}


def run_step(
    name: str, ev: Evidence, endpoint: Any = None, *, idempotency_key: str | None = None, **options: Any
) -> StepResult:
    """Run one step by name; the endpoint and the key reach only those steps that call a model.

    Raises KeyError for an unknown step and whatever the step itself raises (see the module's docstring).
    """
    spec = STEPS[name]
    if spec.endpoint is None:
        return spec.fn(ev, **options)
    return spec.fn(ev, endpoint, idempotency_key=idempotency_key, **options)


__all__ = [
    "PIPELINES",
    "STEPS",
    "Evidence",
    "StepResult",
    "StepSpec",
    "au_expression",
    "audio_clue",
    "coarse_template",
    "disambiguate",
    "measured_prosody",
    "merge",
    "parse_ov_labels",
    "render_codes",
    "run_step",
    "visual_clue",
]
