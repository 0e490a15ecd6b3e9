"""`Authorization: Bearer <prefix>.<secret>`."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from .models import ApiToken


class TokenAuthentication(authentication.BaseAuthentication):
    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """(user, token) of a live token, None when the header is absent; a bad one is 401."""
        header = authentication.get_authorization_header(request).decode("latin-1").split()
        if not header or header[0].lower() != "bearer":
            return None
        prefix, _dot, secret = (header[1] if len(header) == 2 else "").partition(".")
        token = ApiToken.objects.select_related("user").filter(prefix=prefix).first() if prefix.isalnum() else None
        digest = hashlib.sha256(secret.encode("latin-1")).hexdigest()
        if token is None or not hmac.compare_digest(token.secret_sha256, digest):
            raise exceptions.AuthenticationFailed(_("The token is unknown."))
        if not token.live or not token.user.is_active:
            raise exceptions.AuthenticationFailed(_("The token has expired or was revoked."))
        now = timezone.now()
        # One write a minute at most: the claim loop must not pay for bookkeeping.
        ApiToken.objects.filter(
            Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(minutes=1)), pk=token.pk
        ).update(last_used_at=now)
        token.user.token_scopes = token.scopes  # type: ignore[attr-defined]
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="workbench"'
