from django.apps import AppConfig


class PrelabelsConfig(AppConfig):
    name = "annotator.prelabels"

    def ready(self) -> None:
        """Show clues on a clip's page; take the clues that come with a manifest; forget withdrawn media."""
        from annotator.clips import hooks
        from annotator.clips.signals import clip_withdrawn

        from . import cache, invariants
        from .imports import import_clues
        from .panel import clues_panel

        hooks.panels.append(clues_panel)
        hooks.clue_importers.append(import_clues)
        clip_withdrawn.connect(cache.forget_media, dispatch_uid="prelabels.forget_answers")
        invariants.register()
