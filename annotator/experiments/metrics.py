"""`/metrics` in Prometheus' text format (exposition format 0.0.4): how much of what stands in which state."""

import hmac
import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from annotator.accounts.authentication import TokenAuthentication
from annotator.checking.models import Claim, Record, Slot
from annotator.clips.models import Clip
from annotator.prelabels.models import Job

from .models import TrainingRun

GAUGES: list[tuple[str, str, type[Any], str]] = [
    ("workbench_clips", "clips by derived media", Clip, "derived"),
    ("workbench_jobs", "pre-labelling jobs", Job, "state"),
    ("workbench_slots", "slots", Slot, "state"),
    ("workbench_claims", "claims", Claim, "state"),
    ("workbench_records", "current records", Record, "grade"),
    ("workbench_training_runs", "training runs", TrainingRun, "state"),
]


def _lines() -> Iterator[str]:
    for name, what, model, label in GAUGES:
        yield f"# HELP {name} Number of {what} by {label}."
        yield f"# TYPE {name} gauge"
        rows: QuerySet[Any, Any] = model.objects.order_by(label).values_list(label).annotate(n=Count("pk"))
        for value, count in rows:
            yield f'{name}{{{label}="{value}"}} {count}'


def _is_admin(request: HttpRequest) -> bool:
    """By session, or by an API token that was not narrowed to scopes."""
    if getattr(request, "user", AnonymousUser()).is_superuser:
        return True
    try:
        found = TokenAuthentication().authenticate(Request(request))
    except AuthenticationFailed:
        return False
    return found is not None and found[0].is_superuser and not found[1].scopes


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For an admin (session or API token), or a scraper with `Authorization: Bearer $METRICS_TOKEN`; 403 otherwise.

    A workbench of one machine (`make run`) also answers a scraper on that machine.
    """
    token = os.environ.get("METRICS_TOKEN", "")
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    scraper = bool(token) and hmac.compare_digest(given.encode(), token.encode())
    here = settings.METRICS_ON_LOOPBACK and request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")
    if not (scraper or here or _is_admin(request)):
        return HttpResponse("METRICS_TOKEN or an admin's session is needed.\n", status=403, content_type="text/plain")
    return HttpResponse("\n".join(_lines()) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")
