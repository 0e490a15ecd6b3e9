"""Figures of quality on small corpora, each counted by hand: agreement, pre-labellers, annotators, anchoring, costs."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from annotator.checking import records
from annotator.checking.models import Annotation, CheckingRules, Claim, GoldItem, PlantedError, Slot
from annotator.checking.quality import agreement, anchoring, costs, dashboard, people, prelabellers, reports, said, week
from annotator.checking.quality.prelabellers import distance, words_of
from annotator.checking.services import claim_clip
from annotator.clips.models import Clip, Corpus
from annotator.clips.services import withdraw_clip
from annotator.prelabels.models import Clue, Job
from tests.support import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make.create_corpus("lab", overlap=2)


def says(
    clip: Clip, user: Any, en: list[str], label: str = "", clues: list[dict[str, Any]] | None = None
) -> Annotation:
    body = make.make_body(ov_labels={"zh": [], "en": en}, label=label) | ({"clues": clues} if clues is not None else {})
    if clues is None:
        body["clues"] = make.make_body(Clue.objects.filter(clip=clip))["clues"]
    return make.create_annotation(clip, user, body)


def check(clue: Clue, verdict: str, text: str | None = None, reason: str = "") -> dict[str, Any]:
    return {
        "id": clue.pk, "modality": clue.modality, "aspect": clue.aspect, "language": clue.language,
        "text": text or clue.text, "span": clue.span, "verdict": verdict, "reason": reason,
    }  # fmt: skip


def rewrite(annotation: Annotation, **fields: Any) -> None:
    """What cannot be waited for in a test: time that passed, work that took long. The table refuses it otherwise."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE checking_annotation DISABLE TRIGGER USER")
        Annotation.objects.filter(pk=annotation.pk).update(**fields)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE checking_annotation ENABLE TRIGGER USER")


def working(annotation: Annotation, *, active: float | None, played: float | None) -> None:
    rewrite(annotation, active_seconds=active, played_share=played)


def two(corpus: Corpus) -> tuple[Any, Any]:
    return tuple(make.create_member(corpus, user=make.create_user(name)) for name in ("anna", "ben"))  # type: ignore[return-value]


def test_agreement_between_two_people_by_hand(corpus: Corpus) -> None:
    """Clip 1: {happy, glad} against {joyful}, one group: the same after grouping. Clip 2: {sad} against {angry}."""
    anna, ben = two(corpus)
    one, other, alone = (make.create_clip(corpus) for _ in range(3))
    says(one, anna, ["happy", "glad"], "happy")
    says(one, ben, ["joyful"], "happy")
    says(other, anna, ["sad"], "sad")
    says(other, ben, ["angry"], "angry")
    says(alone, anna, ["calm"], "calm")
    found = agreement.figures(corpus, 30)
    assert (found["clips"], found["sampled"]) == (2, 2)
    # D_o = 2/4; values happy happy sad angry: D_e = (12 - 2)/12
    assert found["label"]["alpha"] == round(1 - 0.5 / (10 / 12), 4)
    assert found["grouped"]["alpha"] == round(1 - 0.5 / (10 / 12), 4)
    assert found["raw"]["alpha"] == 0.0
    assert found["pairs"]["avg"] == 0.5
    assert "by_annotator" not in found["pairs"]
    assert found["over_time"] == [
        {"date": timezone.localdate().isoformat(), "clips": 2, "avg": 0.5, "low": 0.0, "high": 1.0}
    ]
    own = agreement.figures(corpus, 30, people=True)["pairs"]["by_annotator"]
    assert own[str(anna.pk)] == {"n": 2, "accuracy": 0.5, "recall": 0.5, "avg": 0.5}


def test_a_withdrawn_clip_and_an_old_answer_count_for_nothing(corpus: Corpus) -> None:
    anna, ben = two(corpus)
    gone, old = make.create_clip(corpus), make.create_clip(corpus)
    for clip in (gone, old):
        for user in (anna, ben):
            rewrite(says(clip, user, ["happy"]), submitted_at=timezone.now() - timedelta(days=40 * (clip is old)))
    withdraw_clip(make.create_member(corpus, "manager"), gone, "consent")
    assert agreement.figures(corpus, 30)["clips"] == 0
    assert agreement.figures(corpus, 90)["clips"] == 1
    assert agreement.figures(corpus, 0)["clips"] == 1


