"""`Authorization: Bearer <prefix>.<secret>`.

Every call by token begins with a query for it. A view whose answer hangs on one more call of the database may have it
made by the same query: its `along(request)` gives an SQL expression and values, in which `token` and `person` are the
rows of the token and of whose it is. It is evaluated for a token that is good, and comes as `request.told`.
"""

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from .models import ApiToken, User

_TOKEN = [field.attname for field in ApiToken._meta.concrete_fields]
_SCOPES = _TOKEN.index("scopes")
_USER = [field.attname for field in User._meta.concrete_fields]
_COLUMNS = ", ".join([f"token.{name}" for name in _TOKEN] + [f"person.{name}" for name in _USER])
_FROM = f"""
    FROM {ApiToken._meta.db_table} token JOIN {User._meta.db_table} person ON person.id = token.user_id
    WHERE token.prefix = %s
"""
_GOOD = """
    token.secret_sha256 = %s AND person.is_active AND token.revoked_at IS NULL
    AND (token.expires_at IS NULL OR token.expires_at > statement_timestamp())
"""


class Along(NamedTuple):
    """What is asked for together with a token."""

    sql: str
    values: list[Any]


def _token(prefix: str, digest: str, along: Along | None) -> tuple[ApiToken | None, Any]:
    """The token with its user, and what was asked along: one query, written out, since every call of the API begins
    with it."""
    told, values = "NULL", [prefix]
    if along is not None:
        told, values = f"CASE WHEN {_GOOD} THEN {along.sql} END", [digest, *along.values, prefix]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS}, {told} {_FROM}", values)
        row = cursor.fetchone()
    if row is None:
        return None, None
    values = list(row[: len(_TOKEN)])
    values[_SCOPES] = json.loads(values[_SCOPES])
    token: ApiToken = ApiToken.from_db("default", _TOKEN, values)
    token.user = User.from_db("default", _USER, row[len(_TOKEN) : -1])
    return token, row[-1]


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
        digest = hashlib.sha256(secret.encode("latin-1")).hexdigest()
        ask = getattr(request.parser_context.get("view"), "along", None)
        token, told = _token(prefix, digest, ask(request) if ask else None) if prefix.isalnum() else (None, None)
        if token is None or not hmac.compare_digest(token.secret_sha256, digest):
            raise exceptions.AuthenticationFailed(_("The token is unknown."))
        if not token.live or not token.user.is_active:
            raise exceptions.AuthenticationFailed(_("The token has expired or was revoked."))
        _note_use(token)
        token.user.token_scopes = token.scopes  # type: ignore[attr-defined]
        request.told = told  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="workbench"'


class PageAuthentication(authentication.SessionAuthentication):
    """The session of a browser, as long as it is that of whom the page was made for.

    A page says so in `X-For-User` (the person's id): in another tab somebody else may have signed in since, and what
    the first one wrote must not go under the other's name.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """(user, None), or None without a session. Raises AuthenticationFailed with the code `other-person`."""
        found: tuple[Any, None] | None = super().authenticate(request)
        meant = request.headers.get("X-For-User")
        if found is not None and meant and meant != str(found[0].pk):
            message = _(
                "%(name)s has signed in in this browser. Your work is kept here: sign in as yourself in another tab, "
                "then come back, and it is sent."
            )
            raise exceptions.AuthenticationFailed(message % {"name": found[0].username}, code="other-person")
        return found
