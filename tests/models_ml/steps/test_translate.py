"""Translations come paragraph by paragraph, without the scaffolding of a prompt and without left-over words."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models_ml.llm import Endpoint, ModelFailure
from models_ml.steps import Evidence, parse_ov_labels, translate
from models_ml.steps.translate import MAX_PARAGRAPHS, left_over, paragraphs, strip_scaffolding


def draft(zh=None, en=None, labels=None):
    return Evidence("c", draft={"description": {"zh": zh, "en": en}, "ov_labels": labels})


@pytest.mark.parametrize("text", ["a" + " " * 60_000 + "b", "x" + "*" * 60_000 + "y", "输出：" * 20_000, "“" * 60_000])
def test_an_endless_answer_is_read_in_time(text):
    """Each of these took minutes: a worker's thread (and the interpreter's lock) would have been lost to it."""
    started = time.monotonic()
    strip_scaffolding(text)
    left_over(text, "en")
    with contextlib.suppress(ModelFailure):
        parse_ov_labels(f"1. {text}\nb")
    with pytest.raises(ModelFailure, match="more than one list|no list"):
        parse_ov_labels(f"[[a]{text[:40_000]}x")
    with pytest.raises(ModelFailure, match="20000 labels"):
        parse_ov_labels(json.dumps([f"w{i}" for i in range(20_000)]))
    assert time.monotonic() - started < 5


def test_the_missing_language_is_written_and_labels_are_carried_through(ask, server):
    labels = {"zh": [], "en": ["happy"]}
    result = translate(draft(en="She smiles, so she is happy.", labels=labels), ask(), idempotency_key="job-7")
    assert result.description["en"] == "She smiles, so she is happy."
    assert "高兴" in result.description["zh"]
    assert result.ov_labels == labels
    (call,) = server.calls()
    assert (call["kind"], call["key"], call["text"]) == ("translate", "job-7", "She smiles, so she is happy.")
    kept = result.provenance["parameters"]
    assert (kept["target"], kept["paragraphs"], kept["repaired"]) == ("zh", 1, [])
    assert result.provenance["prompt"]["file"] == "translate.zh.md"


def test_every_paragraph_is_one_call_and_they_keep_their_order(ask, server):
    result = translate(draft(zh="她在笑。\n\n他很生气。\n她哭了。"), ask(), idempotency_key="k")
    assert [call["text"] for call in server.calls()] == ["她在笑。", "他很生气。", "她哭了。"]
    assert [call["key"] for call in server.calls()] == ["k-p1", "k-p2", "k-p3"]
    feelings = ["happy", "angry", "sad"]
    parts = result.description["en"].split("\n\n")
    assert all(feeling in part for feeling, part in zip(feelings, parts, strict=True))
    assert result.provenance["calls"] == 3
    assert len(result.provenance["parameters"]["request_sha256s"]) == 3


def test_the_number_of_calls_is_bounded_and_no_paragraph_is_lost():
    lines = [f"第{n}段。" for n in range(40)]
    found = paragraphs("\n\n".join(lines))
    assert len(found) == MAX_PARAGRAPHS
    assert "\n".join(found).splitlines() == lines


@pytest.mark.parametrize(
    ("ev", "target", "reason"),
    [
        (Evidence("c"), "auto", "there is no description to translate"),
        (draft(zh="她笑。", en="She smiles."), "auto", "the description is there in both languages already"),
        (draft(zh="她笑。"), "zh", "there is no description in en to translate from"),
    ],
)
def test_where_there_is_nothing_to_translate_nobody_is_asked(ask, server, ev, target, reason):
    result = translate(ev, ask(), target=target)
    assert (result.state, result.reason) == ("skipped", reason)
    assert server.calls() == []


def test_a_language_that_is_there_can_be_written_anew(ask):
    result = translate(draft(zh="旧的译文。", en="She smiles."), ask(), target="zh")
    assert "高兴" in result.description["zh"]
    assert result.description["en"] == "She smiles."


@pytest.mark.parametrize(
    ("answer", "text", "rules"),
    [
        ("Input: The woman smiles.", "The woman smiles.", ["leading_marker"]),
        ("输出：她在笑。", "她在笑。", ["leading_marker"]),
        ("翻译：她在笑。", "她在笑。", ["leading_marker"]),
        ("翻译结果: 她在笑。", "她在笑。", ["leading_marker"]),
        ("**Translation:** She smiles.", "She smiles.", ["leading_marker"]),
        ("Output:\nShe smiles.", "She smiles.", ["leading_marker"]),
        ("Input: Output: She smiles.", "She smiles.", ["inner_output"]),
        ("：她在笑。", "她在笑。", ["leading_colon"]),
        ("She smiles. Output:", "She smiles.", ["trailing_marker"]),
        ("她在笑。输入：", "她在笑。", ["trailing_marker"]),
        ("她在笑；\n\n输出:", "她在笑；", ["trailing_marker"]),
        ("Input: A draft of it. Output: She smiles.", "She smiles.", ["inner_output"]),
        ("Input: A draft. Output: She smiles. Output:", "She smiles.", ["trailing_marker", "inner_output"]),
        ("She smiles.", "She smiles.", []),
        ("Her emotional output is low; the input of others does not matter.",) * 2 + ([],),
        ("翻译站在一旁微笑。",) * 2 + ([],),
    ],
)
def test_leaked_scaffolding_is_stripped_at_both_ends_and_reported(answer, text, rules):
    assert strip_scaffolding(answer) == (text, rules)


@pytest.mark.parametrize(
    ("text", "language", "left"),
    [
        ("She is 高兴 and 激动.", "en", ["高兴", "激动"]),
        ("She says “我没事” and smiles.", "en", []),
        ('The subtitle "我没事" is ironic.', "en", []),
        ("She smiles.", "en", []),
        ("她很 happy，也很 excited。", "zh", ["happy", "excited"]),
        ("她说“I am fine”，声音发颤。", "zh", []),
        ("音高为 220 Hz，AU 强度较高，响度 60 dB。", "zh", []),
        ("Tom 在笑。", "zh", []),
        ("Anna 在笑。", "zh", ["Anna"]),
    ],
)
def test_words_of_the_source_language_are_found(text, language, left):
    assert left_over(text, language, source="Tom smiles because She came.") == left


def test_the_words_spoken_may_stay_as_they_are():
    assert left_over("She says 我没事 and looks away.", "en", spoken="我没事\nI am fine") == []


@pytest.fixture
def saying():
    """A server that answers every request with one text."""
    servers = []

    def start(text):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                import json

                choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
                body = json.dumps({"model": "says", "choices": [choice], "usage": {}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", "says", max_retries=0)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_repaired_answer_says_so_in_its_provenance(saying):
    endpoint = saying("<think>hm</think>Input: 她笑。 Output: The woman smiles “我没事”.")
    result = translate(draft(zh="她笑着说我没事。"), endpoint)
    assert result.description["en"] == "The woman smiles “我没事”."
    assert result.provenance["parameters"]["repaired"] == ["inner_output"]


def test_left_over_words_are_a_failure_that_names_them_before_more_is_paid(saying):
    with pytest.raises(ModelFailure, match="高兴") as caught:
        translate(draft(zh="她高兴。\n她笑。"), saying("The woman is very 高兴 today."))
    assert (caught.value.code, caught.value.calls) == ("wrong_language", 1)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("refuse", "refusal"), ("empty", "empty"), ("wrong-language", "wrong_language"), ("truncated", "truncated")],
)
def test_what_is_no_translation_is_a_named_failure(ask, behaviour, code):
    with pytest.raises(ModelFailure) as caught:
        translate(draft(zh="她在笑。"), ask(behaviour))
    assert caught.value.code == code


def test_a_failure_at_a_later_paragraph_counts_the_calls_before_it(saying):
    """What may stay is judged by paragraph: the name stands in the first alone."""
    ev = draft(en="Anna smiles.\nShe weeps.")
    with pytest.raises(ModelFailure, match="Anna") as caught:
        translate(ev, saying("Anna 在笑。"))
    assert (caught.value.code, caught.value.calls) == ("wrong_language", 2)
