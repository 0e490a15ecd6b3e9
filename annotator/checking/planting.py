"""Planted errors: a clue of a gold clip that the gold answer kept, with one of its claims turned into the opposite.

By rules over the gate's lexicon (`models_ml.gate.opposites`), in Chinese and English, the same whenever it is asked. A
sentence is planted only where the gate reads it as the opposite, and where the clip's measurements do not bear the
opposite out.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, NotFound
from annotator.prelabels.gating import Facts, facts_for, judge_clue
from annotator.prelabels.models import Clue
from annotator.prelabels.queries import in_order

from . import arms
from .models import GoldItem, PlantedError


@dataclass(frozen=True)
class Proposal:
    """An error that could be planted: the clue as it is, and as it would be offered."""

    clue: Clue
    rule: str
    text: str
    texts: dict[str, str] | None

    @property
    def key(self) -> str:
        """Names it in a form."""
        return f"{self.clue.pk} {self.rule}"


def kept_clues(item: GoldItem) -> list[Clue]:
    """Current clues of the gold clip that its answer kept as they were: only these are known to be right."""
    line = json.loads(item.revision.line)
    kept = [clue for clue in line["clues"] if clue["verdict"] in ("kept", None)]
    right = {(clue["modality"], clue["aspect"] or "", clue["text"]) for clue in kept}
    rows = in_order(Clue.objects.filter(clip_id=item.clip_id, superseded_at=None)).select_related("prelabeller")
    return [
        clue
        for clue in rows
        if any((clue.modality, clue.aspect, text) in right for text in (clue.text, *(clue.texts or {}).values()))
    ]


def proposals(item: GoldItem, facts: Facts | None = None) -> list[Proposal]:
    """Every error that could be planted in the clip, in the order of its clues; [] where nothing can be swapped."""
    from models_ml.gate.opposites import swaps

    found = []
    facts = facts or facts_for([item.clip_id])[item.clip_id]
    for clue in kept_clues(item):
        for swap in swaps(clue.text, clue.language, clue.modality):
            texts = _renderings(clue, swap.claim, swap.opposite, swap.text)
            if (clue.texts and texts is None) or _is_true(facts, clue, swap.opposite, swap.text):
                continue
            found.append(Proposal(clue, swap.rule, swap.text, texts))
    return found


def _renderings(clue: Clue, claim: str, opposite: str, text: str) -> dict[str, str] | None:
    """The clue's renderings with the same claim turned over in each; None where one of them cannot be."""
    from models_ml.gate.opposites import swaps

    found = {}
    for language, rendering in (clue.texts or {}).items():
        if language == clue.language:
            found[language] = text
            continue
        same = [s for s in swaps(rendering, language, clue.modality) if (s.claim, s.opposite) == (claim, opposite)]
        if not same:
            return None
        found[language] = same[0].text
    return found or None


def _is_true(facts: Facts, clue: Clue, opposite: str, text: str) -> bool:
    """Whether the clip's measurements bear the altered claim out: then it would be no error."""
    from models_ml import gate

    verdicts = gate.judge(
        text,
        clue.language,
        modality=clue.modality,
        au=facts.track(),
        measures=facts.measures,
        subtitle=facts.subtitle,
        span=clue.span,
    )
    return any(each["claim"] == opposite and each["verdict"] == "supported" for each in verdicts)


@transaction.atomic
def plant(user: Any, item: GoldItem, key: str = "") -> PlantedError:
    """Plant the proposal named by `key` (`Proposal.key`), without one the clip's own draw of them; again is the same.

    Raises NotFound and Forbidden by role, NotFound for a key that is none, Conflict `nothing-to-swap`.
    """
    if user is not None:
        require(user, item.corpus, "gold.manage")
    found = proposals(item)
    if not found:
        raise Conflict(
            _("Nothing in the kept clues of “%(name)s” can be turned into its opposite.") % {"name": item.clip.name},
            code="nothing-to-swap",
        )
    if key:
        chosen = next((each for each in found if each.key == key), None)
        if chosen is None:
            raise NotFound(_("There is no such error to plant: the clip's clues were changed."))
    else:
        chosen = found[int(arms.uniform("plant", item.clip.name) * len(found))]
    error, made = PlantedError.objects.get_or_create(
        clue=chosen.clue,
        rule=chosen.rule,
        defaults={"gold": item, "language": chosen.clue.language, "text": chosen.text, "texts": chosen.texts},
    )
    judged(error)
    if made:
        audit.record(
            user,
            "gold.plant",
            corpus=item.corpus.slug,
            target=f"clip {item.clip_id}",
            clip=item.clip.name,
            clue=chosen.clue.pk,
            rule=chosen.rule,
        )
    return error


def judged(error: PlantedError) -> list[dict[str, Any]]:
    """The gate's verdicts on the altered text, as on any draft: a clue without them among others would be the planted
    one. Asked once and kept."""
    if error.gate is None:
        altered = Clue.objects.get(pk=error.clue_id)
        altered.text, altered.language, altered.texts = error.text, error.language, error.texts
        error.gate = list(judge_clue(altered))
        error.save(update_fields=["gate"])
    return error.gate


@transaction.atomic
def remove(user: Any, error: PlantedError) -> None:
    """Take a planted error out. Raises Conflict where somebody met it: their answer would lose its question."""
    corpus = error.gold.corpus
    require(user, corpus, "gold.manage")
    if error.claims.exists():
        raise Conflict(_("Somebody met this error already; it stays with their answer."), code="in-use")
    audit.record(user, "gold.unplant", corpus=corpus.slug, target=f"clip {error.gold.clip_id}", rule=error.rule)
    error.delete()


def plant_all(user: Any, corpus: Corpus, *, dry_run: bool = False) -> dict[str, Any]:
    """One error in every gold clip in use that is no example and has none: `{"planted", "skipped"}`, each by clip.

    `user` is None for a command on the machine itself.
    """
    if user is not None:
        require(user, corpus, "gold.manage")
    rows = GoldItem.objects.filter(corpus=corpus, active=True, planted=None, clip__withdrawn_at=None)
    rows = rows.exclude(purpose="example").select_related("clip", "corpus", "revision").order_by("id")
    planted, skipped = [], []
    for item in rows:
        found = proposals(item)
        if not found:
            skipped.append({"name": item.clip.name, "reason": _("nothing can be turned into its opposite")})
            continue
        chosen = found[int(arms.uniform("plant", item.clip.name) * len(found))]
        if not dry_run:
            plant(user, item, chosen.key)
        planted.append({"name": item.clip.name, "rule": chosen.rule, "before": chosen.clue.text, "after": chosen.text})
    return {"planted": planted, "skipped": skipped}
