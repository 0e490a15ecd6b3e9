"""Sign-in, sign-out, the interface language, and the profile with one's own tokens."""

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotator.core.errors import Invalid
from annotator.core.permissions import ACTIONS

from . import services
from .forms import TOO_MANY, SignInForm
from .models import User


def _remember_language(response: HttpResponse, code: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        code,
        max_age=365 * 24 * 3600,
        path=settings.LANGUAGE_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


class SignIn(LoginView):
    """The language that a person once chose follows them to another browser."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    http_method_names = ["get", "head", "post"]
    redirect_authenticated_user = True

    def get_redirect_url(self) -> str:  # type: ignore[override]
        """`next` where it is safe; the sign-in page itself would lead in a circle."""
        target = super().get_redirect_url()
        return "" if target.partition("?")[0] == self.request.path else target

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        if code := form.get_user().language:
            _remember_language(response, code)
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        if form.has_error(NON_FIELD_ERRORS, TOO_MANY):
            wait = {"Retry-After": str(int(settings.SIGN_IN_WINDOW.total_seconds()))}
            return self.render_to_response(self.get_context_data(form=form), status=429, headers=wait)
        return self.render_to_response(self.get_context_data(form=form), status=422)


class SignOut(LogoutView):
    """By POST only (Django's own rule)."""


class PasswordChange(PasswordChangeView):
    """One's own password, the old one asked; this session goes on, the person's other sessions end."""

    template_name = "accounts/password.html"
    http_method_names = ["get", "head", "post"]
    success_url = reverse_lazy("accounts:profile")

    def form_valid(self, form: Any) -> HttpResponse:
        services.change_password(self.request.user, form.user, form.cleaned_data["new_password1"])
        update_session_auth_hash(self.request, form.user)
        messages.success(self.request, _("Your password is changed. Other browsers have to sign in again."))
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Keep the chosen language in the browser and, for a signed-in person, on the user."""
    code = request.POST.get("language", "")
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = "/"
    response = HttpResponseRedirect(target)
    if code in dict(settings.LANGUAGES) and check_for_language(code):
        _remember_language(response, code)
        if request.user.is_authenticated and request.user.language != code:
            request.user.language = code
            request.user.save(update_fields=["language"])
    return response


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Who I am, my roles, my API tokens. POST issues a token, whose text is shown this once."""
    me = cast(User, request.user)
    shown, error = "", None
    if request.method == "POST":
        try:
            given = request.POST.get("days", "").strip()
            days = int(given) if given else None
            scopes = request.POST.getlist("scopes")
            _token, shown = services.issue_token(me, me, scopes=scopes, days=days)
        except (Invalid, ValueError) as problem:
            error = problem.message if isinstance(problem, Invalid) else _("The number of days is a whole number.")
    context = {
        "tokens": me.tokens.order_by("-id"),
        "memberships": me.memberships.select_related("corpus").order_by("corpus__slug", "role"),
        "scopes": list(ACTIONS),
        "shown": shown,
        "error": error,
    }
    response = render(request, "accounts/profile.html", context, status=422 if error else 200)
    response["Cache-Control"] = "no-store"
    return response


@login_required
@require_POST
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of my own tokens."""
    token = get_object_or_404(cast(User, request.user).tokens, pk=pk)
    services.revoke_token(request.user, token)
    messages.success(request, _("The token %(prefix)s is revoked.") % {"prefix": token.prefix})
    return redirect("accounts:profile")
