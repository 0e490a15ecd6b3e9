"""From a pipeline's name to the jobs of a clip: steps in order, what each waits for, with what options, and who drafts.

A plan is what a `Pipeline` row stores as its definition, so a run can be read without the code that made it:
`{"steps": [{"key", "step", "version", "needs", "after", "endpoint", "queue", "produces", "prelabeller", "options",
"prompts": [{"file", "version", "sha256"}]}]}`. A key is `step[~tag][@id of a registered pre-labeller]`; a job that was
done again after a retry leaves `#n` behind its old one. What is part of the definition makes a new version when it
changes: steps, options, models, and the wording of a prompt.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from annotator.core.errors import Invalid
from models_ml.steps import PIPELINES, STEPS, prompts_of

from .keys import base_step, modality_of, prelabeller_id, prelabeller_name, spec_of
from .models import Pipeline, PreLabeller
from .reach import endpoint_for, how_to, obstacles, prelabeller_row, refusal

__all__ = [
    "Part",
    "Plan",
    "base_step",
    "declared_part",
    "definition_of",
    "endpoint_for",
    "how_to",
    "obstacles",
    "own_pipelines",
    "pipeline_row",
    "plan_for",
    "prelabeller_id",
    "prelabeller_name",
    "prelabeller_row",
    "refusal",
    "registered",
    "registered_models",
    "serves",
    "spec_of",
]
DEFAULT = "measured"
# What a registered model is asked for when it is named alone, and which kinds of steps it may take.
STEP_OF_MODALITY = {
    "visual": "visual_clue",
    "audio": "audio_clue",
    "text": "disambiguate",
    "clip": "clip_description",  # a checkpoint that was promoted
}
SERVES = {
    **{name: (name,) for name in STEP_OF_MODALITY},
    "video": ("visual",),
    "image": ("visual",),
    "omni": ("visual", "audio"),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """One step of a plan: which one, under which tag, with which options, drafted by which registered model."""

    step: str
    tag: str = ""
    model: PreLabeller | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        tag = f"~{self.tag}" if self.tag else ""
        return f"{self.step}{tag}@{self.model.pk}" if self.model else f"{self.step}{tag}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A name, what is done, and (for a pipeline that somebody wrote) what they wrote."""

    name: str
    definition: dict[str, Any]
    declaration: list[dict[str, Any]] | None = None

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.definition["steps"]


def serves(model: PreLabeller, step: str) -> bool:
    """Whether a registered model can be asked for this step. A model for everything is also asked for texts, if
    somebody says so."""
    kinds = SERVES.get(model.modality, ())
    return bool(STEPS[step].endpoint) and (modality_of(step) in kinds or model.modality == "omni")


def plan_for(pipeline_name: str | None = None, prelabellers: Iterable[str] | None = None) -> Plan:
    """The plan of a pipeline (by default `measured`), of single steps and models, or of both.

    A pre-labeller is a step (`measured_prosody` or `measured-prosody`) or a registered model. Alone they are the whole
    plan. With a pipeline, steps that are named leave out its others, and a registered model takes the place of the
    configured server in all of its steps that are of the model's kind. Raises Invalid for what does not exist.
    """
    names = list(dict.fromkeys(prelabellers or []))
    steps, models = _named(names)
    if not names:
        return _pipeline(pipeline_name or DEFAULT)
    if pipeline_name:
        plan = _pipeline(pipeline_name)
        chosen = _narrowed(plan, _parts_of(plan), steps, models)
        return Plan(f"{plan.name}+{'+'.join(names)}"[:80], definition_of(chosen))
    chosen = [Part(step) for step in steps]
    for model in models:
        kinds = SERVES[model.modality]
        if not any(serves(model, step) and modality_of(step) in kinds for step in steps):
            chosen += [Part(STEP_OF_MODALITY[kind]) for kind in kinds]
    chosen = _with_models(chosen, models)
    order = list(STEPS)
    chosen.sort(key=lambda part: (order.index(part.step), part.key))
    return Plan("+".join(names)[:80], definition_of(chosen))


def _named(names: list[str]) -> tuple[list[str], list[PreLabeller]]:
    """Names as steps and registered models. Raises Invalid for one that is neither."""
    steps: list[str] = []
    models: list[PreLabeller] = []
    for name in names:
        if (step := name.replace("-", "_")) in STEPS:
            if step not in steps:  # it may be named in two ways
                steps.append(step)
        else:
            models.append(registered(name))
    return steps, models


def registered(name: str) -> PreLabeller:
    """The registered model of this name that a run can use. Raises Invalid otherwise."""
    model = PreLabeller.objects.filter(name=name).first() if "\x00" not in name else None
    if model is None:
        known = [*map(prelabeller_name, STEPS), *registered_models().values_list("name", flat=True)]
        raise Invalid(
            _("There is no pre-labeller “%(name)s”. There are: %(known)s.") % {"name": name, "known": ", ".join(known)}
        )
    if not registered_models().filter(pk=model.pk).exists():
        raise Invalid(
            _("The pre-labeller “%(name)s” cannot be run: it has no server and no local model.") % {"name": name}
        )
    return model


def registered_models() -> QuerySet[PreLabeller]:
    """Pre-labellers that somebody registered with a server or a local model of their own (not those that a run made
    by itself)."""
    reachable = Q(kind__in=["server", "checkpoint"]) & ~Q(base_url="") | Q(kind__in=["local", "checkpoint"]) & ~Q(
        model=""
    )
    return PreLabeller.objects.filter(reachable, modality__in=SERVES)


