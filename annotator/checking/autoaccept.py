"""Where annotators agree enough, the rule of the corpus accepts instead of a reviewer, and says so in a log.

Agreement of a clip = the mean of two parts, each the mean over pairs of annotations, 0 to 1:

- verdicts: share of the clues judged by both on which they decided alike. Two corrections of one clue are as alike as
  their texts (Ratcliff and Obershelp's ratio, difflib).
- labels: the set-level Avg of the OV labels of both languages after grouping by the lexicon (arXiv 2407.07653,
  equations 1 to 3); symmetric, since one's accuracy is the other's recall.

The annotation that agrees best with the others (the earliest of equals) is the most central: it becomes the record.
"""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

from annotator.core import audit
from models_ml.metrics import lexicon_grouping, score

from . import records
from .models import Annotation, AutoDecision, CheckingRules, Claim, RecordRevision, Review, Slot

AT_LEAST = 2  # annotations: one alone agrees with nobody


def decide(claim: Claim, annotation: Annotation, user: Any) -> RecordRevision | None:
    """Ask the corpus' rule about a clip whose annotations are complete: the fine revision, or None for a review.

    Call it in the transaction of the completing submission, the clip locked. Whenever the rule was asked an
    AutoDecision is written. It is not asked where no threshold is set, below two annotations, where annotators saw
    different parts of the clip, and after a reviewer had to do with the clip: whoever returned it wants it back.
    """
    threshold = CheckingRules.objects.filter(corpus_id=claim.corpus_id).values_list("auto_accept", flat=True).first()
    if threshold is None or _reviewed(claim.clip_id):
        return None
    rows = _annotations(claim.clip_id)
    if len(rows) < AT_LEAST or any(row.claim.slot.mode for row in rows):
        return None
    found = agreement([_facts(row) for row in rows])
    central = rows[found["central"]]
    parts = {
        **{key: found[key] for key in ("verdicts", "labels", "pairs")},
        "annotations": [row.pk for row in rows],
        "completed_by": annotation.pk,
    }
    accepted = found["agreement"] is not None and found["agreement"] >= threshold
    revision = _accept(claim, central, threshold, found["agreement"]) if accepted else None
    AutoDecision.objects.create(
        clip_id=claim.clip_id,
        annotation=central,
        revision=revision,
        accepted=accepted,
        threshold=threshold,
        agreement=found["agreement"] if found["agreement"] is not None else 0.0,
        parts=parts,
    )
    audit.record(
        user,
        "review.auto-accept" if accepted else "review.auto-refer",
        corpus=claim.corpus.slug,
        target=f"clip {claim.clip_id}",
        clip=claim.clip.name,
        annotation=central.pk,
        agreement=found["agreement"],
        threshold=threshold,
    )
    return revision


def _reviewed(clip_id: int) -> bool:
    open_now = Slot.objects.filter(clip_id=clip_id, kind="review", state__in=["open", "claimed"])
    return open_now.exists() or Review.objects.filter(clip_id=clip_id).exists()


def _annotations(clip_id: int) -> list[Annotation]:
    """The last revision of every submitted annotation of a clip, oldest claim first."""
    return list(
        Annotation.objects.filter(clip_id=clip_id, claim__state="submitted", claim__slot__kind="annotate")
        .order_by("claim_id", "-revision")
        .distinct("claim_id")
        .select_related("claim__slot")
        .prefetch_related("checks")
    )


def _accept(claim: Claim, central: Annotation, threshold: float, agreed: float) -> RecordRevision:
    from .submissions import body_of  # which asks this module when a clip is complete

    return records.write(
        claim.clip,
        "fine",
        records.checked_content(body_of(central)),
        source="agreement",
        source_detail=f"{agreed:.3f} >= {threshold:g}",
        annotation=central,
        described_by=records.proposals(central.claim),
    )


def revision_of(annotation: Annotation) -> RecordRevision | None:
    """The revision that the rule wrote when this annotation completed its clip: what its author was answered."""
    asked = AutoDecision.objects.filter(
        clip_id=annotation.clip_id, accepted=True, parts__completed_by=annotation.pk
    ).select_related("revision")
    return asked[0].revision if asked else None


def _facts(annotation: Annotation) -> dict[str, Any]:
    """What is compared: `{"verdicts": {clue id: (verdict, text)}, "labels": [...]}`."""
    return {
        "verdicts": {
            check.clue_id: (check.verdict, check.text) for check in annotation.checks.all() if check.clue_id is not None
        },
        "labels": [*annotation.ov_zh, *annotation.ov_en],
    }


def agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`{"agreement", "verdicts", "labels", "pairs", "central"}` of annotations given as `_facts` gives them.

    `pairs` is `[[i, j, verdicts, labels], …]`; `central` an index. A part is None where no pair has it (no clue judged
    by both; no label in either); without both parts there is no agreement to speak of: None, and a person decides.
    """
    pairs = [
        (i, j, _verdicts(rows[i], rows[j]), _labels(rows[i], rows[j])) for i, j in combinations(range(len(rows)), 2)
    ]
    verdicts, labels = _mean([pair[2] for pair in pairs]), _mean([pair[3] for pair in pairs])
    near: list[list[float]] = [[] for _row in rows]
    for i, j, *parts in pairs:
        mean = _mean(parts)
        for index in (i, j):
            near[index].append(mean or 0.0)
    means = [sum(values) / len(values) if values else 0.0 for values in near]
    return {
        "agreement": None if verdicts is None or labels is None else (verdicts + labels) / 2,
        "verdicts": verdicts,
        "labels": labels,
        "pairs": [list(pair) for pair in pairs],
        "central": max(range(len(rows)), key=lambda index: (means[index], -index)),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _verdicts(one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    shared = one["verdicts"].keys() & other["verdicts"].keys()
    return _mean([_alike(one["verdicts"][key], other["verdicts"][key]) for key in sorted(shared)])


def _alike(one: tuple[str, str], other: tuple[str, str]) -> float:
    if one[0] != other[0]:
        return 0.0
    return SequenceMatcher(None, one[1], other[1], autojunk=False).ratio() if one[0] == "corrected" else 1.0


def _labels(one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    first, second = one["labels"], other["labels"]
    if not first and not second:
        return None
    return sum(score("", first, second, lexicon_grouping)) / 2 if first and second else 0.0
