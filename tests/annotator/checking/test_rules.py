"""How a corpus is checked: set by managers, refused by field, followed by the slots."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from annotator.checking import leases, queries, rules, services
from annotator.checking.models import Annotation, CheckingRules, Slot
from annotator.clips.models import Clip
from annotator.core import invariants
from annotator.core.errors import Forbidden, Invalid, NotFound
from annotator.core.models import AuditEntry
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def modes_of(clip: Clip) -> list[str]:
    return list(clip.slots.filter(kind="annotate").order_by("number").values_list("mode", flat=True))


def test_a_corpus_without_rules_has_the_defaults_and_no_row() -> None:
    corpus = make.create_corpus()
    found = rules.as_json(rules.of(corpus))
    assert (found["order"], found["modes"], found["gold_share"], found["terms"]) == ("age", [""], 0, "")
    assert not CheckingRules.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order", "newest"),
        ("modes", []),
        ("modes", ["face"]),
        ("modes", "visual"),
        ("gold_share", 1.5),
        ("gold_share", True),
        ("planted_share", "0.1"),
        ("planted_share", float("nan")),
        ("training_items", -1),
        ("training_items", 1.5),
        ("test_items", 3),  # there is no gold clip for it
        ("pass_mark", None),
        ("auto_accept", 2),
        ("hourly_rate", "abc"),
        ("hourly_rate", "1e99"),
        ("hourly_rate", "NaN"),
        ("currency", "元"),
        ("idle_after", 1),
        ("terms", 5),
        ("terms", "a\x00b"),
        ("blind_sources", 1),
        ("colour", "blue"),
    ],
)
def test_wrong_values_are_refused_at_their_field_and_nothing_is_kept(name: str, value: Any) -> None:
    corpus = make.create_corpus()
    with pytest.raises(Invalid) as refused:
        rules.change(None, corpus, {"idle_after": 90, name: value})
    assert list(refused.value.extra["errors"]) == [name]
    assert not CheckingRules.objects.filter(idle_after=90).exists()


def test_what_holds_together_is_checked_together() -> None:
    corpus = make.create_corpus(review="none")
    with pytest.raises(Invalid) as refused:
        rules.change(None, corpus, {"modes": ["visual"], "none_share": 0.6, "blind_share": 0.6})
    assert set(refused.value.extra["errors"]) == {"modes", "blind_share"}


def test_put_goes_back_to_defaults_and_patch_does_not() -> None:
    corpus = make.create_corpus()
    rules.change(None, corpus, {"gold_share": 0.1, "hourly_rate": "12.5", "currency": "cny"})
    rules.change(None, corpus, {"idle_after": 30})
    row = CheckingRules.objects.get()
    assert (row.gold_share, row.hourly_rate, row.currency, row.idle_after) == (0.1, Decimal("12.50"), "CNY", 30)
    rules.change(None, corpus, {"idle_after": 45}, replace=True)
    row = CheckingRules.objects.get()
    assert (row.gold_share, row.hourly_rate, row.currency, row.idle_after) == (0, None, "USD", 45)


def test_only_managers_and_each_change_stands_in_the_trail() -> None:
    corpus = make.create_corpus()
    manager = make.create_member(corpus, "manager")
    for role in ("viewer", "annotator", "reviewer"):
        with pytest.raises(Forbidden):
            rules.change(make.create_member(corpus, role), corpus, {"gold_share": 0.1})
    with pytest.raises(NotFound):
        rules.change(make.create_user(), corpus, {"gold_share": 0.1})
    rules.change(manager, corpus, {"gold_share": 0.1})
    rules.change(manager, corpus, {"gold_share": 0.1})  # nothing changes: nothing is said
    assert [entry.detail for entry in AuditEntry.objects.filter(action="rules.change")] == [{"gold_share": "0.1"}]


def test_open_slots_follow_the_modes_and_begun_ones_keep_theirs() -> None:
    corpus = make.create_corpus(overlap=3)
    clips = [make.create_clip(corpus) for _ in range(2)]
    annotator = make.create_member(corpus)
    claim, _created = services.claim_next(annotator, corpus)
    rules.change(None, corpus, {"modes": ["visual", "audio", "text"]})
    assert modes_of(clips[0]) == ["", "audio", "text"]
    assert modes_of(clips[1]) == ["visual", "audio", "text"]
    services.save_draft(annotator, claim.pk, {"label": "生气"}, '"0"')
    Slot.objects.filter(pk=claim.slot_id).update(state="open")
    claim.state = "expired"
    claim.save()
    rules.change(None, corpus, {"modes": ["text"]})
    assert modes_of(clips[0]) == ["", "text", "text"]  # what was drafted is about what was seen
    assert modes_of(make.create_clip(corpus)) == ["text"] * 3
    assert invariants.broken() == []


def test_a_clips_overlap_and_priority_are_followed_by_its_slots() -> None:
    corpus = make.create_corpus()
    first, second = make.create_clip(corpus), make.create_clip(corpus)
    manager, annotator = make.create_member(corpus, "manager"), make.create_member(corpus)
    rules.plan_clip(manager, second, {"priority": 5, "overlap": 3})
    assert second.slots.filter(state="open", priority=5).count() == 3
    assert first.slots.filter(state="open").count() == 1
    assert services.claim_next(annotator, corpus)[0].clip == second
    rules.plan_clip(manager, second, {"overlap": None})
    assert sorted(second.slots.values_list("state", flat=True)) == ["claimed", "closed", "closed"]
    with pytest.raises(Invalid):
        rules.plan_clip(manager, second, {"overlap": 21})
    with pytest.raises(Invalid):
        rules.plan_clip(manager, second, {"colour": 1})
    with pytest.raises(Forbidden):
        rules.plan_clip(annotator, second, {"priority": 1})
    assert invariants.broken() == []


def test_lowering_a_clips_overlap_to_what_is_done_opens_its_review() -> None:
    corpus = make.create_corpus(overlap=2)
    clip = make.create_clip(corpus)
    make.create_annotation(clip)
    rules.plan_clip(make.create_member(corpus, "manager"), clip, {"overlap": 1})
    assert Slot.objects.filter(clip=clip, kind="review", state="open").exists()
    assert Annotation.objects.count() == 1
    assert invariants.broken() == []


def test_the_page_saves_says_what_is_wrong_and_keeps_what_was_typed(client: Client) -> None:
    corpus = make.create_corpus(overlap=2)
    client.force_login(make.create_member(corpus, "manager"))
    url = f"/corpora/{corpus.slug}/rules/"
    assert client.get(url).status_code == 200
    form = {
        "terms": "只用于研究。",
        "training_items": "0",
        "test_items": "0",
        "pass_mark": "70",
        "order": "active",
        "mode_1": "visual",
        "mode_2": "-",
        "blind_sources": "on",
        "none_share": "10",
        "blind_share": "5",
        "gold_share": "3.5",
        "planted_share": "50",
        "auto_accept": "",
        "idle_after": "60",
        "hourly_rate": "30",
        "currency": "cny",
    }
    assert client.post(url, form).status_code == 302
    row = CheckingRules.objects.get()
    assert (row.pass_mark, row.gold_share, row.modes) == (0.7, 0.035, ["visual"])
    assert (row.order, row.auto_accept, row.currency, row.blind_sources) == ("active", None, "CNY", True)
    wrong = client.post(url, {**form, "none_share": "97", "terms": "新的条款"})
    assert wrong.status_code == 422
    assert "新的条款" in wrong.content.decode()
    assert CheckingRules.objects.get().terms == "只用于研究。"
    assert client.post(url, {}).status_code == 422
    shown = client.get(url).content.decode()
    assert "3.5" in shown
    assert "只用于研究。" in shown


def test_rest_reads_replaces_and_patches(client: Client) -> None:
    corpus = make.create_corpus()
    client.force_login(make.create_member(corpus, "manager"))
    url = f"/api/v1/corpora/{corpus.slug}/rules/"
    assert client.get(url).json()["gold_share"] == 0
    changed = client.patch(url, {"gold_share": 0.05}, content_type="application/json")
    assert changed.json()["gold_share"] == 0.05
    back = client.put(url, changed.json(), content_type="application/json")  # what is read can be sent back
    assert (back.status_code, back.json()["gold_share"]) == (200, 0.05)
    wrong = client.patch(url, {"order": "newest"}, content_type="application/json")
    assert wrong.status_code == 422
    assert "order" in wrong.json()["errors"]
    assert client.patch(url, "[1]", content_type="application/json").status_code == 422
    client.force_login(make.create_member(corpus, "annotator"))
    assert client.get(url).status_code == 403


def test_the_command_sets_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = make.create_corpus("cli")
    call_command("rules", "cli", "--set", "gold_share=0.05", "modes=visual,audio", "terms=仅供研究", "--json")
    assert '"gold_share": 0.05' in capsys.readouterr().out
    row = CheckingRules.objects.get(corpus=corpus)
    assert (row.modes, row.terms) == (["visual", "audio"], "仅供研究")
    with pytest.raises(Exception, match="order"):
        call_command("rules", "cli", "--set", "order=newest")


def test_who_holds_what_is_seen_and_released_by_a_manager(client: Client) -> None:
    corpus = make.create_corpus()
    for _ in range(3):
        make.create_clip(corpus)
    anna, ben = make.create_member(corpus), make.create_member(corpus)
    manager = make.create_member(corpus, "manager")
    claim, _created = services.claim_next(anna, corpus)
    services.save_draft(anna, claim.pk, {"label": "担心"}, '"0"')
    other, _created = services.claim_next(ben, corpus)
    held = list(leases.held(corpus))
    assert {each.pk for each in held} == {claim.pk, other.pk}
    assert {each.pk: each.last_saved is not None for each in held} == {claim.pk: True, other.pk: False}
    client.force_login(manager)
    url = f"/corpora/{corpus.slug}/claims/"
    page = client.get(url).content.decode()
    assert claim.clip.name in page
    assert other.clip.name in page
    only = client.get(url, {"person": ben.username}).content.decode()
    assert claim.clip.name not in only
    assert client.post(url, {"claim": claim.pk}).status_code == 302
    claim.refresh_from_db()
    assert claim.state == "released"
    assert client.post(url, {"claim": "x"}).status_code == 404
    assert client.get(f"/api/v1/corpora/{corpus.slug}/held/").json()[0]["user"] == ben.username
    assert queries.iso(None) is None
    client.force_login(anna)
    assert client.get(url).status_code == 403


def test_the_list_of_held_clips_costs_the_same_for_two_and_for_forty(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    corpus = make.create_corpus()
    for _ in range(40):
        make.create_clip(corpus)
        services.claim_next(make.create_member(corpus), corpus)
    client.force_login(make.create_member(corpus, "manager"))
    with django_assert_max_num_queries(16):
        assert client.get(f"/corpora/{corpus.slug}/claims/").status_code == 200


def test_the_clips_page_plans_it_and_says_where_it_is_gold(client: Client) -> None:
    corpus = make.create_corpus()
    clip, item = make.create_clip(corpus), make.create_gold(corpus)
    client.force_login(make.create_member(corpus, "manager"))
    assert "plan-priority" in client.get(f"/clips/{clip.pk}/").content.decode()
    assert client.post(f"/clips/{clip.pk}/plan/", {"priority": "7", "overlap": "2"}).status_code == 302
    clip.refresh_from_db()
    assert (clip.priority, clip.overlap) == (7, 2)
    assert client.post(f"/clips/{clip.pk}/plan/", {"priority": "many"}).status_code == 422
    assert "gold clip" in client.get(f"/clips/{item.clip_id}/").content.decode()
    url = f"/api/v1/clips/{clip.pk}/plan/"
    assert client.get(url).json() == {"priority": 7, "overlap": 2}
    answer = client.patch(url, {"overlap": None}, content_type="application/json")
    assert answer.json() == {"priority": 7, "overlap": None}
    assert client.patch(url, {"priority": "1"}, content_type="application/json").status_code == 422
