from django.apps import AppConfig


class ClipsConfig(AppConfig):
    name = "annotator.clips"

    def ready(self) -> None:
        """Show on a clip's page who is seen in it, above what other rooms add."""
        from . import hooks, person_views

        hooks.panels.insert(0, person_views.clip_panel)
