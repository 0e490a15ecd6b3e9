"""Admin of pre-labelling: models are registered here; runs are only looked at, their pages start and cancel them."""

import json
from contextlib import suppress
from typing import Any

from django.contrib import admin

from .keys import step_name
from .models import Clue, Job, Pipeline, PreLabeller, Run


class ReadOnly(admin.ModelAdmin):
    """What the services write is looked at here, never changed."""

    show_full_result_count = False

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(PreLabeller)
class PreLabellerAdmin(admin.ModelAdmin):
    list_display = ["name", "kind", "modality", "language", "model", "trust", "concurrency", "rate_per_minute"]
    list_filter = ["kind", "modality", "trust"]
    search_fields = ["name", "model"]

    def get_changeform_initial_data(self, request: Any) -> dict[str, Any]:
        """The page of models fills the form in by its address, where an object can only be written as text."""
        known = super().get_changeform_initial_data(request)
        with suppress(ValueError):
            known["parameters"] = json.loads(str(known.get("parameters", "{}")))
        return known


@admin.register(Pipeline)
class PipelineAdmin(ReadOnly):
    list_display = ["name", "version", "sha256", "created_by", "created_at"]
    list_select_related = ["created_by"]


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = ["id", "corpus", "pipeline", "state", "clips", "started_by", "created_at", "finished_at"]
    list_filter = ["state"]
    list_select_related = ["corpus", "pipeline", "started_by"]


@admin.register(Job)
class JobAdmin(ReadOnly):
    list_display = ["id", "run", "clip", "step_name", "state", "error_code", "attempts", "losses", "calls", "cost"]
    list_filter = ["state"]  # a filter by step would read every job to know which steps there are
    list_select_related = ["run__pipeline", "clip"]

    @admin.display(description="step", ordering="step")
    def step_name(self, job: Job) -> str:
        return step_name(job.step, job.run.pipeline.definition)


@admin.register(Clue)
class ClueAdmin(ReadOnly):
    list_display = ["id", "clip", "prelabeller", "modality", "aspect", "language", "text", "superseded_at"]
    list_filter = ["modality", "language"]
    list_select_related = ["clip", "prelabeller"]
