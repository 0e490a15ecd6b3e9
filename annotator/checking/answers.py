"""An annotation beside the gold answer: clue by clue, and its labels by the set-level metric."""

import json
from typing import Any

from .models import Annotation, PlantedError, RecordRevision

CAUGHT = ("corrected", "rejected")


def compare(revision: RecordRevision, annotation: Annotation, planted: PlantedError | None = None) -> dict[str, Any]:
    """`{"score", "labels": {"accuracy", "recall", "avg"}|null, "clues": […], "added": […], "gold", "planted"}`.

    A clue is right when its verdict is the gold answer's; a planted one when it was not kept; null where the gold
    answer does not judge it. Labels: accuracy and recall of the set-level metric (arXiv 2407.07653, equations 1 to 3)
    after grouping by the lexicon, over the languages in which both say something. The score is the mean of the labels'
    avg and of the share of right clues, or the one of them that there is; 0 where there is neither. Load the annotation
    with `prefetch_related("checks__clue")`.
    """
    line = json.loads(revision.line)
    clues = _clues(line, revision.provenance, annotation, planted)
    judged = [clue["right"] for clue in clues if clue["right"] is not None]
    labels = label_scores(line["ov_labels"], {"zh": annotation.ov_zh, "en": annotation.ov_en})
    parts = [labels["avg"]] if labels else []
    if judged:
        parts.append(sum(judged) / len(judged))
    return {
        "score": sum(parts) / len(parts) if parts else 0.0,
        "labels": labels,
        "clues": clues,
        "added": [clue for clue in line["clues"] if clue["verdict"] == "added"],
        "gold": {"description": line["description"], "ov_labels": line["ov_labels"]},
        "planted": None if planted is None else {"clue": planted.clue_id, "rule": planted.rule, "text": planted.text},
    }


def label_scores(gold: dict[str, list[str]], said: dict[str, list[str]]) -> dict[str, float] | None:
    """`{"accuracy", "recall", "avg"}` of the labels said; None where the gold answer has none.

    Somebody who writes in one language is not asked for the other: only languages in which both wrote are compared
    and, where there is none, all words together (the lexicon knows that 生气 is angry).
    """
    from models_ml.metrics import lexicon_grouping, score  # numpy is not wanted at start-up

    both = [language for language in ("zh", "en") if gold.get(language) and said.get(language)]
    languages = both or ["zh", "en"]
    truth = [label for language in languages for label in gold.get(language) or []]
    guess = [label for language in languages for label in said.get(language) or []]
    if not truth:
        return None
    accuracy, recall = score("", truth, guess, lexicon_grouping)
    return {"accuracy": accuracy, "recall": recall, "avg": (accuracy + recall) / 2}


def _clues(
    line: dict[str, Any], provenance: dict[str, Any], annotation: Annotation, planted: PlantedError | None
) -> list[dict[str, Any]]:
    """Each clue that was judged, with what the gold answer says of it."""
    sources = provenance.get("clues") or []
    by_id = {
        source["clue"]: clue for clue, source in zip(line["clues"], sources, strict=False) if (source or {}).get("clue")
    }
    # A later run may have written the same sentence anew, under another id.
    by_text = {_key(clue, (clue["prelabel"] or clue)["text"]): clue for clue in line["clues"]}
    found = []
    for check in annotation.checks.all():
        if check.clue is None:
            continue
        wrong = planted is not None and planted.clue_id == check.clue_id
        clue = check.clue
        texts = [clue.text, *(clue.texts or {}).values()]
        facts = {"modality": clue.modality, "aspect": clue.aspect}
        gold = by_id.get(clue.pk) or next(filter(None, (by_text.get(_key(facts, text)) for text in texts)), None)
        verdict = (gold or {}).get("verdict") or None
        right = None
        if wrong:
            right = check.verdict in CAUGHT
        elif verdict in ("kept", *CAUGHT):
            right = check.verdict == verdict
        found.append(
            {
                "id": clue.pk,
                **facts,
                "language": check.language,
                "offered": planted.text if wrong and planted else clue.text,
                "text": check.text,
                "verdict": check.verdict,
                "reason": check.reason,
                "gold_text": gold["text"] if gold else None,
                "gold_verdict": verdict,
                "planted": wrong,
                "right": right,
            }
        )
    return found


def _key(clue: dict[str, Any], text: str) -> tuple[str, str, str]:
    return clue["modality"], clue["aspect"] or "", text
