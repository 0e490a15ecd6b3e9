"""A description proposed from checked clues: by the text LLM, or by the template where none is configured; and a
description in the other language."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any

from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Conflict, Invalid, NotConfigured, WorkbenchError
from annotator.prelabels.plans import how_to
from annotator.prelabels.traffic import limits
from models_ml import llm
from models_ml.llm.traffic import Deferred, Spent, using
from models_ml.steps import Evidence, coarse_template, merge, translate
from models_ml.steps.types import StepResult

from . import bodies, leases
from .models import Claim, Summary, SummaryRequest
from .submissions import DRAFTABLE, offered_clues

TIMEOUT_S = 60.0  # a person waits for it
RETRIES = 1
EVIDENCE = ("name", "subtitle", "clues", "media_sha256")  # what a request keeps
SPEAKING = ("kept", "corrected", "added")


class ModelFailed(WorkbenchError):
    """The model behind an endpoint gave no usable answer; trying again may help."""

    status = 502
    code = "model-failure"


class Busy(WorkbenchError):
    """The model's server takes no call just now."""

    status = 503
    code = "model-busy"


class PersonTraffic:
    """See `models_ml.llm.traffic.Traffic`: what a person waits for keeps the limits that the workers keep; nothing is
    looked up or kept, for who asks again wants another answer."""

    def __init__(self) -> None:
        self.spent, self._strikes = Spent(), 0

    def recall(self, key: str) -> dict[str, Any] | None:
        return None

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        pass

    def admit(self, endpoint: llm.Endpoint) -> AbstractContextManager[None]:
        known = limits()
        return nullcontext() if known is None else known.place(endpoint)

    def strike(self) -> int:
        self._strikes += 1
        return self._strikes

    def settle(self, error: BaseException | None) -> None:
        pass


def asked(ask: Callable[[], StepResult]) -> StepResult:
    """What `ask` gives, asked within the limits of the servers. Raises ModelFailed, Busy."""
    try:
        with using(PersonTraffic()):
            return ask()
    except llm.ModelFailure as failure:
        raise ModelFailed(
            _("The model gave no usable answer: %(detail)s") % {"detail": str(failure)}, reason=failure.code
        ) from failure
    except Deferred as later:
        raise Busy(_("The model's server takes no call just now: %(detail)s") % {"detail": later.reason}) from later


def summarise(user: Any, claim_id: int, body: Any) -> dict[str, Any]:
    """`{"description", "ov_labels", "source": "llm"|"template", "note"}` from the clues as checked in `body`.

    Runs outside a transaction. Only kept, corrected and added clues speak. A restricted clip never goes to an endpoint
    marked `outside`. Where no LLM may be asked, the template lays the clues out (without OV labels) and `note` says
    why; where it has nothing to say, NotConfigured tells how to configure one. Raises ModelFailed when the LLM was
    asked and gave nothing usable, Busy when its server takes no call.
    """
    claim, evidence = _asked_for(user, claim_id, body)
    endpoint, note = endpoint_for(claim)
    if endpoint is None:
        return _laid_out(user, claim, evidence, note)
    return as_json(keep(user, claim, "llm", asked(lambda: merge(evidence, endpoint))))


def begin(user: Any, claim_id: int, body: Any) -> dict[str, Any]:
    """Ask for a summary that is read along: `{"id", "result": null}`, where `id` is that of the stream; or, where no
    LLM may be asked, `{"id": null, "result"}` with what `summarise` gives. Raises what `summarise` raises."""
    claim, evidence = _asked_for(user, claim_id, body)
    endpoint, note = endpoint_for(claim)
    if endpoint is None:
        return {"id": None, "result": _laid_out(user, claim, evidence, note)}
    kept = {key: value for key, value in asdict(evidence).items() if key in EVIDENCE}
    return {"id": SummaryRequest.objects.create(claim=claim, evidence=kept).pk, "result": None}


