"""From a pipeline's name to the jobs of a clip: steps in order, what each waits for, and who drafts.

A plan is what a `Pipeline` row stores as its definition, so a run can be read without the code that made it:
`{"steps": [{"key", "step", "version", "needs", "after", "endpoint", "queue", "produces", "prelabeller"}]}`.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotator.core.errors import Invalid
from models_ml.llm import Endpoint, NotConfigured, endpoint_from_env, how_to_configure
from models_ml.steps import PIPELINES, STEPS, StepSpec

from .models import Pipeline, PreLabeller

# The step that a registered model of this modality takes the place of.
STEP_OF_MODALITY = {"visual": "visual_clue", "audio": "audio_clue", "text": "disambiguate"}
MODALITY_OF_STEP = {
    "measured_prosody": "audio",
    "au_expression": "visual",
    "visual_clue": "visual",
    "audio_clue": "audio",
    "disambiguate": "text",
}


def base_step(key: str) -> str:
    """The step of a job's key: `visual_clue@7` is `visual_clue` drafted by pre-labeller 7, `merge#1` a `merge` that
    was done again after a retry."""
    return key.partition("#")[0].partition("@")[0]


def spec_of(key: str) -> StepSpec:
    return STEPS[base_step(key)]


def prelabeller_name(step: str) -> str:
    """What a step calls its pre-labeller: `measured_prosody` drafts as `measured-prosody`."""
    return step.replace("_", "-")


def plan_for(pipeline_name: str, prelabellers: Iterable[str] | None = None) -> tuple[str, dict[str, Any]]:
    """(name, definition) of a pipeline, or of the steps that `prelabellers` name.

    A pre-labeller is a step (`measured_prosody` or `measured-prosody`) or a registered model behind a server.
    Raises Invalid for an unknown pipeline or pre-labeller.
    """
    names = list(dict.fromkeys(prelabellers or []))
    if names:
        chosen = list(dict.fromkeys(_named(name) for name in names))  # a step may be named in two ways
        order = list(STEPS)
        chosen.sort(key=lambda pair: (order.index(base_step(pair[0])), pair[0]))
        return "+".join(names)[:80], _definition(chosen)
    if pipeline_name not in PIPELINES:
        raise Invalid(
            _("There is no pipeline “%(name)s”. There are: %(known)s.")
            % {"name": pipeline_name, "known": ", ".join(PIPELINES)}
        )
    return pipeline_name, _definition([(step, None) for step in PIPELINES[pipeline_name]["steps"]])


def _named(name: str) -> tuple[str, str | None]:
    step = name.replace("-", "_")
    if step in STEPS:
        return step, None
    model = PreLabeller.objects.filter(name=name).first()
    if model is None:
        known = [*map(prelabeller_name, STEPS), *registered_models().values_list("name", flat=True)]
        raise Invalid(
            _("There is no pre-labeller “%(name)s”. There are: %(known)s.") % {"name": name, "known": ", ".join(known)}
        )
    if model.kind not in ("server", "checkpoint") or not model.base_url or model.modality not in STEP_OF_MODALITY:
        raise Invalid(_("The pre-labeller “%(name)s” cannot be run: it has no server.") % {"name": name})
    return f"{STEP_OF_MODALITY[model.modality]}@{model.pk}", model.name


def registered_models() -> Any:
    """Pre-labellers that somebody registered with a server of their own (not those that a run made by itself)."""
    return PreLabeller.objects.filter(kind__in=["server", "checkpoint"], modality__in=STEP_OF_MODALITY).exclude(
        base_url=""
    )


def _definition(chosen: list[tuple[str, str | None]]) -> dict[str, Any]:
    keys = [key for key, _model in chosen]
    steps = []
    for key, model in chosen:
        spec = spec_of(key)
        after = [other for other in keys if base_step(other) in spec.needs]
        steps.append(
            {
                "key": key,
                "step": spec.name,
                "version": spec.version,
                "needs": list(spec.needs),
                "after": after,
                "endpoint": spec.endpoint,
                "queue": spec.queue,
                "produces": spec.produces,
                "prelabeller": model,
            }
        )
    return {"steps": steps}


@transaction.atomic
def pipeline_row(name: str, definition: dict[str, Any]) -> Pipeline:
    """The `Pipeline` with exactly this content: a changed definition becomes the next version."""
    canonical = json.dumps(definition, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    if row := Pipeline.objects.filter(name=name, sha256=sha256).first():
        return row
    with connection.cursor() as cursor:  # two first uses at once: the second waits here, then finds the row
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('prelabels.pipeline'))")
    latest = Pipeline.objects.filter(name=name).aggregate(latest=Max("version"))["latest"] or 0
    return Pipeline.objects.get_or_create(
        name=name, sha256=sha256, defaults={"version": latest + 1, "definition": definition}
    )[0]


def endpoint_for(key: str) -> Endpoint | None:
    """The server of a step: of the registered pre-labeller that its key names, else of the environment.

    None when the step asks no server. Raises NotConfigured, whose message says how to configure one.
    """
    spec = spec_of(key)
    if spec.endpoint is None:
        return None
    _step, _at, pk = key.partition("@")
    if pk:
        row = PreLabeller.objects.filter(pk=pk).first()
        if row is None:
            raise NotConfigured("not configured: the registered pre-labeller of this step was removed")
        api_key = os.environ.get(row.api_key_env, "") if row.api_key_env else ""
        if row.api_key_env and not api_key:
            raise NotConfigured(
                f"not configured: pre-labeller {row.name} takes its key from {row.api_key_env}, which is not set"
            )
        try:
            return Endpoint(base_url=row.base_url, model=row.model or row.name, api_key=api_key, trust=row.trust)
        except ValueError as error:
            raise NotConfigured(f"not configured: pre-labeller {row.name}: {error}") from error
    endpoint = endpoint_from_env(spec.endpoint)
    if endpoint is None:
        raise NotConfigured(how_to_configure(spec.endpoint))
    return endpoint


def how_to(prefix: str) -> str:
    """How to configure the server of PRELABEL_* or LLM_*, in the reader's language."""
    if prefix == "LLM":
        return _(
            "Not configured: set LLM_BASE_URL and LLM_MODEL (and LLM_API_KEY where the server wants one) to an "
            "OpenAI-compatible server for the text model, for example LLM_BASE_URL=http://localhost:8001/v1 "
            "LLM_MODEL=Qwen/Qwen2.5-7B-Instruct, and start the workbench again."
        )
    return _(
        "Not configured: set PRELABEL_BASE_URL and PRELABEL_MODEL (and PRELABEL_API_KEY where the server wants "
        "one) to an OpenAI-compatible server for the audio and video model, for example "
        "PRELABEL_BASE_URL=http://localhost:8001/v1 PRELABEL_MODEL=Qwen/Qwen2.5-Omni-7B, and start the "
        "workbench again."
    )


