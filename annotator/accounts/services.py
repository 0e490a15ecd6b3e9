"""Every write about people and tokens."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Conflict, Invalid, NotFound
from annotator.core.permissions import ACTIONS

from .models import ApiToken, User


def random_password() -> str:
    """A password for a first sign-in: 96 bits, letters and digits as people can copy them."""
    return secrets.token_urlsafe(12)


def find_person(username: str) -> User:
    """The person of that name. Raises NotFound."""
    person = User.objects.filter(username=username.replace("\x00", "\ufffd")).first()
    if person is None:
        raise NotFound(_("There is no person “%(name)s”.") % {"name": username})
    return person


@transaction.atomic
def create_person(
    actor: Any, username: str, *, password: str | None = None, admin: bool = False, language: str = ""
) -> tuple[User, str]:
    """A new person and the password, random where none is given; it is stored as a hash only.

    Raises Invalid for a name or password that the rules refuse, Conflict when the name is taken.
    """
    chosen = password or random_password()
    person = User(username=User.normalize_username(username), is_staff=admin, is_superuser=admin, language=language)
    try:
        person.clean_fields(exclude=["password"])
        validate_password(chosen, person)
    except ValidationError as error:
        fields = error.message_dict if hasattr(error, "error_dict") else {"password": error.messages}
        text = " ".join(message for messages in fields.values() for message in messages)
        raise Invalid(text, errors=fields) from error
    person.set_password(chosen)
    try:
        with transaction.atomic():
            person.save()
    except IntegrityError as error:
        raise Conflict(_("The name “%(name)s” is taken.") % {"name": username}) from error
    audit.record(actor, "person.create", target=person.username, admin=admin)
    return person, chosen


@transaction.atomic
def change_password(actor: Any, user: User, password: str) -> None:
    """Store a password that the rules were asked about (Invalid where they refuse it); other sessions end."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), errors={"password": error.messages}) from error
    user.set_password(password)
    user.save(update_fields=["password"])
    audit.record(actor, "person.password", target=user.username)


@transaction.atomic
def issue_token(
    actor: Any, user: User, *, scopes: list[str] | None = None, days: int | None = None
) -> tuple[ApiToken, str]:
    """A token for `user` and its text `<prefix>.<secret>`, which is shown once and stored as a hash only.

    `scopes`: actions of the role table that the token is narrowed to; empty means all that the roles allow.
    `days`: its life. Raises Invalid for an unknown scope or a life below one day.
    """
    wanted = list(dict.fromkeys(scopes or []))
    unknown = [scope for scope in wanted if scope not in ACTIONS]
    if unknown:
        raise Invalid(
            _("Unknown scope: %(scopes)s. A scope is one of: %(known)s.")
            % {"scopes": ", ".join(unknown), "known": ", ".join(ACTIONS)},
            errors={"scopes": unknown},
        )
    if days is not None and not 1 <= days <= 3650:
        raise Invalid(_("A token lives from 1 to 3650 days."), errors={"days": [str(days)]})
    if not user.is_active:
        raise Invalid(_("“%(name)s” is deactivated.") % {"name": user.username})
    secret = secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        prefix=secrets.token_hex(5),
        secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
        scopes=wanted,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    audit.record(actor, "token.issue", target=token.prefix, user=user.username, scopes=wanted, days=days)
    return token, f"{token.prefix}.{secret}"


@transaction.atomic
def revoke_token(actor: Any, token: ApiToken) -> ApiToken:
    """End a token now; a second call changes nothing."""
    locked = ApiToken.objects.select_for_update().get(pk=token.pk)
    if locked.revoked_at is None:
        locked.revoked_at = timezone.now()
        locked.save(update_fields=["revoked_at"])
        audit.record(actor, "token.revoke", target=locked.prefix, user=locked.user.username)
    return locked
