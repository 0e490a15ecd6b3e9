"""Sign-in forms, of the pages and of the admin, that stop guessing."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from . import attempts

TOO_MANY = "too-many"


class Limited(AuthenticationForm):
    """Refuses to look at the password once a name or an address was tried too often."""

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if username is None or not self.cleaned_data.get("password") or self.request is None:
            return super().clean()
        if not attempts.allowed(self.request, username):
            raise ValidationError(_("Too many attempts to sign in. Wait 15 minutes, then try again."), code=TOO_MANY)
        cleaned = super().clean()
        attempts.forget(self.request, username)
        return cleaned


class SignInForm(Limited):
    """Of the pages."""


class AdminSignInForm(Limited, AdminAuthenticationForm):
    """Of the admin."""