def test_answers_to_two_modes_of_a_clip_are_not_compared(corpus: Corpus) -> None:
    anna, ben = two(corpus)
    clip = make.create_clip(corpus)
    says(clip, anna, ["happy"])
    says(clip, ben, ["happy"])
    Slot.objects.filter(clip=clip, number=2).update(mode="audio")
    assert agreement.figures(corpus, 30)["clips"] == 0


def test_labels_are_compared_in_the_language_that_all_wrote() -> None:
    zh, both = {"ov_zh": ["生气"], "ov_en": []}, {"ov_zh": ["愤怒"], "ov_en": ["angry"]}
    assert said.one_language([zh, both]) == [["生气"], ["愤怒"]]
    assert said.one_language([both, both]) == [["angry"], ["angry"]]
    assert said.one_language([zh, {"ov_zh": [], "ov_en": ["angry"]}]) == [["生气"], ["angry"]]


def test_what_becomes_of_clues_is_counted_by_prelabeller_modality_and_aspect(corpus: Corpus) -> None:
    anna, ben = two(corpus)
    clip = make.create_clip(corpus)
    face = make.create_clue(clip, "She smiles.", prelabeller="vlm")
    tone = make.create_clue(clip, "声音很高。", modality="audio", aspect="tone", language="zh", prelabeller="alm")
    says(clip, anna, ["happy"], clues=[check(face, "kept"), check(tone, "rejected", reason="overstated")])
    says(clip, ben, ["happy"], clues=[check(face, "corrected", "She frowns."), check(tone, "corrected", "声音很低。")])
    rows = {row["prelabeller"]: row for row in prelabellers.figures(corpus, 30)}
    assert (rows["vlm"]["judged"], rows["vlm"]["kept"], rows["vlm"]["corrected"]) == (2, 1, 1)
    assert rows["vlm"]["kept_share"] == 0.5
    assert rows["vlm"]["kept_low"] < 0.5 < rows["vlm"]["kept_high"]
    # smiles -> frowns: four of six letters substituted (s-m-i-l-e-s, f-r-o-w-n-s), one word of three
    assert (rows["vlm"]["characters"], rows["vlm"]["words"]) == (5.0, 1.0)
    assert rows["vlm"]["words_share"] == round(1 / 3, 4)
    assert rows["alm"]["reasons"] == {"overstated": 1}
    assert (rows["alm"]["characters"], rows["alm"]["words"], rows["alm"]["edits"]) == (1.0, 1.0, 1)


def test_words_are_words_and_chinese_characters() -> None:
    assert words_of("She's 生气了, ok") == ["She", "'", "s", "生", "气", "了", ",", "ok"]
    assert distance("a b", "a c")["words"] == 1
    assert distance("", "")["characters_share"] == 0


def test_a_rubber_stamp_is_pointed_out_with_its_three_factors(corpus: Corpus) -> None:
    anna, ben = two(corpus)
    text = "The brows are drawn together and the lips are pressed."
    for _index in range(people.FEW):
        clip = make.create_clip(corpus, duration=10.0)
        clue = make.create_clue(clip, text)
        working(says(clip, anna, ["angry"]), active=1.0, played=0.1)
        working(says(clip, ben, ["angry"], clues=[check(clue, "corrected", "Lips pressed.")]), active=60.0, played=1.0)
    rows = {row["annotator"]: row for row in people.figures(corpus, 30)}
    stamper, careful = rows["anna"], rows["ben"]
    assert (stamper["untouched_share"], careful["untouched_share"]) == (1.0, 0.0)
    needed = 10 + len(text) / people.ENGLISH_PER_S
    assert stamper["unplayed"] == 0.9
    assert stamper["speed"] == pytest.approx(1 - 1 / needed, abs=1e-3)
    assert stamper["stamp"] == pytest.approx(0.9 * (1 - 1 / needed), abs=1e-3)
    assert stamper["flags"] == ["stamp"]
    assert (careful["stamp"], careful["flags"]) == (0.0, [])
    assert stamper["active_median_s"] == 1.0
    assert careful["active_hours"] == pytest.approx(people.FEW * 60 / 3600, abs=1e-3)


