"""`Authorization: Bearer <prefix>.<secret>`."""

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from .models import ApiToken, User

_TOKEN = [field.attname for field in ApiToken._meta.concrete_fields]
_USER = [field.attname for field in User._meta.concrete_fields]
_FIND = f"""
    SELECT {", ".join([f"token.{name}" for name in _TOKEN] + [f"person.{name}" for name in _USER])}
    FROM {ApiToken._meta.db_table} token JOIN {User._meta.db_table} person ON person.id = token.user_id
    WHERE token.prefix = %s
"""  # noqa: S608 - column and table names only


def _token(prefix: str) -> ApiToken | None:
    """The token with its user: one query, written out, since every call of the API begins with it."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [prefix])
        row = cursor.fetchone()
    if row is None:
        return None
    values = dict(zip(_TOKEN, row, strict=False))
    values["scopes"] = json.loads(values["scopes"])
    token: ApiToken = ApiToken.from_db("default", _TOKEN, list(values.values()))
    token.user = User.from_db("default", _USER, row[len(_TOKEN) :])
    return token


def _note_use(token: ApiToken) -> None:
    """One write a minute at most: the claim loop must not pay for bookkeeping."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - timedelta(minutes=1):
        ApiToken.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(minutes=1)), pk=token.pk
        ).update(last_used_at=now)


class TokenAuthentication(authentication.BaseAuthentication):
    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """(user, token) of a live token, None when the header is absent; a bad one is 401."""
        header = authentication.get_authorization_header(request).decode("latin-1").split()
        if not header or header[0].lower() != "bearer":
            return None
        prefix, _dot, secret = (header[1] if len(header) == 2 else "").partition(".")
        token = _token(prefix) if prefix.isalnum() else None
        digest = hashlib.sha256(secret.encode("latin-1")).hexdigest()
        if token is None or not hmac.compare_digest(token.secret_sha256, digest):
            raise exceptions.AuthenticationFailed(_("The token is unknown."))
        if not token.live or not token.user.is_active:
            raise exceptions.AuthenticationFailed(_("The token has expired or was revoked."))
        _note_use(token)
        token.user.token_scopes = token.scopes  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="workbench"'
