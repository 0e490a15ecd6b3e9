"""What the spoken words mean emotionally, in the light of what was seen and heard."""

from __future__ import annotations

from typing import Any

from models_ml import prompts
from models_ml.llm import Completion, Endpoint, complete, require
from models_ml.steps.asking import clue_list, draft_clue, meant, person, skip, subtitle
from models_ml.steps.types import Evidence, StepResult

MAX_TOKENS = 300
# The clues that each variant of the prompt is given (arXiv 2407.07653, section 3.3).
VARIANTS: dict[str, tuple[str, ...]] = {"av": ("visual", "audio"), "a": ("audio",), "v": ("visual",)}
PROMPTS = {"av": "disambiguate", "a": "disambiguate_audio", "v": "disambiguate_visual"}


def disambiguate(
    ev: Evidence,
    endpoint: Endpoint | None = None,
    *,
    language: str = "en",
    variant: str = "auto",
    idempotency_key: str | None = None,
) -> StepResult:
    """What the subtitle says emotionally in the light of the clues: one text/content clue.

    ``variant``: with visual and audio clues (``av``), audio alone (``a``), visual alone (``v``), or ``auto``, by the
    clues there are. Skipped without a subtitle; raises NotConfigured, ModelFailure.
    """
    words = subtitle(ev)
    if not words:
        return skip(ev, "disambiguate", "the clip has no subtitle")
    server = require(endpoint, "LLM")
    clues = {modality: clue_list(ev, modality, language) for modality in ("visual", "audio")}
    if variant == "auto":
        variant = "".join(modality[0] for modality in ("audio", "visual") if clues[modality]) or "av"
    prompt = prompts.load(PROMPTS[variant], language)
    given: dict[str, Any] = {modality: clues[modality] for modality in VARIANTS[variant]}
    if "visual" in given:  # what was heard is nobody's in particular
        given["person"] = person(ev, language)
    messages = prompt.render(**given, subtitle=words)

    def ask() -> Completion:
        return complete(server, messages, max_tokens=MAX_TOKENS, idempotency_key=idempotency_key)

    of = meant(ev) if "visual" in given else {}
    return draft_clue(ev, "disambiguate", ("text", "content", language), prompt, ask, {"variant": variant} | of)
