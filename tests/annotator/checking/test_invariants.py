"""check_invariants finds what is broken, whoever broke it."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from annotator.checking import services
from annotator.checking.models import Claim, Draft, RecordRevision, Slot
from annotator.core import invariants
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def check() -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = 0
    try:
        call_command("check_invariants", "--json", stdout=out)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, json.loads(out.getvalue().splitlines()[-1])


@contextmanager
def without_triggers(table: str) -> Iterator[None]:
    """As a careless owner of the database would."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def worked() -> Any:
    clip = make.create_clip(make.create_corpus(review="none"))
    make.create_clue(clip)
    make.create_draft(clip)
    make.create_annotation(clip)
    return clip


def test_a_healthy_workbench_is_ok(worked: Any) -> None:
    assert check() == (0, {"ok": True, "broken": []})
    assert len(invariants.CHECKS) >= 20


def test_a_changed_line_is_found(worked: Any) -> None:
    revision = RecordRevision.objects.first()
    with without_triggers("checking_recordrevision"):
        RecordRevision.objects.filter(pk=revision.pk).update(line=revision.line.replace("angry", "happy") + " ")
    code, result = check()
    assert (code, result["ok"]) == (1, False)
    found = [(item["promise"], item["object"]) for item in result["broken"]]
    assert found == [("frozen", f"revision {revision.pk}")]


def test_half_a_line_is_found_and_the_other_checks_go_on(worked: Any) -> None:
    revision = RecordRevision.objects.first()
    with without_triggers("checking_recordrevision"):
        RecordRevision.objects.filter(pk=revision.pk).update(line=revision.line[:40])
    Slot.objects.update(state="open")
    assert {item["promise"] for item in check()[1]["broken"]} == {"frozen", "one holder"}


def test_a_resubmission_that_reached_no_reviewer_is_found() -> None:
    clip = make.create_clip()
    author, reviewer = make.create_member(clip.corpus), make.create_member(clip.corpus, "reviewer")
    make.create_annotation(clip, author)
    review, _ = services.claim_next(reviewer, clip.corpus, kind="review")
    services.decide(reviewer, review.pk, decision="return", reason="?")
    make.create_annotation(clip, author)
    assert check()[0] == 0
    Claim.objects.filter(pk=review.pk).update(state="submitted")
    Slot.objects.filter(kind="review").update(state="done")
    assert [item["promise"] for item in check()[1]["broken"]] == ["no review is lost"]


def test_slots_and_claims_that_disagree_are_found(worked: Any) -> None:
    Slot.objects.update(state="open")
    assert [item["promise"] for item in check()[1]["broken"]] == ["one holder"]


def test_a_missing_slot_is_found(worked: Any) -> None:
    clip = make.create_clip(worked.corpus)
    clip.slots.all().delete()
    assert [item["object"] for item in check()[1]["broken"]] == [f"clip {clip.pk}"]


def test_a_submission_that_left_nothing_is_found(worked: Any) -> None:
    clip = make.create_clip(worked.corpus)
    claim = services.claim_clip(make.create_member(clip.corpus), clip)
    Claim.objects.filter(pk=claim.pk).update(state="submitted")
    Slot.objects.filter(pk=claim.slot_id).update(state="done")
    promises = {item["promise"] for item in check()[1]["broken"]}
    assert promises == {"kept", "no review is lost"}


def test_a_lost_draft_version_is_found(worked: Any) -> None:
    clip = make.create_clip(worked.corpus)
    person = make.create_member(clip.corpus)
    claim = services.claim_clip(person, clip)
    for version in range(3):
        services.save_draft(person, claim.pk, {"label": str(version)}, f'"{version}"')
    with without_triggers("checking_draft"):
        Draft.objects.filter(claim=claim, version=2).delete()
    assert [item["object"] for item in check()[1]["broken"]] == [f"claim {claim.pk}"]


def test_a_description_that_became_no_record_is_found(worked: Any) -> None:
    draft = make.create_draft(make.create_clip(worked.corpus), announce=False)
    assert [item["object"] for item in check()[1]["broken"]] == [f"draft {draft.pk}"]


