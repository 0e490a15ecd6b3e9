from django.apps import AppConfig


class SnapshotsConfig(AppConfig):
    name = "annotator.snapshots"

    def ready(self) -> None:
        from . import invariants

        invariants.register()
