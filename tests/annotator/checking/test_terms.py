"""The terms of use come before the first clip, for everybody and by every entrance."""

import hashlib

import pytest
from django.test import Client

from annotator.checking import rules, services, terms
from annotator.checking.models import TermsAcceptance
from annotator.core.errors import Conflict, Forbidden
from annotator.core.models import AuditEntry
from tests.support import factories as make

pytestmark = pytest.mark.django_db
WORDS = "只用于研究。For research only."


def test_without_terms_nobody_is_asked() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    rules.change(None, corpus, {"blind_sources": True})
    annotator = make.create_member(corpus)
    assert services.claim_next(annotator, corpus)[1]
    assert terms.state(annotator, corpus) == {"terms": None, "version": None, "accepted_at": None}


@pytest.mark.parametrize(("role", "kind"), [("annotator", "annotate"), ("reviewer", "review")])
def test_no_clip_is_handed_out_before_they_are_accepted(role: str, kind: str) -> None:
    corpus = make.create_corpus()
    make.create_annotation(make.create_clip(corpus))
    make.create_clip(corpus)
    rules.change(None, corpus, {"terms": WORDS})
    person = make.create_member(corpus, role)
    with pytest.raises(Forbidden) as refused:
        services.claim_next(person, corpus, kind=kind)
    assert refused.value.code == "terms-not-accepted"
    assert refused.value.extra["url"] == f"/corpora/{corpus.slug}/terms/"
    terms.accept(person, corpus, terms.version_of(WORDS))
    assert services.claim_next(person, corpus, kind=kind)[1]


def test_nor_is_a_clip_that_somebody_was_sent_to() -> None:
    clip = make.create_clip()
    rules.change(None, clip.corpus, {"terms": WORDS})
    person = make.create_member(clip.corpus)
    with pytest.raises(Forbidden) as refused:
        services.claim_clip(person, clip)
    assert refused.value.code == "terms-not-accepted"


def test_what_was_accepted_is_kept_word_by_word_and_once() -> None:
    corpus = make.create_corpus()
    rules.change(None, corpus, {"terms": WORDS})
    person = make.create_member(corpus)
    version = hashlib.sha256(WORDS.encode()).hexdigest()
    assert terms.accept(person, corpus, version) == terms.accept(person, corpus, version)
    kept = TermsAcceptance.objects.get(user=person)
    assert (kept.terms, kept.version) == (WORDS, version)
    assert AuditEntry.objects.filter(action="terms.accept", actor=person).count() == 1


def test_new_words_are_asked_anew_and_old_ones_cannot_be_accepted() -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    rules.change(None, corpus, {"terms": WORDS})
    person = make.create_member(corpus)
    old = terms.version_of(WORDS)
    terms.accept(person, corpus, old)
    rules.change(None, corpus, {"terms": WORDS + " 不得转发。"})
    with pytest.raises(Forbidden):
        services.claim_next(person, corpus)
    with pytest.raises(Conflict) as changed:
        terms.accept(person, corpus, old)
    assert changed.value.code == "terms-changed"
    rules.change(None, corpus, {"terms": WORDS})  # the old words again: their acceptance still stands
    assert services.claim_next(person, corpus)[1]


def test_the_page_shows_them_and_leads_on_to_the_work(client: Client) -> None:
    corpus = make.create_corpus()
    rules.change(None, corpus, {"terms": WORDS})
    person = make.create_member(corpus)
    client.force_login(person)
    page = client.get(f"/corpora/{corpus.slug}/terms/")
    assert WORDS in page.content.decode()
    assert client.post(f"/corpora/{corpus.slug}/terms/", {"version": "0" * 64}).status_code == 409
    answer = client.post(f"/corpora/{corpus.slug}/terms/", {"version": terms.version_of(WORDS)})
    assert (answer.status_code, answer["Location"]) == (302, f"/corpora/{corpus.slug}/check/")


def test_rest_says_where_to_go_and_takes_the_acceptance(client: Client) -> None:
    corpus = make.create_corpus()
    make.create_clip(corpus)
    rules.change(None, corpus, {"terms": WORDS})
    client.force_login(make.create_member(corpus))
    base = f"/api/v1/corpora/{corpus.slug}"
    refused = client.post(f"{base}/claims/", {}, content_type="application/json")
    assert refused.status_code == 403
    assert refused.json()["code"] == "terms-not-accepted"
    shown = client.get(f"{base}/terms/").json()
    assert shown["accepted_at"] is None
    taken = client.post(f"{base}/terms/", {"version": shown["version"]}, content_type="application/json")
    assert taken.status_code == 200
    assert taken.json()["accepted_at"]
    assert client.post(f"{base}/claims/", {}, content_type="application/json").status_code == 201
