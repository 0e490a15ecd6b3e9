"""How the OpenAPI document describes the bearer token and the session."""

from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "annotator.accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "`manage.py issue_token USER`"}


class PageScheme(SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "annotator.accounts.authentication.PageAuthentication"
