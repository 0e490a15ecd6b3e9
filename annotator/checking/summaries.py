"""A description proposed from checked clues: by the text LLM, or by the template where none is configured."""

from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Conflict, NotConfigured, WorkbenchError
from annotator.prelabels.plans import how_to
from models_ml import llm
from models_ml.steps import Evidence, coarse_template, merge
from models_ml.steps.types import StepResult

from . import bodies, leases
from .models import Claim, Summary
from .submissions import DRAFTABLE, offered_clues

TIMEOUT_S = 60.0  # a person waits for it
RETRIES = 1
SPEAKING = ("kept", "corrected", "added")


class ModelFailed(WorkbenchError):
    """The model behind an endpoint gave no usable answer; trying again may help."""

    status = 502
    code = "model-failure"


def summarise(user: Any, claim_id: int, body: Any) -> dict[str, Any]:
    """`{"description", "ov_labels", "source": "llm"|"template", "note"}` from the clues as checked in `body`.

    Runs outside a transaction. Only kept, corrected and added clues speak. A restricted clip never goes to an endpoint
    marked `outside`. Where no LLM may be asked, the template lays the clues out (without OV labels) and `note` says
    why; where it has nothing to say, NotConfigured tells how to configure one. Raises ModelFailed when the LLM was
    asked and gave nothing usable.
    """
    body = bodies.draft(body)
    claim = leases.find_claim(user, claim_id)
    if claim.state not in DRAFTABLE:
        raise Conflict(_("This claim has ended: it was %(state)s.") % {"state": claim.state}, code="claim-closed")
    evidence = _evidence(claim, body)
    endpoint, note = _endpoint(restricted=claim.clip.effective_licence == "restricted")
    source = "llm" if endpoint else "template"
    try:
        result = merge(evidence, endpoint) if endpoint else coarse_template(evidence)
    except llm.ModelFailure as failure:
        raise ModelFailed(
            _("The model gave no usable answer: %(detail)s") % {"detail": str(failure)}, reason=failure.code
        ) from failure
    if result.state != "done" or not evidence.clues:
        if endpoint is None:
            raise NotConfigured(note)
        raise Conflict(
            _("There is nothing to summarise yet: keep, correct or add a clue."), code="nothing-to-summarise"
        )
    return _answer(user, claim, source, note, result)


def _answer(user: Any, claim: Claim, source: str, note: str, result: StepResult) -> dict[str, Any]:
    written, found = result.description or {}, result.ov_labels or {}
    description = {language: written.get(language) or "" for language in ("zh", "en")}
    ov_labels = {language: list(found.get(language) or []) for language in ("zh", "en")}
    summary = Summary.objects.create(
        claim=claim, source=source, description=description, ov_labels=ov_labels, provenance=result.provenance
    )
    audit.record(
        user,
        "claim.summarise",
        corpus=claim.corpus.slug,
        target=f"claim {claim.pk}",
        clip=claim.clip.name,
        summary=summary.pk,
        source=source,
    )
    return {"description": description, "ov_labels": ov_labels, "source": source, "note": note or None}


def _endpoint(*, restricted: bool) -> tuple[llm.Endpoint | None, str]:
    """The text LLM that may see this clip, patient only as long as a person is; else None and why."""
    try:
        endpoint = llm.endpoint_from_env("LLM")
    except llm.NotConfigured as error:
        return None, str(error)
    if endpoint is None:
        return None, how_to("LLM")
    if restricted and endpoint.trust != "inside":
        return None, _(
            "This clip is restricted and the configured LLM is marked outside, so it was not asked. "
            "Set LLM_TRUST=inside if the server stands inside your organisation."
        )
    return replace(endpoint, timeout_s=min(endpoint.timeout_s, TIMEOUT_S), max_retries=RETRIES), ""


def _evidence(claim: Claim, body: dict[str, Any]) -> Evidence:
    offered = {clue.pk: clue for clue in offered_clues(claim)}
    clues = []
    items = body.get("clues")
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, dict) or item.get("verdict") not in SPEAKING:
            continue
        pk = item.get("id")
        origin = offered.get(pk) if isinstance(pk, int) else None
        text = item.get("text") or (origin.text if origin else "")
        modality = item.get("modality") or (origin.modality if origin else "")
        if not isinstance(text, str) or not text.strip() or modality not in ("visual", "audio", "text"):
            continue
        aspect = item.get("aspect") or (origin.aspect if origin else "")
        clues.append(
            {
                "modality": modality,
                "aspect": aspect if aspect in bodies.ASPECTS else "",
                "language": item.get("language") or (origin.language if origin else "en"),
                "text": text,
                "texts": origin.texts if origin and item["verdict"] == "kept" else None,
                "codes": None,
                "span": None,
            }
        )
    subtitle = {row.language: row.text for row in claim.clip.subtitles.all()}
    return Evidence(
        name=claim.clip.name,
        subtitle={"zh": subtitle.get("zh"), "en": subtitle.get("en")},
        clues=clues,
        media_sha256=claim.clip.media_sha256,
    )
