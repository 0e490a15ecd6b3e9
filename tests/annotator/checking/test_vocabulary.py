"""The corpus' words for emotions: counted from curated records, grouped with synonyms, blind where they must be."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotator.checking import services, vocabulary
from annotator.checking.models import Slot
from annotator.clips.models import Corpus
from tests.support import factories as make

pytestmark = pytest.mark.django_db
URL = "/api/v1/corpora/words/vocabulary/"


@pytest.fixture(autouse=True)
def _counted_anew() -> None:
    vocabulary._counted.clear()


@pytest.fixture
def corpus() -> Corpus:
    return make.create_corpus("words")


def record(corpus: Corpus, name: str, **labels: list[str]) -> Any:
    clip = make.create_clip(corpus, name)
    Slot.objects.filter(clip=clip).update(state="done")
    return make.create_record(clip, ov_labels={"zh": [], "en": [], **labels})


def group_with(words: dict[str, Any], word: str) -> dict[str, Any]:
    (found,) = [
        group for group in words["groups"] if any(item["word"] == word for side in ("zh", "en") for item in group[side])
    ]
    return found


def test_synonyms_stand_together_in_both_languages_the_most_used_first(corpus: Corpus) -> None:
    record(corpus, "一", zh=["高兴", "释然"], en=["Joyful", "verklempt"])
    record(corpus, "二", zh=["快乐"], en=["joyful"])
    words = vocabulary.of_corpus(corpus).words
    assert words["records"] == 2
    joy = words["groups"][0]
    assert joy["name"] == "joy"
    assert joy["en"][0] == {"word": "joyful", "count": 2}
    assert {"word": "快乐", "count": 1} in joy["zh"][:2]
    assert {"word": "happy", "count": 0} in joy["en"]
    assert group_with(words, "verklempt") == {"name": "", "en": [{"word": "verklempt", "count": 1}], "zh": []}
    relief = group_with(words, "释然")
    assert relief["name"] == "relief"
    assert [(item["word"], item["count"]) for item in relief["zh"][:5]] == [
        ("释然", 1), ("如释重负", 0), ("宽慰", 0), ("松了一口气", 0), ("松了口气", 0)
    ]  # fmt: skip


def test_only_curated_records_count(corpus: Corpus) -> None:
    clip = make.create_clip(corpus, "一")
    make.create_record(clip, "coarse", ov_labels={"zh": [], "en": ["drafted"]})
    make.create_annotation(make.create_clip(corpus, "二"), body=make.make_body(ov_labels={"zh": [], "en": ["chosen"]}))
    assert vocabulary.of_corpus(corpus).words["records"] == 0


def test_a_clip_that_waits_for_an_annotator_tells_nothing() -> None:
    corpus = make.create_corpus("words", overlap=2)
    clip = make.create_clip(corpus, "一")
    make.create_record(clip, ov_labels={"zh": [], "en": ["verklempt"]})
    make.create_record(make.create_clip(corpus, "二"), ov_labels={"zh": [], "en": ["verklempt"]})
    assert "verklempt" not in str(vocabulary.of_corpus(corpus).words)
    Slot.objects.filter(clip=clip).update(state="done")
    vocabulary._counted.clear()
    assert group_with(vocabulary.of_corpus(corpus).words, "verklempt")["en"] == [{"word": "verklempt", "count": 1}]


def test_withdrawn_clips_and_other_corpora_tell_nothing(corpus: Corpus) -> None:
    row = record(corpus, "一", en=["rueful"])
    record(make.create_corpus("others"), "二", en=["droll"])
    row.clip.withdrawn_at = row.created_at
    row.clip.save()
    told = {word["word"] for group in vocabulary.of_corpus(corpus).words["groups"] for word in group["en"]}
    assert not {"rueful", "droll"} & told


def test_the_answer_has_an_etag_and_costs_one_query_a_minute(corpus: Corpus) -> None:
    record(corpus, "一", en=["verklempt"])
    api = APIClient()
    api.force_authenticate(make.create_member(corpus))
    first = api.get(URL)
    assert first.status_code == 200
    assert group_with(first.json(), "verklempt")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        again = api.get(URL, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert not [query for query in queries if "jsonb_array_elements" in query["sql"]]
    record(corpus, "二", en=["verklempt"])
    vocabulary._counted.clear()
    assert api.get(URL, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_strangers_see_nothing(corpus: Corpus) -> None:
    api = APIClient()
    assert api.get(URL).status_code == 401
    api.force_authenticate(make.create_user("stranger"))
    assert api.get(URL).status_code == 404


def test_what_a_colleague_submitted_for_my_clip_shows_only_afterwards() -> None:
    corpus = make.create_corpus("words", overlap=2, review="none")
    clip = make.create_clip(corpus, "一")
    me, colleague = make.create_member(corpus), make.create_member(corpus)
    mine = services.claim_clip(me, clip)
    make.create_annotation(clip, colleague, make.make_body(ov_labels={"zh": [], "en": ["wry"]}))
    assert "'wry'" not in str(vocabulary.of_corpus(corpus).words)
    services.submit(me, mine.pk, make.make_body(ov_labels={"zh": [], "en": ["droll"]}))
    vocabulary._counted.clear()
    assert "'droll'" in str(vocabulary.of_corpus(corpus).words)
