"""Labels grouped by an LLM over HTTP: pinned, cached, asked in one order, and nothing silently left out."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models_ml import prompts
from models_ml.llm import Endpoint, ModelFailure
from models_ml.metrics import MetricError, llm_grouping, openset
from models_ml.metrics.__main__ import main

PAPER = (
    "Please assume the role of an expert in the field of emotions. We provide a set of emotions. Please group the "
    "emotions, with each group containing emotions with the same meaning. Directly output the results. The output "
    "format should be a list containing multiple lists."
)


class Grouper(BaseHTTPRequestHandler):
    """A chat server that answers with ``server.answer(labels, how often it was asked)``."""

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        asked = json.loads(re.search(r'<data name="labels">\n(.*)\n</data>', request["messages"][-1]["content"])[1])
        text = self.server.answer(asked, len(self.server.requests))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        kind = {"id": "1", "object": "chat.completion", "created": 0, "model": "grouper-2024-01"}
        body = json.dumps(kind | {"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Quiet."""


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Grouper)
    found.requests, found.answer = [], lambda labels, _: json.dumps([labels])
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def endpoint(server, model="grouper"):
    return Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", model, timeout_s=10, max_retries=0)


def test_the_question_is_the_papers_at_temperature_zero_and_in_one_order(server):
    llm_grouping(endpoint(server))("a", ["sad", "calm", "angry"])
    llm_grouping(endpoint(server))("b", ["angry", "sad", "calm"])
    first, second = server.requests
    assert first == second
    assert (first["temperature"], first["model"]) == (0.0, "grouper")
    user = first["messages"][-1]["content"]
    assert user.startswith(PAPER)
    assert '["angry", "calm", "sad"]' in user


def test_the_name_of_the_model_stands_beside_the_figures_with_what_was_asked(server, tmp_path):
    gold, pred = {"a": ["sad", "calm"], "b": ["happy"], "c": ["calm", "sad"]}, {"a": ["sad"], "b": [], "c": []}
    report = {}
    found = openset(gold, pred, llm_grouping(endpoint(server), tmp_path), report=report)
    assert found["grouping"] == "llm:grouper"
    assert report["llm"] == {
        "model": "grouper", "answered_by": ["grouper-2024-01"],
        "prompt": prompts.load("group_labels", "en").reference,
        "questions": 2, "calls": 1, "cached": 1, "failed": 0, "dropped": 0, "invented": 0, "repeated": 0,
    }  # fmt: skip
    assert report["vocabulary"]["gold"] == {"known": 5, "all": 5}


def test_answers_are_kept_by_model_prompt_and_labels_and_need_no_server_again(server, tmp_path):
    before = llm_grouping(endpoint(server), tmp_path)("a", ["sad", "unhappy"])
    gone = Endpoint("http://127.0.0.1:9/v1", "grouper", max_retries=0)
    again = llm_grouping(gone, tmp_path)
    assert again("another clip", ["unhappy", "sad"]) == before == {"sad": "sad", "unhappy": "sad"}
    assert (again.report()["calls"], again.report()["cached"]) == (0, 1)
    with pytest.raises(ModelFailure, match="refused_connection"):
        llm_grouping(Endpoint("http://127.0.0.1:9/v1", "other", max_retries=0), tmp_path)("a", ["sad", "unhappy"])
    (kept,) = tmp_path.rglob("*.json")
    assert json.loads(kept.read_text("utf-8"))["labels"] == ["sad", "unhappy"]
    kept.write_text("half a fi", "utf-8")  # asked again, and made whole
    assert llm_grouping(endpoint(server), tmp_path)("a", ["sad", "unhappy"]) == before
    assert json.loads(kept.read_text("utf-8"))["answered_by"] == "grouper-2024-01"


def test_labels_dropped_made_up_and_repeated_are_counted(server):
    # "sad" is in two groups (the last counts), "tired" in none, "joy" was not asked for and merges nothing
    server.answer = lambda labels, _: '[["joy", "HAPPY"], ["joy", "sad"], ["sad", "calm"]]'
    grouping = llm_grouping(endpoint(server))
    assert grouping("a", ["calm", "happy", "sad", "tired"]) == {"happy": "happy", "sad": "sad", "calm": "sad"}
    report = grouping.report()
    assert (report["dropped"], report["invented"], report["repeated"]) == (1, 2, 1)


def test_an_answer_that_is_no_list_of_lists_is_asked_again_and_not_kept(server, tmp_path):
    server.answer = lambda labels, n: json.dumps([labels]) if n == 3 else "I would group them all."
    grouping = llm_grouping(endpoint(server), tmp_path)
    assert grouping("a", ["sad", "unhappy"]) == {"sad": "sad", "unhappy": "sad"}
    assert grouping.report()["calls"] == 3
    assert len(list(tmp_path.rglob("*.json"))) == 1
    server.answer = lambda labels, _: "no"
    warnings, report = [], {}
    both = {"a": ["x", "y"], "b": ["z"]}
    found = openset(both, {"a": ["x"], "b": ["z"]}, llm_grouping(endpoint(server)), warnings=warnings, report=report)
    assert found["n"] == 1
    assert warnings == ["not grouped by the model, left out: 1 (a (bad_json))"]
    assert (report["ungrouped"], report["llm"]["failed"], report["llm"]["calls"]) == (1, 1, 4)


def test_the_command_asks_keeps_and_says_when_clips_are_left_out(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LLM_BASE_URL", endpoint(server).base_url)
    monkeypatch.setenv("LLM_MODEL", "grouper")
    (tmp_path / "g.csv").write_text("name,openset\na,\"['sad', 'calm']\"\nb,['sad']\n", "utf-8")
    (tmp_path / "p.csv").write_text("name,openset\na,[calm]\nb,[sad]\n", "utf-8")
    files = ["openset", "--gold", str(tmp_path / "g.csv"), "--pred", str(tmp_path / "p.csv")]
    assert main([*files, "--llm", "--cache", str(tmp_path / "kept")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["avg"], found["grouping"], found["report"]["llm"]["calls"]) == (1.0, "llm:grouper", 1)
    server.answer = lambda labels, _: "no"
    assert main([*files, "--llm", "--cache", str(tmp_path / "kept")]) == 0
    assert json.loads(capsys.readouterr().out)["report"]["llm"]["cached"] == 1
    assert main([*files, "--llm", "--cache", str(tmp_path / "empty")]) == 1
    assert "not grouped by the model, left out: 1 (a (bad_json))" in capsys.readouterr().err


def test_nothing_scored_is_an_error(server):
    server.answer = lambda labels, _: "no"
    with pytest.raises(MetricError, match="nothing to score"):
        openset({"a": ["sad", "calm"]}, {"a": ["sad"]}, llm_grouping(endpoint(server)))