def test_who_told_nothing_of_their_work_is_not_called_a_rubber_stamp(corpus: Corpus) -> None:
    anna, _ben = two(corpus)
    clip = make.create_clip(corpus)
    make.create_clue(clip)
    working(says(clip, anna, ["angry"]), active=None, played=None)
    row = people.figures(corpus, 30)[0]
    assert (row["untouched_share"], row["stamp"], row["flags"]) == (1.0, None, [])


def planted(corpus: Corpus, user: Any, verdict: str) -> Annotation:
    """A gold clip with a planted error, checked by `user` with this verdict on it."""
    clip = make.create_clip(corpus, duration=5.0)
    clue = make.create_clue(clip, "She smiles.")
    revision = make.create_record(clip, ov_labels={"zh": [], "en": ["happy"]}, label="happy").current
    gold = GoldItem.objects.create(corpus=corpus, clip=clip, purpose="check", revision=revision)
    error = PlantedError.objects.create(gold=gold, clue=clue, rule="smile-frown", language="en", text="She frowns.")
    text = {"kept": None, "corrected": "She smiles a little.", "rejected": None}[verdict]
    annotation = says(clip, user, ["glad"], "happy", clues=[check(clue, verdict, text)])
    Slot.objects.filter(clip=clip, kind="annotate").exclude(claims__user=user).delete()
    Slot.objects.filter(clip=clip).update(kind="gold")
    Claim.objects.filter(pk=annotation.claim_id).update(planted=error)
    return annotation


def test_planted_errors_that_were_caught_and_agreement_with_gold(corpus: Corpus) -> None:
    anna, ben = two(corpus)
    for verdict in ("corrected", "rejected", "kept"):
        planted(corpus, anna, verdict)
    for _index in range(people.FEW_PLANTED):
        planted(corpus, ben, "kept")
    rows = {row["annotator"]: row for row in people.figures(corpus, 30)}
    assert (rows["anna"]["planted"], rows["anna"]["caught"], rows["anna"]["catch"]) == (3, 2, round(2 / 3, 4))
    assert rows["anna"]["catch_low"] < 2 / 3 < rows["anna"]["catch_high"]
    assert (rows["ben"]["catch"], rows["ben"]["flags"]) == (0.0, ["catch"])
    assert rows["anna"]["gold"] == 3
    gold = agreement.figures(corpus, 30, people=True)["gold"]
    assert (gold["n"], gold["avg"], gold["label_same"]) == (8, 1.0, 1.0)  # glad is of happy's group
    assert gold["by_annotator"][str(anna.pk)]["n"] == 3
    assert prelabellers.figures(corpus, 30) == []  # a planted error says nothing of the pre-labeller


def arm(corpus: Corpus, user: Any, name: str, labels: list[str]) -> None:
    clip = make.create_clip(corpus)
    make.create_draft(clip, ov_en=("happy",))
    annotation = says(clip, user, labels)
    Claim.objects.filter(pk=annotation.claim_id).update(arm=name)


def test_how_far_suggestions_pull_is_the_difference_of_two_arms(corpus: Corpus) -> None:
    anna, _ben = two(corpus)
    for name, labels in (("shown", ["happy"]), ("shown", ["joyful"]), ("none", ["sad"]), ("none", ["happy"])):
        arm(corpus, anna, name, labels)
    found = anchoring.figures(corpus, 30)
    arms = {row["arm"]: row for row in found["arms"]}
    assert (arms["shown"]["similarity"], arms["none"]["similarity"]) == (1.0, 0.5)
    assert "blind" not in arms
    assert len(found["pull"]) == 1
    pull = found["pull"][0]
    assert (pull["of"], pull["against"], pull["difference"], pull["few"]) == ("shown", "none", 0.5, True)
    assert pull["low"] <= 0.5 <= pull["high"]


