from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "annotator.core"

    def ready(self) -> None:
        from django.contrib import admin
        from django.contrib.admin.models import LogEntry
        from django.db.models.signals import post_save

        import annotator.celery  # noqa: F401 - whoever sends a shared task sends it to our broker

        from . import audit

        post_save.connect(audit.from_admin, sender=LogEntry, dispatch_uid="audit-from-admin")
        # Deleting many at once logs them by bulk_create, which sends no signal: the trail would miss it.
        admin.site.disable_action("delete_selected")
