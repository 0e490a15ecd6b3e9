"""Summaries: from the clues as checked, by a real server or by the template; nothing is invented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotator.checking import services, summaries
from annotator.checking.models import Claim, Record, Slot, Summary, SummaryRequest
from annotator.checking.summaries import ModelFailed
from annotator.clips.models import Corpus
from annotator.core.errors import Conflict, Invalid, NotConfigured
from tests.support import factories as make
from tests.support import scripted_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def claim(monkeypatch: pytest.MonkeyPatch) -> Claim:
    for name in ("BASE_URL", "MODEL", "API_KEY", "TRUST"):
        monkeypatch.delenv(f"LLM_{name}", raising=False)
    clip = make.create_clip(make.create_corpus(review="none"))
    make.create_clue(clip, "他皱眉，眉头紧锁。", language="zh")
    make.create_clue(clip, "The person laughs out loud.", modality="audio", aspect="tone")
    return services.claim_clip(make.create_member(clip.corpus), clip)


def body(claim: Claim, **verdicts: str) -> dict[str, Any]:
    sent = make.make_body(claim.clip.clues.all(), description={"zh": "", "en": ""}, ov_labels={"zh": [], "en": []})
    for clue in sent["clues"]:
        clue["verdict"] = verdicts.get(clue["modality"], "kept")
    return sent


def test_without_a_model_the_template_lays_out_what_was_not_rejected(claim: Claim) -> None:
    answer = services.summarise(claim.user, claim.pk, body(claim, audio="rejected"))
    assert answer["source"] == "template"
    assert "LLM_BASE_URL" in answer["note"]
    assert "眉头紧锁" in answer["description"]["zh"]
    assert "laughs" not in str(answer)
    assert answer["ov_labels"] == {"zh": [], "en": []}
    assert Summary.objects.get().source == "template"


def test_with_nothing_checked_it_says_how_to_configure_a_model(claim: Claim) -> None:
    with pytest.raises(NotConfigured) as missing:
        services.summarise(claim.user, claim.pk, {"clues": []})
    assert (missing.value.status, missing.value.code) == (409, "not-configured")
    assert "LLM_BASE_URL" in missing.value.message


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    with scripted_server.running(tmp_path / "calls.jsonl") as running:
        yield running


def use(monkeypatch: pytest.MonkeyPatch, server: Any, *, model: str = "scripted", trust: str = "inside") -> None:
    monkeypatch.setenv("LLM_BASE_URL", server.base_url)
    monkeypatch.setenv("LLM_MODEL", model)
    monkeypatch.setenv("LLM_TRUST", trust)


def test_a_model_is_asked_with_the_checked_clues_only(
    claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server)
    answer = services.summarise(claim.user, claim.pk, body(claim, audio="rejected"))
    assert (answer["source"], answer["note"]) == ("llm", None)
    assert answer["description"]["zh"]
    assert answer["ov_labels"]["en"]
    asked = server.calls()
    assert len(asked) == 1
    assert "眉头紧锁" in asked[0]["text"]
    assert "laughs" not in asked[0]["text"]
    final = {**body(claim), "description": answer["description"], "ov_labels": answer["ov_labels"]}
    services.submit(claim.user, claim.pk, final)
    origin = Record.objects.get().current.provenance
    assert {sentence["by"] for sentence in origin["sentences"]["en"]} == {"llm"}
    assert origin["description"]["provenance"]["prompt"]["file"] == "merge.en.md"


def test_a_restricted_clip_never_goes_outside(claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Corpus.objects.update(licence="restricted")
    use(monkeypatch, server, trust="outside")
    answer = services.summarise(claim.user, claim.pk, body(claim))
    assert (answer["source"], server.calls()) == ("template", [])
    assert "LLM_TRUST" in answer["note"]


def test_a_model_that_gives_half_a_json_is_a_502_and_nothing_is_stored(
    claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server, model="scripted:half-json")
    with pytest.raises(ModelFailed) as failed:
        services.summarise(claim.user, claim.pk, body(claim))
    assert failed.value.status == 502
    assert not Summary.objects.exists()


def test_a_claim_that_ended_is_not_summarised(claim: Claim) -> None:
    services.release(claim.user, claim.pk)
    with pytest.raises(Conflict):
        services.summarise(claim.user, claim.pk, body(claim))


def test_without_a_model_there_is_no_stream_and_the_result_stands_in_the_answer(claim: Claim) -> None:
    begun = summaries.begin(claim.user, claim.pk, body(claim, audio="rejected"))
    assert begun["id"] is None
    assert begun["result"]["source"] == "template"
    assert not SummaryRequest.objects.exists()


def test_a_stream_is_begun_with_what_was_checked_and_asks_nobody_yet(
    claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server)
    begun = summaries.begin(claim.user, claim.pk, body(claim, audio="rejected"))
    row = SummaryRequest.objects.get()
    assert (begun, row.state) == ({"id": row.pk, "result": None}, "waiting")
    assert [clue["text"] for clue in row.evidence["clues"]] == ["他皱眉，眉头紧锁。"]
    assert server.calls() == []


def test_who_sees_only_the_picture_is_told_no_word_of_the_subtitle(
    claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server)
    Slot.objects.filter(pk=claim.slot_id).update(mode="visual")
    summaries.begin(claim.user, claim.pk, body(claim))
    assert SummaryRequest.objects.get().evidence["subtitle"] == {"zh": None, "en": None}


def test_a_description_is_translated_by_the_model(claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, server)
    answer = summaries.translated(claim.user, claim.pk, "en", "zh", "He frowns and shouts.")
    assert answer["text"] == "综合视频、音频和文本中的线索，可以推断人物的情绪状态是：愤怒。"
    assert [call["kind"] for call in server.calls()] == ["translate"]
    wrongs = (("en", "en", "x", "to"), ("en", "zh", "  ", "text"), ("en", "zh", "a\x00", "text"))
    for source, target, text, field in wrongs:
        with pytest.raises(Invalid) as wrong:
            summaries.translated(claim.user, claim.pk, source, target, text)
        assert list(wrong.value.extra["errors"]) == [field]


def test_no_translation_without_a_model_or_to_one_outside(
    claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotConfigured, match="LLM_BASE_URL"):
        summaries.translated(claim.user, claim.pk, "en", "zh", "He frowns.")
    use(monkeypatch, server, trust="outside")
    Corpus.objects.update(licence="restricted")
    with pytest.raises(NotConfigured, match="LLM_TRUST"):
        summaries.translated(claim.user, claim.pk, "en", "zh", "He frowns.")
    assert server.calls() == []


def test_a_translation_in_the_wrong_language_is_a_502(
    claim: Claim, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server, model="scripted:wrong-language")
    with pytest.raises(ModelFailed):
        summaries.translated(claim.user, claim.pk, "en", "zh", "He frowns.")