def accepted(corpus: Corpus, user: Any, seconds: float | None, cost: float) -> None:
    clip = make.create_clip(corpus)
    run = make.create_run(corpus)
    job = Job.objects.create(run=run, clip=clip, step="face", position=1, state="done", cost=cost)
    Job.objects.create(run=run, clip=clip, step="other", position=2, state="done", cost=0.5)
    make.create_clue(clip, prelabeller="vlm", job=job)
    annotation = says(clip, user, ["happy"])
    working(annotation, active=seconds, played=None)
    content = records.checked_content(make.make_body())
    records.write(clip, "fine", content, source="submission", annotation=annotation)


def test_time_and_money_of_an_accepted_record(corpus: Corpus) -> None:
    anna, _ben = two(corpus)
    CheckingRules.objects.create(corpus=corpus, hourly_rate="30.00", currency="EUR")
    accepted(corpus, anna, 60, 0.1)
    accepted(corpus, anna, 180, 0.3)
    accepted(corpus, anna, None, 0.2)
    found = costs.figures(corpus, 30)
    every, each = found["all"], found["prelabellers"]
    assert (every["records"], every["told"], every["minutes"]) == (3, 2, 2.0)
    assert every["people_money"] == 1.0
    assert every["prelabel_money"] == pytest.approx((0.1 + 0.3 + 0.2 + 1.5) / 3, abs=1e-4)
    assert every["money"] == pytest.approx(1.0 + 0.7, abs=1e-4)
    assert [row["prelabeller"] for row in each] == ["vlm"]
    assert (each[0]["prelabel_money"], each[0]["currency"]) == (0.2, "EUR")
    CheckingRules.objects.update(hourly_rate=None)
    assert costs.figures(corpus, 30)["all"]["money"] is None


def test_a_record_made_without_prelabels_is_a_row_of_its_own(corpus: Corpus) -> None:
    anna, _ben = two(corpus)
    clip = make.create_clip(corpus)
    annotation = says(clip, anna, ["happy"])
    working(annotation, active=30, played=None)
    records.write(clip, "fine", records.checked_content(make.make_body()), source="submission", annotation=annotation)
    imported = make.create_clip(corpus)
    make.create_record(imported)
    each = costs.figures(corpus, 30)["prelabellers"]
    assert [(row["prelabeller"], row["records"], row["minutes"]) for row in each] == [("-", 1, 0.5)]


def test_progress_throughput_and_when_it_will_be_done(corpus: Corpus) -> None:
    anna, _ben = two(corpus)
    clips = [make.create_clip(corpus) for _ in range(4)]
    says(clips[0], anna, ["happy"])
    rewrite(says(clips[1], anna, ["happy"]), submitted_at=timezone.now() - timedelta(days=1))
    claim_clip(anna, clips[2])
    found = dashboard.figures(corpus, 30)
    assert found["progress"]["slots"]["annotate"] == {"open": 5, "claimed": 1, "done": 2}
    assert [day["annotations"] for day in found["throughput"]] == [0] * 28 + [1, 1]
    eta = found["eta"]["annotations"]
    assert (eta["left"], eta["per_day"], eta["days"]) == (6, round(2 / 7, 2), 21)
    assert eta["date"] == (timezone.localdate() + timedelta(days=21)).isoformat()
    assert found["eta"]["reviews"] == {
        "left": 0,
        "per_day": 0.0,
        "days": 0,
        "date": timezone.localdate().isoformat(),
        "basis_days": 7,
    }
    assert (found["queue"]["live"], found["queue"]["overdue"], found["queue"]["returned"]) == (1, 0, 0)


def test_nothing_done_lately_is_no_estimate(corpus: Corpus) -> None:
    make.create_clip(corpus)
    eta = dashboard.figures(corpus, 7)["eta"]["annotations"]
    assert (eta["left"], eta["days"], eta["date"]) == (2, None, None)


