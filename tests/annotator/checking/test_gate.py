"""The evidence gate compared with people: counts by hand, shares with intervals, the page, its exports, provenance."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from annotator.checking import gate_figures, records
from annotator.checking.models import Annotation, Check, Claim, Record, Slot
from annotator.checking.queries import record_provenance
from annotator.clips.models import Clip, Corpus
from annotator.clips.services import withdraw_clip
from annotator.prelabels.models import Clue
from annotator.snapshots.services import freeze_snapshot
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def verdict(claim: str, text: str, words: str, verdict: str = "contradicted", **more: Any) -> dict[str, Any]:
    """A verdict as `models_ml.gate.judge` gives it, on `words` of `text`."""
    start = text.index(words)
    return {
        "claim": claim, "text": words, "at": [start, start + len(words)], "negated": False, "hedged": False,
        "who": "target", "verdict": verdict, "measure": "AU12", "value": 0.2, "unit": "", "threshold": 1.0,
        "span": [0.4, 1.2], "reason": "below", **more,
    }  # fmt: skip


def drafted(corpus: Corpus, text: str, *verdicts: dict[str, Any], **more: Any) -> Clue:
    return make.create_clue(make.create_clip(corpus), text, gate=list(verdicts), gate_version="1", **more)


def decide(clue: Clue, did: str, text: str | None = None, language: str = "en") -> Any:
    """An annotator submits the clip with this verdict on its clue."""
    said = {"id": clue.pk, "modality": clue.modality, "aspect": clue.aspect, "span": clue.span}
    said |= {"language": language, "text": text or clue.text, "verdict": did}
    return make.create_annotation(clue.clip, body=make.make_body() | {"clues": [said]})


@pytest.fixture
def corpus() -> Corpus:
    return make.create_corpus("lab")


def row(corpus: Corpus, claim: str) -> dict[str, Any]:
    return next(row for row in gate_figures.comparison(corpus)["rows"] if row["claim"] == claim)


def test_what_people_did_is_counted_by_claim_and_verdict(corpus: Corpus) -> None:
    smiles, says = "She smiles at the door.", verdict("smile", "She smiles at the door.", "smiles")
    supported = {**says, "verdict": "supported"}
    decide(drafted(corpus, smiles, says), "rejected")
    decide(drafted(corpus, smiles, says), "corrected", "She looks at the door.")
    decide(drafted(corpus, smiles, says), "corrected", "She SMILES at the window.")
    decide(drafted(corpus, smiles, says), "kept")
    decide(drafted(corpus, smiles, supported), "kept")
    decide(drafted(corpus, smiles, supported), "rejected")
    drafted(corpus, smiles, supported)  # nobody has seen it yet
    found = row(corpus, "smile")
    assert {key: found[key] for key in ("claims", "contradicted", "supported", "not_measurable", "decided")} == {
        "claims": 7, "contradicted": 4, "supported": 3, "not_measurable": 0, "decided": 6,
    }  # fmt: skip
    assert found["people"]["contradicted"] == {"kept": 1, "corrected": 2, "rejected": 1}
    assert found["people"]["supported"] == {"kept": 1, "corrected": 0, "rejected": 1}
    assert (found["contradicted_removed"], found["contradicted_left"]) == (2, 2)
    assert (found["supported_removed"], found["supported_left"]) == (1, 1)
    assert (found["precision"], found["recall"]) == (0.5, round(2 / 3, 4))
    assert found["few"]
    whole = gate_figures.comparison(corpus)["whole_clues"]
    assert whole["people"] == {
        "alarm": {"kept": 1, "corrected": 2, "rejected": 1}, "quiet": {"kept": 1, "corrected": 0, "rejected": 1},
    }  # fmt: skip
    assert (whole["precision"], whole["recall"]) == (0.75, 0.75)


def test_of_two_claims_in_a_corrected_clue_each_is_judged_by_its_own_words(corpus: Corpus) -> None:
    text = "She smiles and frowns."
    clue = drafted(corpus, text, verdict("smile", text, "smiles"), verdict("brows_lowered", text, "frowns"))
    decide(clue, "corrected", "She smiles.")
    assert row(corpus, "smile")["contradicted_left"] == 1
    assert row(corpus, "brows_lowered")["contradicted_removed"] == 1


def test_a_correction_into_another_language_says_nothing_of_the_words(corpus: Corpus) -> None:
    text = "She smiles."
    decide(drafted(corpus, text, verdict("smile", text, "smiles")), "corrected", "她在笑。", "zh")
    found = row(corpus, "smile")
    assert found["people"]["contradicted"]["corrected"] == 1
    assert found["contradicted_removed"] == found["contradicted_left"] == 0
    assert found["precision"] is None


def test_only_the_last_submitted_version_counts_and_nothing_of_a_withdrawn_clip(corpus: Corpus) -> None:
    text = "She smiles."
    annotation = decide(drafted(corpus, text, verdict("smile", text, "smiles")), "kept")
    later = Annotation.objects.create(
        claim=annotation.claim, clip=annotation.clip, user=annotation.user, revision=2, description_en="x"
    )
    check = annotation.checks.get()
    check.pk, check.annotation, check.verdict = None, later, "rejected"
    check.save(force_insert=True)
    gone = drafted(corpus, text, verdict("smile", text, "smiles"))
    decide(gone, "kept")
    withdraw_clip(None, gone.clip, "consent")
    sent_back = decide(drafted(corpus, text, verdict("smile", text, "smiles")), "kept")
    Claim.objects.filter(pk=sent_back.claim_id).update(state="returned")
    found = row(corpus, "smile")
    assert found["people"]["contradicted"] == {"kept": 0, "corrected": 0, "rejected": 1}
    assert found["claims"] == 2


def test_a_superseded_clue_still_tells_what_people_did_with_it(corpus: Corpus) -> None:
    text = "She smiles."
    clue = drafted(corpus, text, verdict("smile", text, "smiles"))
    decide(clue, "rejected")
    Clue.objects.filter(pk=clue.pk).update(superseded_at="2026-01-01T00:00Z")
    found = row(corpus, "smile")
    assert (found["claims"], found["contradicted_removed"], found["precision"]) == (0, 1, 1.0)


def test_wilson_gives_the_published_intervals() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    assert gate_figures.wilson(81, 263) == (0.2553, 0.3662)
    assert gate_figures.wilson(15, 148) == (0.0624, 0.1605)
    assert gate_figures.wilson(0, 20) == (0.0, 0.1611)
    assert gate_figures.wilson(1, 29) == (0.0061, 0.1718)
    assert gate_figures.wilson(0, 0) is None


def test_verdicts_that_are_missing_or_empty_break_nothing(corpus: Corpus) -> None:
    make.create_clue(make.create_clip(corpus), "Not judged yet.")
    drafted(corpus, "No claim.")
    found = gate_figures.comparison(corpus)
    assert (found["rows"], found["clues"], found["all"]["claims"]) == ([], 2, 0)


@pytest.fixture
def many(corpus: Corpus) -> Corpus:
    """2,000 clues of 500 clips, all judged, all decided on."""
    person, source = make.create_member(corpus, "annotator"), make.create_prelabeller("m")
    clips = Clip.objects.bulk_create(Clip(corpus=corpus, name=f"c{n:04}", duration=3.0) for n in range(500))
    text = "She smiles and her voice is loud."
    said = [verdict("smile", text, "smiles"), verdict("loud", text, "loud", "supported")]
    clues = Clue.objects.bulk_create(
        Clue(clip=clip, prelabeller=source, modality=modality, aspect=aspect, language="en", text=text,
             gate=said, gate_version="1", content_sha256="0" * 64)
        for clip in clips
        for modality, aspect in (("visual", "expression"), ("visual", "scene"), ("audio", "tone"), ("text", ""))
    )  # fmt: skip
    slots = Slot.objects.bulk_create(
        Slot(corpus=corpus, clip=clip, kind="annotate", number=1, state="done") for clip in clips
    )
    now = "2026-01-01T00:00Z"
    claims = Claim.objects.bulk_create(
        Claim(slot=slot, clip_id=slot.clip_id, corpus=corpus, user=person, state="submitted", lease_end=now)
        for slot in slots
    )
    annotations = Annotation.objects.bulk_create(
        Annotation(claim=claim, clip_id=claim.clip_id, user=person, description_en="x") for claim in claims
    )
    by_clip = {annotation.clip_id: annotation for annotation in annotations}
    Check.objects.bulk_create(
        Check(annotation=by_clip[clue.clip_id], clue=clue, position=n, verdict="rejected" if n % 2 else "kept",
              modality=clue.modality, aspect=clue.aspect, language="en", text=text)
        for n, clue in enumerate(clues)
    )  # fmt: skip
    return corpus


def test_two_thousand_clues_cost_as_many_queries_as_two(many: Corpus, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):
        found = gate_figures.comparison(many)
    assert (found["all"]["claims"], found["all"]["decided"]) == (4000, 4000)
    assert (found["rows"][0]["precision"], found["rows"][0]["few"]) == (0.5, False)
    few = make.create_corpus("few")
    drafted(few, "She smiles.", verdict("smile", "She smiles.", "smiles"))
    with django_assert_num_queries(3):
        gate_figures.comparison(few)


@pytest.fixture
def manager(corpus: Corpus, client: Client) -> Client:
    client.force_login(make.create_member(corpus, "manager"))
    return client


def test_the_page_shows_counts_and_says_where_they_are_too_few(corpus: Corpus, manager: Client) -> None:
    text = "She smiles."
    decide(drafted(corpus, text, verdict("smile", text, "smiles")), "rejected")
    html = manager.get("/corpora/lab/gate/").content.decode()
    assert ">smile<" in html
    assert "1.00 (0.21–1.00) · too few to say" in html
    assert "Judge all again" in html
    chinese = manager.get("/corpora/lab/gate/", headers={"accept-language": "zh-hans"}).content.decode()
    assert "证据" in chinese
    assert "样本太少" in chinese


def test_a_reviewer_reads_the_page_and_starts_nothing(corpus: Corpus, client: Client) -> None:
    client.force_login(make.create_member(corpus, "reviewer"))
    html = client.get("/corpora/lab/gate/").content.decode()
    assert "Judge all again" not in html
    assert client.post("/corpora/lab/gate/judge/").status_code == 403


def test_csv_json_and_rest_say_the_same(corpus: Corpus, manager: Client) -> None:
    text = "She smiles."
    decide(drafted(corpus, text, verdict("smile", text, "smiles")), "rejected")
    answer = manager.get("/corpora/lab/gate/table.csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["claim"] for row in rows] == ["smile", "all"]
    assert (rows[0]["precision"], rows[0]["precision_low"], rows[0]["contradicted_removed"]) == ("1.0", "0.2065", "1")
    as_json = json.loads(manager.get("/corpora/lab/gate/table.json").content)
    assert as_json == manager.get("/api/v1/corpora/lab/gate/").json()
    assert as_json["rows"][0]["people"]["contradicted"]["rejected"] == 1


def test_a_record_keeps_the_verdicts_its_clues_had(corpus: Corpus) -> None:
    text = "She smiles."
    clue = drafted(corpus, text, verdict("smile", text, "smiles"))
    body = make.make_body([clue])
    revision = records.write(clue.clip, "fine", records.checked_content(body), source="import")
    origin = record_provenance(Record.objects.select_related("clip__corpus", "corpus").get())["clues"]
    assert origin[0]["gate"] == {"version": "1", "verdicts": clue.gate}
    line = json.loads(revision.line)["clues"][0]
    assert "gate" not in line
    Clue.objects.filter(pk=clue.pk).update(gate=None, gate_version="")
    unjudged = records.write(clue.clip, "fine", records.checked_content(body), source="import")
    assert unjudged.provenance["clues"][0]["gate"] is None
    assert unjudged.sha256 == revision.sha256


def test_a_snapshots_provenance_carries_the_verdicts_and_its_records_do_not(corpus: Corpus, settings: Any, tmp_path: Any) -> None:  # fmt: skip # noqa: E501
    settings.SNAPSHOT_ROOT = tmp_path
    text = "She smiles."
    clue = drafted(corpus, text, verdict("smile", text, "smiles"))
    records.write(clue.clip, "fine", records.checked_content(make.make_body([clue])), source="import")
    snapshot = freeze_snapshot(None, corpus, "v1")
    folder = next(path.parent for path in tmp_path.rglob("provenance.jsonl"))
    provenance = json.loads((folder / "provenance.jsonl").read_text().splitlines()[0])
    assert provenance["provenance"]["clues"][0]["gate"]["verdicts"][0]["verdict"] == "contradicted"
    assert "gate" not in (folder / "records.jsonl").read_text()
    assert snapshot.digest