def _pipeline(name: str) -> Plan:
    """The newest version of a pipeline, of the library or somebody's own. Raises Invalid for an unknown one."""
    if name in PIPELINES:
        parts = [_library_part(item) for item in PIPELINES[name]["steps"]]
        return Plan(name, definition_of(parts))
    row = own_pipelines().filter(name=name).order_by("-version").first() if "\x00" not in name else None
    if row is None:
        known = [*PIPELINES, *own_pipelines().order_by("name").values_list("name", flat=True).distinct()]
        raise Invalid(
            _("There is no pipeline “%(name)s”. There are: %(known)s.") % {"name": name, "known": ", ".join(known)}
        )
    return Plan(name, definition_of([declared_part(item) for item in row.declaration or []]), row.declaration)


def own_pipelines() -> QuerySet[Pipeline]:
    """All versions of the pipelines that people wrote."""
    return Pipeline.objects.exclude(declaration=None)


def _library_part(item: str | dict[str, Any]) -> Part:
    if isinstance(item, str):
        return Part(item)
    return Part(item["step"], item.get("tag", ""), options=item.get("options", {}))


def declared_part(item: dict[str, Any]) -> Part:
    """A part of a checked declaration. Raises Invalid where its pre-labeller is gone."""
    model = registered(item["prelabeller"]) if item.get("prelabeller") else None
    return Part(item["step"], item.get("tag", ""), model, item.get("options", {}))


def _parts_of(plan: Plan) -> list[Part]:
    parts = []
    for step in plan.steps:
        model = registered(step["prelabeller"]) if step["prelabeller"] else None
        tag = step["key"].partition("@")[0].partition("~")[2]
        parts.append(Part(step["step"], tag, model, step["options"]))
    return parts


def _narrowed(plan: Plan, parts: list[Part], steps: list[str], models: list[PreLabeller]) -> list[Part]:
    """A pipeline's parts: only the steps named (all where none is), with the models named."""
    for step in steps:
        if step not in [part.step for part in parts]:
            raise Invalid(_("The pipeline “%(name)s” has no step “%(step)s”.") % {"name": plan.name, "step": step})
    if steps:
        parts = [part for part in parts if part.step in steps]
    for model in models:
        if not any(modality_of(part.step) in SERVES[model.modality] for part in parts if STEPS[part.step].endpoint):
            raise Invalid(
                _("The pipeline “%(name)s” has no step for “%(model)s”, which is for: %(modality)s.")
                % {"name": plan.name, "model": model.name, "modality": model.modality}
            )
    return _with_models(parts, models)


def _with_models(parts: list[Part], models: list[PreLabeller]) -> list[Part]:
    """Each part once for every model of its kind; as it was where there is none."""
    chosen = []
    for part in parts:
        kind = modality_of(part.step)
        fitting = [model for model in models if STEPS[part.step].endpoint and kind in SERVES[model.modality]]
        chosen += [dataclasses.replace(part, model=model) for model in fitting] or [part]
    return list({part.key: part for part in chosen}.values())


def definition_of(parts: list[Part]) -> dict[str, Any]:
    """What is done, whole: each part with what it waits for, its effective options and the hashes of its prompts."""
    keys = [part.key for part in parts]
    steps = []
    for part in parts:
        spec = STEPS[part.step]
        options = {name: option.default for name, option in spec.options.items()} | part.options
        local = part.model is not None and (
            part.model.kind == "local" or (part.model.kind == "checkpoint" and not part.model.base_url)
        )
        steps.append(
            {
                "key": part.key,
                "step": part.step,
                "version": spec.version,
                "needs": list(spec.needs),
                "after": [key for key in keys if base_step(key) in spec.needs],
                "endpoint": spec.endpoint,
                "queue": "gpu" if local else spec.queue,
                "produces": spec.produces,
                "prelabeller": part.model.name if part.model else None,
                "options": options,
                "prompts": prompts_of(part.step),
            }
        )
    return {"steps": steps}


def known_row(plan: Plan) -> Pipeline | None:
    """The `Pipeline` with exactly this content, if there is one.

    Of a pipeline that somebody wrote only the newest version counts: who writes again what an older one said wants it
    to be the newest.
    """
    sha256 = content_sha256(plan)
    own = plan.declaration is not None
    versions = Pipeline.objects.filter(name=plan.name, declaration__isnull=not own).order_by("-version")
    if not own:
        return versions.filter(sha256=sha256).first()
    latest = versions.first()
    return latest if latest and (latest.sha256, latest.declaration) == (sha256, plan.declaration) else None


def content_sha256(plan: Plan) -> str:
    canonical = json.dumps(plan.definition, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@transaction.atomic
def pipeline_row(plan: Plan, user: Any = None) -> Pipeline:
    """The `Pipeline` with exactly this content, made as the next version where there is none."""
    if row := known_row(plan):
        return row
    with connection.cursor() as cursor:  # two first uses at once: the second waits here, then finds the row
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('prelabels.pipeline'))")
    if row := known_row(plan):
        return row
    latest = Pipeline.objects.filter(name=plan.name).order_by("-version").first()
    return Pipeline.objects.create(
        name=plan.name,
        version=latest.version + 1 if latest else 1,
        definition=plan.definition,
        declaration=plan.declaration,
        created_by=user or (latest.created_by if latest and plan.declaration is not None else None),
        sha256=content_sha256(plan),
    )
