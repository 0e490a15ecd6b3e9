"""Thinning a run's descriptions: over-abundant labels capped, near-duplicates and most neutral clips left out.

A draft that is dropped keeps its text and says why; the coarse record made of it is left out of a freeze, and is back
when the thinning is undone. What is decided depends on the drafts and the seed only (`models_ml.steps.select`).
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.core import audit
from annotator.core.errors import Conflict, Invalid
from models_ml.steps import select

from .models import Clue, DescriptionDraft, Run

BATCH = 2000
SHOWN_LABELS = 50
NEUTRAL = select.grouped(["neutral"])


@dataclass
class Sample:
    """What is kept in memory of a draft while a run is thinned."""

    draft: int
    labels: tuple[str, ...]
    rank: tuple[float, ...]
    before: str  # why it was dropped already
    why: str = ""


def thin_run(
    run: Run,
    *,
    cap: int | None = None,
    near_duplicates: float | None = None,
    neutral_share: float | None = None,
    seed: int = 0,
    dry_run: bool = False,
    user: Any = None,
) -> dict[str, Any]:
    """Drop drafts of a run by these rules, in the order neutral, near-duplicates, cap; what an earlier thinning of the
    run dropped is decided anew.

    `neutral_share`: the share of neutral clips that is kept; `near_duplicates`: the Jaccard of character n-grams from
    which two descriptions are one; `cap`: clips that may bear one label; None: not thinned by that.
    Of near-duplicates the one with both languages is kept, then the one with more OV labels, then the longer, then the
    first by the clip's name. Labels are groups of synonyms in both languages (the lexicon of the metric); where a draft
    has none, the pseudo-label of the clip's action units. Returns `{"run", "drafts", "kept", "dropped": {rule: n},
    "labels": {label: {"before", "after"}}, "dry_run"}`, the most frequent labels first.

    `user` None is the system (a command). Raises Forbidden or NotFound by role, Conflict while the run goes on, Invalid
    for rules that mean nothing.
    """
    if user is not None:
        require(user, run.corpus, "run.start")
    _check(cap, near_duplicates, neutral_share)
    with transaction.atomic():
        row = Run.objects.select_for_update(no_key=True).select_related("corpus").get(pk=run.pk)
        if row.finished_at is None:
            raise Conflict(_("The run has not ended; its descriptions cannot be thinned yet."), code="run-open")
        samples = dict(_samples(row))
        before = _counts(samples.values())
        dropped = _decide(row, samples, cap, near_duplicates, neutral_share, seed)
        kept = [sample for sample in samples.values() if not sample.why]
        after = _counts(kept)
        if not dry_run:
            _write(samples.values())
            rules = {"cap": cap, "near_duplicates": near_duplicates, "neutral_share": neutral_share, "seed": seed}
            audit.record(user, "run.thin", corpus=row.corpus.slug, target=row.pk, dropped=dropped, **rules)
    return {
        "run": run.pk,
        "drafts": len(samples),
        "kept": len(kept),
        "dropped": dropped,
        "labels": {
            label: {"before": number, "after": after[label]} for label, number in before.most_common(SHOWN_LABELS)
        },
        "dry_run": dry_run,
    }


@transaction.atomic
def undo_thinning(run: Run, *, user: Any = None) -> int:
    """Take back every dropped draft of the run; how many there were. Raises Forbidden or NotFound by role."""
    if user is not None:
        require(user, run.corpus, "run.start")
    back = DescriptionDraft.objects.filter(job__run=run).exclude(dropped="").update(dropped="")
    audit.record(user, "run.unthin", corpus=run.corpus.slug, target=run.pk, taken_back=back)
    return back


def _check(cap: int | None, near_duplicates: float | None, neutral_share: float | None) -> None:
    if cap is None and near_duplicates is None and neutral_share is None:
        raise Invalid(_("Say what to thin by: a cap, near-duplicates or a share of neutral clips."))
    if cap is not None and cap < 1:
        raise Invalid(_("The cap is a number of clips from 1 on; got %s.") % cap)
    if near_duplicates is not None and not 0.5 <= near_duplicates <= 1:
        raise Invalid(_("Near-duplicates are told by a number from 0.5 to 1; got %s.") % near_duplicates)
    if neutral_share is not None and not 0 <= neutral_share <= 1:
        raise Invalid(_("The share of neutral clips is a number from 0 to 1; got %s.") % neutral_share)


def newest_drafts(run: Run) -> QuerySet[DescriptionDraft]:
    """The last description of each clip in this run, by clip."""
    return DescriptionDraft.objects.filter(job__run=run).order_by("clip_id", "-pk").distinct("clip_id")


def _samples(run: Run) -> Iterator[tuple[str, Sample]]:
    """(clip's name, sample) of every clip's newest draft; texts are not kept."""
    rows = newest_drafts(run).select_related("clip").defer("provenance")
    batch: list[DescriptionDraft] = []
    for draft in rows.iterator(chunk_size=BATCH):
        batch.append(draft)
        if len(batch) == BATCH:
            yield from _as_samples(batch)
            batch = []
    yield from _as_samples(batch)


def _as_samples(batch: list[DescriptionDraft]) -> Iterator[tuple[str, Sample]]:
    pseudo = pseudo_labels(draft.clip_id for draft in batch if not draft.ov_en and not draft.ov_zh)
    for draft in batch:
        words = [*draft.ov_en, *draft.ov_zh] or [word for word in [pseudo.get(draft.clip_id)] if word]
        texts = (draft.description_zh, draft.description_en)
        rank = (
            -sum(1.0 for text in texts if text),
            -float(len({*draft.ov_en, *draft.ov_zh})),
            -float(sum(map(len, texts))),
        )
        yield draft.clip.name, Sample(draft.pk, select.grouped(words), rank, draft.dropped)


def pseudo_labels(clip_ids: Any) -> dict[int, str]:
    """By clip: the emotion that its action units suggest, by the current clue of the peak frame."""
    clues = Clue.objects.filter(clip__in=list(clip_ids), superseded_at=None, codes__kind="au").order_by("pk")
    found = {}
    for clip_id, codes in clues.values_list("clip_id", "codes"):
        known = codes or {}
        if label := known.get("pseudo_label") or next(iter(known.get("pseudo_labels") or []), None):
            found[clip_id] = label
    return found


def _decide(
    run: Run,
    samples: dict[str, Sample],
    cap: int | None,
    near_duplicates: float | None,
    neutral_share: float | None,
    seed: int,
) -> dict[str, int]:
    """Write into each sample why it goes; how many go by which rule."""
    dropped = {"neutral": 0, "near_duplicates": 0, "cap": 0}
    if neutral_share is not None:
        for name, sample in samples.items():
            if sample.labels == NEUTRAL and select.chance(seed, name) >= neutral_share:
                sample.why = f"neutral, and not in the share of {neutral_share:g} that is kept (seed {seed})"
                dropped["neutral"] += 1
    if near_duplicates is not None:
        left = {name: sample for name, sample in samples.items() if not sample.why}
        twins = select.near_duplicates(
            _texts_of(run, left),
            near_duplicates,
            rank={name: sample.rank for name, sample in left.items()},
            texts=lambda names: _texts(samples, names),
        )
        for name, (twin, near) in twins.items():
            samples[name].why = f"near-duplicate of {twin} ({near:.2f})"
        dropped["near_duplicates"] = len(twins)
    if cap is not None:
        left = {name: sample for name, sample in samples.items() if not sample.why}
        full = select.cap_labels(((name, sample.labels) for name, sample in left.items()), cap, seed=seed)
        for name, label in full.items():
            samples[name].why = f"the label {label} is on {cap} clips already (seed {seed})"
        dropped["cap"] = len(full)
    return dropped


def _texts_of(run: Run, wanted: Collection[str]) -> Iterator[tuple[str, str]]:
    """(clip's name, description) of the newest drafts, the English one where there is one."""
    rows = newest_drafts(run).values_list("clip__name", "description_en", "description_zh")
    for name, english, chinese in rows.iterator(chunk_size=BATCH):
        if name in wanted:
            yield name, english or chinese


def _texts(samples: dict[str, Sample], names: Collection[str]) -> dict[str, str]:
    of = {samples[name].draft: name for name in names}
    rows = DescriptionDraft.objects.filter(pk__in=of).values_list("pk", "description_en", "description_zh")
    return {of[pk]: english or chinese for pk, english, chinese in rows}


def _write(samples: Collection[Sample]) -> None:
    changed = [sample for sample in samples if sample.why != sample.before]
    for start in range(0, len(changed), BATCH):
        DescriptionDraft.objects.bulk_update(
            [DescriptionDraft(pk=sample.draft, dropped=sample.why) for sample in changed[start : start + BATCH]],
            ["dropped"],
        )


def _counts(samples: Collection[Sample] | Any) -> Counter[str]:
    return Counter(label for sample in samples for label in sample.labels)
