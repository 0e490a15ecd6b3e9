from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "annotator.core"

    def ready(self) -> None:
        from django.contrib.admin.models import LogEntry
        from django.db.models.signals import post_save

        import annotator.celery  # noqa: F401 - whoever sends a shared task sends it to our broker

        from . import audit

        post_save.connect(audit.from_admin, sender=LogEntry, dispatch_uid="audit-from-admin")
