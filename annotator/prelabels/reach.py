"""What a step asks, whether it may, and whose name its output bears."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from models_ml.llm import Endpoint, NotConfigured, endpoint_from_env, how_to_configure

from .keys import base_step, modality_of, prelabeller_id, spec_of, step_name
from .models import PreLabeller

if TYPE_CHECKING:
    from models_ml.mllm.local import LocalModel

    from .checkpoints import CheckpointModel


def endpoint_for(key: str) -> Endpoint | LocalModel | CheckpointModel | None:
    """What a step asks: the registered pre-labeller that its key names, else the server of the environment.

    None when the step asks no model. Raises NotConfigured, whose message says how to configure one.
    """
    spec = spec_of(key)
    if spec.endpoint is None:
        return None
    if pk := prelabeller_id(key):
        row = PreLabeller.objects.filter(pk=pk).first()
        if row is None:
            raise NotConfigured("not configured: the registered pre-labeller of this step was removed")
        return reach(row)
    endpoint = endpoint_from_env(spec.endpoint)
    if endpoint is None:
        raise NotConfigured(how_to_configure(spec.endpoint))
    return endpoint


def reach(row: PreLabeller) -> Endpoint | LocalModel | CheckpointModel:
    """A registered pre-labeller as something to call. Raises NotConfigured naming it and what is wrong with it."""
    api_key = os.environ.get(row.api_key_env, "") if row.api_key_env else ""
    if row.api_key_env and not api_key:
        raise NotConfigured(
            f"not configured: pre-labeller {row.name} takes its key from {row.api_key_env}, which is not set"
        )
    if row.kind == "local":
        from models_ml.mllm.local import LocalModel  # pages that only name a model need none of it

        return LocalModel.from_parameters(row.model, row.parameters)
    if row.kind == "checkpoint" and not row.base_url:
        from .checkpoints import CheckpointModel

        return CheckpointModel.from_parameters(row.model, row.name, row.parameters)
    try:
        limits = {name: getattr(row, name) for name in ("concurrency", "rate_per_minute", "price_in", "price_out")}
        return Endpoint(
            base_url=row.base_url,
            model=row.model or row.name,
            api_key=api_key,
            trust=row.trust,
            gpus=row.gpus,
            **limits,
            **row.parameters,
        )
    except (TypeError, ValueError) as error:
        raise NotConfigured(f"not configured: pre-labeller {row.name}: {error}") from error


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
    """What would keep steps from running: `[{"step", "step_name", "reason"}]`. Nothing is asked over the network."""
    found = []
    for step in definition["steps"]:
        try:
            endpoint = endpoint_for(step["key"])
        except NotConfigured as error:
            prefix = spec_of(step["key"]).endpoint
            reason = how_to(prefix) if prefix and "@" not in step["key"] else str(error)
            found.append({"step": step["key"], "step_name": step_name(step["key"], definition), "reason": reason})
            continue
        if endpoint is not None and (reason := refusal(endpoint, step["key"], restricted=restricted)):
            found.append({"step": step["key"], "step_name": step_name(step["key"], definition), "reason": reason})
    return found


def refusal(endpoint: Endpoint | LocalModel | CheckpointModel, key: str, *, restricted: bool) -> str:
    """Why a restricted clip may not go to this server; "" when it may."""
    if not restricted or endpoint.trust == "inside":
        return ""
    switch = f"{spec_of(key).endpoint}_TRUST=inside" if "@" not in key else "its trust to “inside”"
    return (
        f"restricted clips do not go to a server marked outside ({endpoint.base_url}); "
        f"set {switch} if the server stands inside your organisation"
    )


def prelabeller_row(
    key: str, drafted_as: str, endpoint: Endpoint | LocalModel | CheckpointModel | None, language: str
) -> PreLabeller:
    """The `PreLabeller` that a step's output belongs to, made at its first use.

    A model is part of the name: another model is another pre-labeller and supersedes nothing of this one.
    """
    if pk := prelabeller_id(key):
        return PreLabeller.objects.get(pk=pk)
    modality = modality_of(base_step(key))
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
