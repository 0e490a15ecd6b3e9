"""`/livez`: the process answers. `/readyz`: it can serve. `/metrics`: counts for Prometheus."""

import redis
from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database and broker answer, else 503 that names what does not."""
    checks: dict[str, str] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = "ok"
    except OperationalError:
        checks["database"] = "no answer"
    checks["broker"] = _broker()
    ok = all(state == "ok" for state in checks.values())
    return JsonResponse({"ok": ok, **checks}, status=200 if ok else 503)


def _broker() -> str:
    url = settings.CELERY_BROKER_URL
    if not url.startswith(("redis", "unix")):
        return "ok"  # RabbitMQ: the worker's own heartbeat tells; pages do not depend on it
    try:
        with redis.Redis.from_url(url.replace("redis+socket://", "unix://"), socket_timeout=2) as client:
            client.ping()
    except redis.RedisError:
        return "no answer"
    return "ok"
