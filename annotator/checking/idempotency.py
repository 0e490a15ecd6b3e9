"""`Idempotency-Key`: the answer once given is stored in the transaction of its effect, and given again."""

import hashlib
import json
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from annotator.core.errors import Invalid
from annotator.core.models import IdempotentRequest

MAX_KEY = 200


def body_hash(body: Any) -> str:
    """The same for the same JSON value, however it was written; `work` does not count."""
    if isinstance(body, dict) and "work" in body:
        body = {key: value for key, value in body.items() if key != "work"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def usable(key: str) -> bool:
    """Whether a key can be stored."""
    return len(key) <= MAX_KEY and key.isprintable()


def recall(user: Any, key: str | None, route: str, body: Any) -> dict[str, Any] | None:
    """What was answered to this key before; None when it is new, or no key was sent.

    Call it first inside the transaction of the effect: it locks the key, so a concurrent twin waits until that
    transaction ends and then finds its answer (or, where it failed, tries itself). Raises Invalid when the key was
    used for another call or another body.
    """
    if not key:
        return None
    if not usable(key):
        raise Invalid(
            _("The Idempotency-Key has at most 200 printable characters."), errors={"Idempotency-Key": key[:40]}
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"idempotency {user.pk} {key}"])
    known = IdempotentRequest.objects.filter(user_id=user.pk, key=key).first()
    if known is None:
        return None
    if known.route != route or known.body_sha256 != body_hash(body):
        raise Invalid(
            _("This Idempotency-Key was used for another request."),
            code="idempotency-key-reused",
            errors={"Idempotency-Key": _("Used for another request.")},
        )
    return dict(sorted(known.answer.items()))  # jsonb has an order of its own; a replay is the same to the byte


def remember(user: Any, key: str | None, route: str, body: Any, answer: dict[str, Any], *, status: int = 201) -> None:
    """Store the answer; in the same transaction as the effect."""
    if key:
        IdempotentRequest.objects.create(
            user_id=user.pk, key=key, route=route, body_sha256=body_hash(body), status=status, answer=answer
        )