def test_a_job_that_wrote_without_being_done_is_found(worked: Any) -> None:
    draft = make.create_draft(make.create_clip(worked.corpus))
    draft.job.state, draft.job.reason = "failed", "?"
    draft.job.save()
    assert [item["promise"] for item in check()[1]["broken"]] == ["once"]


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements:
            cursor.execute(statement)


OFF = "ALTER TABLE {} DISABLE TRIGGER USER"
REVIEWED = """INSERT INTO checking_review (claim_id, clip_id, reviewer_id, decision, annotation_id, reason, created_at)
              SELECT claim_id, clip_id, {}, 'accept', id, '', now() FROM checking_annotation"""
SECOND_CLAIM = """INSERT INTO checking_claim (slot_id, clip_id, corpus_id, user_id, state, lease_end, offered,
                                              return_reason, skip_reason, created_at, updated_at)
                  SELECT slot_id, clip_id, corpus_id, {}, 'live', now(), '[]', '', '', now(), now()
                  FROM checking_claim"""
ANOTHER = "(SELECT max(id) FROM accounts_user)"

BREAKS: dict[str, list[str]] = {
    "a slot has one holder at most": ["DROP INDEX claim_one_holder", SECOND_CLAIM.format(ANOTHER)],
    "a person is on a clip once": [
        "ALTER TABLE checking_claim DROP CONSTRAINT claim_person_once_per_clip",
        "DROP INDEX claim_one_holder",
        SECOND_CLAIM.format("user_id"),
    ],
    "a claim, its slot and its clip belong together": [
        "UPDATE checking_claim SET clip_id = (SELECT max(id) FROM clips_clip)"
    ],
    "nobody reviews a clip that they annotated": [REVIEWED.format("user_id")],
    "a corpus that shows one modality alone has a review": [
        "UPDATE clips_corpus SET review = 'none'",
        """INSERT INTO checking_checkingrules (corpus_id, blind_sources, "order", modes, gold_share, planted_share,
             none_share, blind_share, training_items, test_items, pass_mark, terms, currency, idle_after, updated_at)
           SELECT id, false, 'age', '["visual"]', 0, 0, 0, 0, 0, 0, 0.6, '', 'USD', 60, now() FROM clips_corpus""",
    ],
    "what was offered and judged is of the slot's modality": [
        "UPDATE checking_slot SET mode = 'text' WHERE kind = 'annotate'"
    ],
    "nothing is left to do on a withdrawn clip": ["UPDATE clips_clip SET withdrawn_at = now()"],
    "revisions of an annotation are 1, 2, 3 …": [
        OFF.format("checking_annotation"),
        "UPDATE checking_annotation SET revision = 2",
    ],
    "every offered clue was judged": ["UPDATE checking_claim SET offered = offered || '[999999]'"],
    "a submission or decision is recorded once": [REVIEWED.format(ANOTHER)],
    "a job that is done has its effects, each once": ["""UPDATE prelabels_job SET result = '{"clue_ids": [999999]}'"""],
    "a run that has ended has no open jobs": ["UPDATE prelabels_job SET state = 'queued'"],
    "a record's current revision is its own and its highest; numbers are 1, 2, 3 …": [
        "UPDATE checking_record SET current_id = NULL"
    ],
    "a line is of its record's clip and grade, with all keys": ["UPDATE clips_clip SET name = name || '!'"],
    "a coarse record comes from a run or an import, a fine one from people or an import": [
        OFF.format("checking_recordrevision"),
        "UPDATE checking_recordrevision SET source = 'run' WHERE source = 'submission'",
    ],
    "a record's annotation, review and draft are of its clip": [
        OFF.format("checking_annotation"),
        "UPDATE checking_annotation SET clip_id = (SELECT max(id) FROM clips_clip)",
    ],
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_check_finds_what_it_is_for(worked: Any, name: str) -> None:
    make.create_clip(worked.corpus)
    make.create_user()
    assert check()[0] == 0
    sql(*BREAKS[name])
    assert name in {item["detail"].split(": ")[0] for item in check()[1]["broken"]}


def test_another_room_may_add_its_own_check() -> None:
    invariants.register("frozen", "a test's check", lambda: [("snapshot 1", "its digest changed")])
    try:
        assert check()[1]["broken"] == [
            {"promise": "frozen", "object": "snapshot 1", "detail": "a test's check: its digest changed"}
        ]
    finally:
        del invariants.CHECKS["a test's check"]
