"""The canonical line: the same content gives the same bytes everywhere."""

import hashlib
import json
import random

import pytest

from annotator.checking import canonical, services
from annotator.checking.models import Record
from tests.support import factories as make

CLIP = {
    "name": "sample_00000042",
    "media_sha256": "a" * 64,
    "duration": 3.14159,
    "source": "",
    "speaker": None,
    "licence": "open",
    "subtitle": {"zh": "你怎么现在才来？"},
}


def clue(modality: str, text: str, **more: object) -> dict[str, object]:
    return {"modality": modality, "aspect": "", "language": "zh", "text": text, "span": None, "verdict": "kept", **more}


def line(clues: list[dict[str, object]], **more: object) -> str:
    content: dict[str, object] = {
        "clues": clues,
        "description": {"zh": "他“很”生气。\u2028", "en": ""},
        "ov_labels": {"zh": ["生气", "愤怒", "生气"], "en": []},
        "label": "",
        "grade": "fine",
        **more,
    }
    return canonical.dumps(canonical.build(CLIP, **content))


def test_the_line_is_this_exact_text() -> None:
    found = line([clue("audio", "声音高。", aspect="tone", span=(0.12345, 2), verdict="added")])
    assert found == (
        '{"clip":"sample_00000042","clues":[{"aspect":"tone","language":"zh","modality":"audio","prelabel":null,'
        '"span":[0.123,2.0],"text":"声音高。","verdict":"added"}],"description":{"en":null,"zh":"他“很”生气。\u2028"},'
        '"duration":3.142,"grade":"fine","label":null,"licence":"open","media_sha256":"' + "a" * 64 + '",'
        '"ov_labels":{"en":[],"zh":["生气","愤怒"]},"source":null,"speaker":null,'
        '"subtitle":{"en":null,"zh":"你怎么现在才来？"}}'
    )
    assert canonical.sha256(found) == hashlib.sha256(found.encode("utf-8") + b"\n").hexdigest()


def test_all_keys_are_always_there() -> None:
    record = json.loads(line([clue("text", "字面上没有情绪。")]))
    assert set(record) == set(canonical.KEYS)
    assert set(record["clues"][0]) == {"modality", "aspect", "language", "text", "span", "verdict", "prelabel"}
    assert set(record["subtitle"]) == set(record["description"]) == set(record["ov_labels"]) == {"zh", "en"}


def test_what_is_missing_is_null_and_never_nan() -> None:
    record = canonical.build(
        {**CLIP, "duration": float("nan"), "media_sha256": ""},
        clues=[],
        description={"zh": "", "en": "He is calm."},
        ov_labels={},
        label=None,
        grade="coarse",
    )
    assert record["duration"] is record["media_sha256"] is record["label"] is record["description"]["zh"] is None


def test_clues_stand_in_one_order_however_they_came() -> None:
    ordered = [
        clue("visual", "b", aspect="expression"),
        clue("visual", "a", aspect="expression", span=(0, 1)),
        clue("visual", "a", aspect="gesture", language="en"),
        clue("visual", "a", aspect="gesture", language="zh"),
        clue("visual", "乙", aspect="gesture", language="zh"),
        clue("visual", "甲", aspect="gesture", language="zh"),  # code points: 乙 U+4E59 < 甲 U+7532
        clue("audio", "a", aspect="prosody"),
        clue("audio", "a", aspect="tone", verdict="kept"),
        clue("audio", "a", aspect="tone", verdict="rejected"),
        clue("text", "a"),
    ]
    shuffled = list(ordered)
    for seed in range(20):
        random.Random(seed).shuffle(shuffled)
        assert line(shuffled) == line(ordered)
    found = [(c["modality"], c["aspect"], c["text"]) for c in json.loads(line(shuffled))["clues"]]
    assert found == [(c["modality"], c["aspect"] or None, c["text"]) for c in ordered]


def test_negative_zero_is_zero() -> None:
    assert json.dumps(canonical.seconds(-0.0)) == "0.0"
    assert json.dumps(canonical.seconds(-0.0001)) == "0.0"


@pytest.mark.django_db
def test_nothing_in_a_line_depends_on_ids_or_people() -> None:
    lines = []
    for _round in range(2):
        corpus = make.create_corpus(review="none")
        clip = make.create_clip(corpus, "sample_一", media_sha256="b" * 64, source="电影", label="angry")
        kept = make.create_clue(
            clip, "眉头紧锁。", language="zh", provenance={"prompt": {"file": "v.md", "version": "1"}}
        )
        drafted = make.create_clue(clip, "The voice is high.", modality="audio", aspect="tone", span=(0.5, 1.25))
        body = make.make_body([kept, drafted])
        body["clues"][1] |= {"verdict": "corrected", "text": "The voice is high and thin."}
        make.create_annotation(clip, body=body)
        lines.append(Record.objects.get(clip=clip).current.line)
        make.create_user()  # shifts the ids of whatever comes next
    assert lines[0] == lines[1]
    visual, audio = json.loads(lines[0])["clues"]
    assert visual["prelabel"] == {"text": "眉头紧锁。", "prelabeller": "scripted", "prompt": "v.md@1"}
    assert (audio["text"], audio["prelabel"]["text"]) == ("The voice is high and thin.", "The voice is high.")
    assert audio["span"] == [0.5, 1.25]


@pytest.mark.django_db
def test_rejected_clues_are_in_the_line_with_that_verdict() -> None:
    clip = make.create_clip(make.create_corpus(review="none"))
    wrong = make.create_clue(clip, "The person laughs.")
    body = make.make_body([wrong])
    body["clues"][0] |= {"verdict": "rejected", "reason": "没有笑"}
    make.create_annotation(clip, body=body)
    assert json.loads(Record.objects.get().current.line)["clues"][0]["verdict"] == "rejected"


@pytest.mark.django_db
def test_descriptions_keep_their_bytes() -> None:
    clip = make.create_clip(make.create_corpus(review="none"))
    text = "  “Zoë”\tsaid:\r\n\u3000她说“不”。 \u200d "
    make.create_annotation(clip, body=make.make_body(description={"zh": "", "en": text}))
    record = Record.objects.get()
    assert json.loads(record.current.line)["description"] == {"zh": None, "en": text}
    assert services.open_slots(clip.corpus) == 0
