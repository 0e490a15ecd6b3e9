"""annotations.jsonl: what each annotator said and how it was made, under pseudonyms, without a word about gold."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from annotator.checking import services as checking
from annotator.checking.models import CheckingRules, Claim, Slot
from annotator.checking.queries import pseudonym
from annotator.snapshots import queries, services
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _snapshot_root(settings: Any, tmp_path: Path) -> None:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"


def lines(corpus: Any) -> list[dict[str, Any]]:
    snapshot = services.freeze_snapshot(make.create_member(corpus, "manager"), corpus, "v1")
    text = (services.folder_of(snapshot) / "annotations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_tells_what_was_said_and_how_it_was_made() -> None:
    corpus = make.create_corpus("study", overlap=2, review="none")
    clip = make.create_clip(corpus, "clip-1", duration=4.0)
    clue = make.create_clue(clip, "She smiles.", span=(0.5, 1.25))
    author, other = (make.create_member(corpus, user=make.create_user(name)) for name in ("anna", "ben"))
    claim = checking.claim_clip(author, clip)
    an_hour_ago = claim.created_at - timedelta(hours=1)
    Claim.objects.filter(pk=claim.pk).update(created_at=an_hour_ago, arm="blind")
    Slot.objects.filter(pk=claim.slot_id).update(mode="visual")
    body = make.make_body([clue], label="angry", ov_labels={"zh": ["生气"], "en": ["angry"]}) | {
        "ov_scores": {"zh": {"生气": {"intensity": 4, "confidence": 2}}, "en": {}},
        "display": {"relation": "masked", "felt": ["angry"], "shown": ["happy"]},
        "conflict": {"modalities": ["visual", "audio"], "note": "嘴角与声音不符"},
        "translation": {"zh": "own", "en": "confirmed"},
        "work": {
            "active_s": 12.5, "played": [[0, 3]], "context": {"previous": True, "next": False}, "keys": 4, "edits": 1,
            "clues": {str(clue.pk): {"active_s": 3.5, "played": True}},
        },
    }  # fmt: skip
    checking.submit(author, claim.pk, body)
    make.create_annotation(clip, other, make.make_body([clue], label="sad", ov_labels={"zh": [], "en": ["angry"]}))
    (line,) = lines(corpus)
    first, second = line["annotations"]
    assert first["annotator"] == pseudonym(corpus, author.pk)
    assert first["clues"][0] == {
        "modality": "visual", "aspect": "expression", "language": "en", "text": "She smiles.", "span": [0.5, 1.25],
        "verdict": "kept", "reason": None, "active_s": 3.5, "played": True,
    }  # fmt: skip
    assert first["ov_scores"]["zh"] == {"生气": {"intensity": 4, "confidence": 2}}
    assert first["display"] == {"relation": "masked", "felt": ["angry"], "shown": ["happy"]}
    assert first["conflict"] == {"modalities": ["visual", "audio"], "note": "嘴角与声音不符"}
    assert first["translation"] == {"zh": "own", "en": "confirmed"}
    assert (first["arm"], first["mode"]) == ("blind", "visual")
    context = {"previous": True, "next": False}
    assert first["work"] == {"active_s": 12.5, "played_share": 0.75, "context": context}
    untold = {key: second[key] for key in ("ov_scores", "display", "conflict", "mode", "work")}
    assert untold == dict.fromkeys(untold)
    assert line["soft_labels"] == {"zh": {"生气": 0.5}, "en": {"angry": 1.0}, "label": {"angry": 0.5, "sad": 0.5}}
    assert "anna" not in json.dumps(line)


def test_answers_to_gold_clips_are_no_annotations() -> None:
    corpus = make.create_corpus("study")
    item = make.create_gold(corpus, clues=("She smiles.",))
    CheckingRules.objects.create(corpus=corpus, gold_share=1.0)
    author = make.create_member(corpus)
    claim, _created = checking.claim_next(author, corpus)
    assert claim.slot.kind == "gold"
    checking.submit(author, claim.pk, make.make_body(item.clip.clues.all()))
    (line,) = lines(corpus)
    assert (line["clip"], line["annotations"], line["soft_labels"]["en"]) == (item.clip.name, [], {})


def test_annotations_are_read_some_clips_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "CLIPS_AT_A_TIME", 2)
    corpus = make.create_corpus("study", review="none")
    authors = {}
    for number in range(5):
        clip = make.create_clip(corpus, f"clip-{number}")
        authors[clip.name] = pseudonym(corpus, make.create_annotation(clip).user_id)
    found = lines(corpus)
    assert {line["clip"]: line["annotations"][0]["annotator"] for line in found} == authors
