from typing import Any

from django.apps import AppConfig


class CheckingConfig(AppConfig):
    name = "annotator.checking"

    def ready(self) -> None:
        """Listen to the rooms below: new clips, changed corpora, withdrawn clips, drafted descriptions.

        And add to the rooms below what this one knows: panels, progress, leases, invariants.
        """
        from django.contrib.auth.signals import user_logged_out
        from django.db.models.signals import post_save, pre_save

        from annotator.clips import hooks, media
        from annotator.clips.models import Corpus
        from annotator.clips.signals import clip_withdrawn, clips_changed, subtitles_changed
        from annotator.prelabels import selection
        from annotator.prelabels.signals import draft_written

        from . import invariants, leases, panels, queries, rules, rules_views

        clips_changed.connect(_open_slots, dispatch_uid="checking.open_slots")
        subtitles_changed.connect(_fit_languages, dispatch_uid="checking.fit_languages")
        hooks.corpus_problems.append(rules.problems)
        user_logged_out.connect(_let_go, dispatch_uid="checking.let_go")
        pre_save.connect(_note_overlap, sender=Corpus, dispatch_uid="checking.note_overlap")
        post_save.connect(_fit_slots, sender=Corpus, dispatch_uid="checking.fit_slots")
        clip_withdrawn.connect(_close_slots, dispatch_uid="checking.close_slots")
        draft_written.connect(_record_draft, dispatch_uid="checking.record_draft")
        selection.CONDITIONS["without_record"] = (("coarse", "fine"), queries.without_record)
        hooks.panels.append(panels.clip_panel)
        hooks.panels.append(rules_views.plan_panel)
        hooks.progress.append(queries.progress)
        media.lease_checks.append(leases.is_live)
        hooks.claims.append(leases.claim_on)
        invariants.register()


def _open_slots(*, corpus: Any, clip_ids: Any, **_kwargs: Any) -> None:
    from . import services

    services.open_slots(corpus, list(clip_ids))


def _fit_languages(*, corpus: Any, clip_ids: Any, **_kwargs: Any) -> None:
    from . import services

    services.fit_languages(corpus, list(clip_ids))


def _let_go(*, user: Any, **_kwargs: Any) -> None:
    from . import leases

    if user is not None and user.is_authenticated:
        leases.let_go(user)


def _note_overlap(*, sender: Any, instance: Any, **_kwargs: Any) -> None:
    instance.overlap_before = sender.objects.filter(pk=instance.pk).values_list("overlap", flat=True).first()


def _fit_slots(*, instance: Any, created: bool, raw: bool = False, **_kwargs: Any) -> None:
    """A corpus is edited in the admin, where the number of annotations wanted may be changed."""
    from . import services

    if not created and not raw and instance.overlap != instance.overlap_before:
        services.fit_slots(instance)


def _close_slots(*, clip: Any, **_kwargs: Any) -> None:
    from . import services

    services.close_slots(clip)


def _record_draft(*, draft: Any, **_kwargs: Any) -> None:
    from . import services

    services.record_draft(draft)