def obstacles(definition: dict[str, Any], *, restricted: bool) -> list[dict[str, str]]:
    """What would keep steps from running: `[{"step", "reason"}]`. Nothing is asked over the network."""
    found = []
    for step in definition["steps"]:
        try:
            endpoint = endpoint_for(step["key"])
        except NotConfigured as error:
            prefix = spec_of(step["key"]).endpoint
            reason = how_to(prefix) if prefix and "@" not in step["key"] else str(error)
            found.append({"step": step["key"], "reason": reason})
            continue
        if endpoint is not None and (reason := refusal(endpoint, step["key"], restricted=restricted)):
            found.append({"step": step["key"], "reason": reason})
    return found


def refusal(endpoint: Endpoint, key: str, *, restricted: bool) -> str:
    """Why a restricted clip may not go to this server; "" when it may."""
    if not restricted or endpoint.trust == "inside":
        return ""
    switch = f"{spec_of(key).endpoint}_TRUST=inside" if "@" not in key else "its trust to “inside”"
    return (
        f"restricted clips do not go to a server marked outside ({endpoint.base_url}); "
        f"set {switch} if the server stands inside your organisation"
    )


def prelabeller_row(key: str, drafted_as: str, endpoint: Endpoint | None, language: str) -> PreLabeller:
    """The `PreLabeller` that a step's output belongs to, made at its first use.

    A model is part of the name: another model is another pre-labeller and supersedes nothing of this one.
    """
    _step, _at, pk = key.partition("@")
    if pk:
        return PreLabeller.objects.get(pk=pk)
    modality = MODALITY_OF_STEP.get(base_step(key), "")
    if endpoint is None:
        kind = "template" if spec_of(key).produces == "description" else "measurement"
        return PreLabeller.objects.get_or_create(
            name=drafted_as, defaults={"kind": kind, "modality": modality, "trust": "inside"}
        )[0]
    name = f"{drafted_as}:{endpoint.model}"
    if len(name) > 120:
        name = f"{name[:103]}…{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    row, _made = PreLabeller.objects.get_or_create(
        name=name,
        defaults={
            "kind": "server",
            "modality": modality,
            "language": language if spec_of(key).produces == "clue" else "",
            "model": endpoint.model,
            "trust": endpoint.trust,
        },
    )
    return row
