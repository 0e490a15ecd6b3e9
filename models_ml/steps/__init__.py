"""The pipeline's steps as plain functions, and the pipelines as small declarations of them.

A step raises ``models_ml.llm.NotConfigured`` when it wants an endpoint that nobody gave,
``models_ml.llm.ModelFailure`` when a model's answer cannot be used, and lets ``MediaError`` and
``AuTrackError`` of the clip's own files through. It never invents a text.
"""

from __future__ import annotations

from typing import Any

from models_ml.steps.audio import audio_clue
from models_ml.steps.catalogue import PIPELINES, STEPS, base_name, prompts_of
from models_ml.steps.fine import fine_generation
from models_ml.steps.labels import ov_labels, parse_ov_labels
from models_ml.steps.measured import au_expression, measured_prosody, render_codes
from models_ml.steps.merge import merge
from models_ml.steps.template import coarse_template
from models_ml.steps.text import disambiguate
from models_ml.steps.translate import translate
from models_ml.steps.types import Evidence, Option, StepResult, StepSpec
from models_ml.steps.visual import visual_clue, visual_objective
from models_ml.steps.whole import WholeClipModel, clip_description


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
    "Option",
    "StepResult",
    "StepSpec",
    "WholeClipModel",
    "au_expression",
    "audio_clue",
    "base_name",
    "clip_description",
    "coarse_template",
    "disambiguate",
    "fine_generation",
    "measured_prosody",
    "merge",
    "ov_labels",
    "parse_ov_labels",
    "prompts_of",
    "render_codes",
    "run_step",
    "translate",
    "visual_clue",
    "visual_objective",
]