def test_my_week_is_my_own(corpus: Corpus) -> None:
    anna, ben = two(corpus)
    clip = make.create_clip(corpus)
    working(says(clip, anna, ["happy", "sad"]), active=90, played=1)
    says(clip, ben, ["angry"])
    annotation = Annotation.objects.get(user=anna)
    content = records.checked_content(make.make_body(ov_labels={"zh": [], "en": ["happy"]}))
    records.write(clip, "fine", content, source="submission", annotation=annotation)
    other = make.create_clip(corpus)
    claim = claim_clip(anna, other)
    Claim.objects.filter(pk=claim.pk).update(state="returned", return_reason="看不清")
    found = week.figures(anna, corpus, 7)
    assert found["totals"] == {"clips": 1, "minutes": 1.5, "active_days": 1}
    assert len(found["days"]) == 7
    assert found["agreement"] == {"n": 1, "accuracy": 0.5, "recall": 1.0, "avg": 0.75, "ci95": None}
    assert [(one["clip"], one["reason"]) for one in found["returned"]] == [(other.name, "看不清")]
    assert week.figures(ben, corpus, 7)["totals"]["clips"] == 1


def test_my_week_says_nothing_of_gold(corpus: Corpus) -> None:
    anna, _ben = two(corpus)
    planted(corpus, anna, "kept")
    assert week.figures(anna, corpus, 7)["agreement"]["n"] == 0


@pytest.mark.parametrize("kind", ["quality", "dashboard"])
def test_a_report_takes_few_queries_however_much_there_is(
    corpus: Corpus, kind: str, django_assert_max_num_queries: Any
) -> None:
    anna, ben = two(corpus)
    for _index in range(3):
        clip = make.create_clip(corpus)
        make.create_clue(clip)
        says(clip, anna, ["happy"])
        says(clip, ben, ["sad"])
    with django_assert_max_num_queries(8 if kind == "quality" else 18):
        found = reports.report(corpus, kind, 30)
    assert found["counted_at"] is not None


def test_a_large_corpus_is_counted_by_a_worker(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    anna, ben = two(corpus)
    clip = make.create_clip(corpus)
    says(clip, anna, ["happy"])
    says(clip, ben, ["happy"])
    monkeypatch.setattr(reports, "LARGE", 1)
    asked: list[Any] = []
    monkeypatch.setattr("annotator.celery.app.send_task", lambda name, args, **_more: asked.append((name, args)))
    first = reports.report(corpus, "quality", 30)
    assert (first["counted_at"], first["counting"]) == (None, True)
    assert reports.report(corpus, "quality", 30)["counting"]
    assert asked == [("annotator.checking.tasks.quality_report", [corpus.pk, "quality", 30])]  # asked once
    from annotator.checking.tasks import quality_report

    quality_report(corpus.pk, "quality", 30)
    then = reports.report(corpus, "quality", 30)
    assert not then["counting"]
    assert then["agreement"]["clips"] == 1
    says(other := make.create_clip(corpus), anna, ["sad"])
    says(other, ben, ["sad"])
    assert reports.report(corpus, "quality", 30)["agreement"]["clips"] == 1  # as it was counted
    monkeypatch.setattr(reports, "FRESH", timedelta(0))
    monkeypatch.setattr(reports, "PATIENCE", timedelta(0))
    stale = reports.report(corpus, "quality", 30)
    assert stale["counting"]
    assert stale["agreement"]["clips"] == 1
    assert len(asked) == 2


def test_the_worker_knows_the_task() -> None:
    from annotator.celery import app

    app.loader.import_default_modules()
    assert {reports.TASK, "annotator.checking.tasks.score"} <= set(app.tasks)


def test_periods_are_a_few_known_ones() -> None:
    assert [said.period(value) for value in ("7", "0", "8", "x", None, "9" * 5000, "²")] == [7, 0, 30, 30, 30, 30, 30]
    assert [week.days_of(value) for value in ("28", "7", "-1", "\x00")] == [28, 7, 7, 7]
