from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "annotator.accounts"

    def ready(self) -> None:
        from django.contrib import admin

        from . import schema  # noqa: F401 - registers itself
        from .forms import AdminSignInForm

        admin.site.login_form = AdminSignInForm