def translated(user: Any, claim_id: int, source: str, target: str, text: str) -> dict[str, Any]:
    """`{"text", "model"}`: a description in the other language, by the text LLM.

    Raises Invalid, Conflict (the claim has ended), NotConfigured, ModelFailed, Busy.
    """
    claim = open_claim(user, claim_id)
    errors: dict[str, str] = {}
    if source == target:
        errors["to"] = _("The text is in this language already.")
    if problem := bodies.text_problem(text, bodies.MAX_DESCRIPTION):
        errors["text"] = problem
    elif not text.strip():
        errors["text"] = _("There is nothing to translate.")
    if errors:
        raise Invalid(_("Some fields are wrong."), errors=errors)
    endpoint, note = endpoint_for(claim)
    if endpoint is None:
        raise NotConfigured(note)
    evidence = Evidence(
        name=claim.clip.name, subtitle=_subtitle(claim), draft={"description": {source: text, target: None}}
    )
    result = asked(lambda: translate(evidence, endpoint, target=target))
    audit.record(
        user, "claim.translate", corpus=claim.corpus.slug, target=f"claim {claim.pk}", clip=claim.clip.name, into=target
    )
    return {"text": (result.description or {}).get(target) or "", "model": result.provenance.get("model")}


def open_claim(user: Any, claim_id: int) -> Claim:
    """The claim, which the person holds and may still write to. Raises NotFound, Forbidden, Gone, Conflict."""
    claim = leases.find_claim(user, claim_id)
    if claim.state not in DRAFTABLE:
        raise Conflict(_("This claim has ended: it was %(state)s.") % {"state": claim.state}, code="claim-closed")
    return claim


def endpoint_for(claim: Claim) -> tuple[llm.Endpoint | None, str]:
    """The text LLM that may see this clip, patient only as long as a person is; else None and why."""
    try:
        endpoint = llm.endpoint_from_env("LLM")
    except llm.NotConfigured as error:
        return None, str(error)
    if endpoint is None:
        return None, how_to("LLM")
    if claim.clip.effective_licence == "restricted" and endpoint.trust != "inside":
        return None, _(
            "This clip is restricted and the configured LLM is marked outside, so it was not asked. "
            "Set LLM_TRUST=inside if the server stands inside your organisation."
        )
    return replace(endpoint, timeout_s=min(endpoint.timeout_s, TIMEOUT_S), max_retries=RETRIES), ""


def keep(user: Any, claim: Claim, source: str, result: StepResult) -> Summary:
    """Store what was proposed."""
    written, found = result.description or {}, result.ov_labels or {}
    summary = Summary.objects.create(
        claim=claim,
        source=source,
        description={language: written.get(language) or "" for language in ("zh", "en")},
        ov_labels={language: list(found.get(language) or []) for language in ("zh", "en")},
        provenance=result.provenance,
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
    return summary


def as_json(summary: Summary, note: str = "") -> dict[str, Any]:
    """A summary as the page gets it."""
    return {
        "description": summary.description,
        "ov_labels": summary.ov_labels,
        "source": summary.source,
        "note": note or None,
    }


def _asked_for(user: Any, claim_id: int, body: Any) -> tuple[Claim, Evidence]:
    body = bodies.draft(body)
    claim = open_claim(user, claim_id)
    evidence = _evidence(claim, body)
    endpoint, note = endpoint_for(claim)
    if not evidence.clues:
        if endpoint is None:
            raise NotConfigured(note)
        raise Conflict(
            _("There is nothing to summarise yet: keep, correct or add a clue."), code="nothing-to-summarise"
        )
    return claim, evidence


def _laid_out(user: Any, claim: Claim, evidence: Evidence, note: str) -> dict[str, Any]:
    result = coarse_template(evidence)
    if result.state != "done":
        raise NotConfigured(note)
    return as_json(keep(user, claim, "template", result), note)


def _subtitle(claim: Claim) -> dict[str, str | None]:
    """What is said, where the work shows it: who sees only the picture is not told by a summary either."""
    if claim.slot.mode not in ("", "text"):
        return {"zh": None, "en": None}
    spoken = {row.language: row.text for row in claim.clip.subtitles.all()}
    return {"zh": spoken.get("zh"), "en": spoken.get("en")}


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
        language = item.get("language") or (origin.language if origin else "en")
        renderings = {**(origin.texts or {}), origin.language: origin.text} if origin else {}
        clues.append(
            {
                "modality": modality,
                "aspect": aspect if aspect in bodies.ASPECTS else "",
                "language": language if language in ("zh", "en") else "en",
                "text": text,
                "texts": renderings if text in renderings.values() else None,
                "codes": None,
                "span": None,
            }
        )
    return Evidence(name=claim.clip.name, subtitle=_subtitle(claim), clues=clues, media_sha256=claim.clip.media_sha256)
