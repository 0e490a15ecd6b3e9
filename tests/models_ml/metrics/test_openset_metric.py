"""The set-level metric, corner by corner (arXiv 2407.07653, equations 1 to 3; MER2024's scorer)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_ml.llm import ModelFailure
from models_ml.metrics import MetricError, openset, parse_mer2024, parse_strict
from models_ml.metrics.grouping import mapping_of

ROOT = Path(__file__).resolve().parents[3]


def figures(gold, pred, groups=(), **more):
    found = openset({"c": gold}, {"c": pred}, {"c": groups}, **more)
    return found["accuracy"], found["recall"]


def test_accuracy_is_per_sample_precision_and_the_score_a_mean_over_clips():
    gold = {"a": ["happy", "glad", "proud"], "b": ["sad"]}
    pred = {"a": ["joyful", "calm"], "b": ["angry"]}
    groups = {"a": [["happy", "glad", "joyful"], ["proud"], ["calm"]], "b": [["sad"], ["angry"]]}
    found = openset(gold, pred, groups)
    assert (found["n"], found["accuracy"], found["recall"]) == (2, 0.25, 0.25)
    assert found["avg"] == 0.25
    assert found["grouping"] == "groups"
    assert set(found) == {"n", "accuracy", "recall", "avg", "ci95", "grouping"}


def test_labels_that_fall_into_one_group_count_once():
    assert figures(["happy", "glad"], ["joyful", "happy", "sad"], [["happy", "glad", "joyful"]]) == (0.5, 1.0)


def test_a_label_absent_from_the_mapping_is_a_group_of_its_own():
    assert figures(["uneasy"], ["uneasy", "tense"], [["happy"]]) == (0.5, 1.0)


def test_the_first_label_of_a_group_is_its_representative_and_the_last_group_wins():
    assert mapping_of([["a", "b"], ["c", "b"]]) == {"a": "a", "b": "c", "c": "c"}
    assert figures(["a"], ["b"], [["a", "b"], ["c", "b"]]) == (0.0, 0.0)


def test_an_empty_prediction_counts_zero_and_is_not_skipped():
    found = openset({"a": ["sad"], "b": ["sad"]}, {"a": [], "b": ["sad"]}, "none")
    assert (found["n"], found["accuracy"], found["recall"]) == (2, 0.5, 0.5)


def test_labels_are_lower_cased():
    assert figures(["Happy"], ["hAPPY"]) == (1.0, 1.0)


def test_mapping_keys_match_by_case_in_mer2024_only():
    groups = [["Happy", "Joyful"]]
    assert figures(["happy"], ["joyful"], groups) == (1.0, 1.0)
    assert figures(["happy"], ["joyful"], groups, compat="mer2024") == (0.0, 0.0)


def test_the_apostrophe_row_of_the_published_predictions_scores_differently_with_and_without_the_2024_parser():
    # The groups were made from the 2024 parser's labels, so the strictly parsed label is in none of them.
    row, gold = """["don't believe", 'doubt']""", ["doubt", "suspicion"]
    groups = [["doubt"], ["t believe", "suspicion"], ["don"]]
    compat = figures(gold, parse_mer2024(row), groups, compat="mer2024")
    strict = figures(gold, parse_strict(row), groups)
    assert compat == (2 / 3, 1.0)
    assert strict == (0.5, 0.5)


def test_a_clip_without_gold_labels_is_left_out_and_said():
    warnings = []
    found = openset({"a": [], "b": ["sad"]}, {"a": ["sad"], "b": ["sad"]}, "none", warnings=warnings)
    assert found["n"] == 1
    assert warnings == ["gold without labels, left out: 1 (a)"]


def test_a_prediction_for_an_unknown_clip_is_left_out_and_said():
    warnings = []
    openset({"b": ["sad"]}, {"片段": ["sad"], "b": ["sad"]}, "none", warnings=warnings)
    assert warnings == ["predictions without gold, left out: 1 (片段)"]


def test_a_missing_prediction_is_an_error_that_names_clips_and_count():
    with pytest.raises(MetricError, match=r"no prediction for 12 \(c0, c1, .*and 2 more\)"):
        openset({f"c{n}": ["sad"] for n in range(12)}, {}, "none")


def test_nothing_to_score_is_an_error():
    with pytest.raises(MetricError, match="nothing to score"):
        openset({"a": []}, {"a": []}, "none")


def test_an_unknown_grouping_is_an_error():
    with pytest.raises(MetricError, match="wheel"):
        openset({"a": ["sad"]}, {"a": ["sad"]}, "wheel")


def test_a_clip_the_model_could_not_group_is_left_out_but_a_dead_endpoint_ends_the_run():
    def fails(code):
        def grouping(clip, labels):
            if clip == "a":
                raise ModelFailure(code, "x")
            return {}

        return grouping

    both = {"a": ["sad"], "b": ["sad"]}
    warnings = []
    assert openset(both, both, fails("bad_json"), warnings=warnings)["n"] == 1
    assert warnings == ["not grouped by the model, left out: 1 (a (bad_json))"]
    with pytest.raises(ModelFailure):
        openset(both, both, fails("refused_connection"))


def test_the_interval_is_seeded_holds_the_mean_and_shrinks_with_n():
    def scored(n, seed=0):
        gold = {str(i): ["sad"] for i in range(n)}
        return openset(gold, {str(i): ["sad"] if i % 2 else ["calm"] for i in range(n)}, "none", seed=seed)

    small, large = scored(20), scored(500)
    low, high = small["ci95"]["avg"]
    assert scored(20) == small
    assert scored(20, seed=1)["ci95"] != small["ci95"]
    assert low < small["avg"] < high
    assert large["ci95"]["avg"][1] - large["ci95"]["avg"][0] < high - low
    # half of the clips right: the standard error is 0.5/sqrt(n), the interval about 1.96 of it to each side
    assert large["ci95"]["avg"] == pytest.approx([0.5 - 0.0438, 0.5 + 0.0438], abs=0.006)


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.lists(st.sampled_from("abcdef")))
def test_figures_stay_between_zero_and_one_and_identity_is_one(gold, pred):
    accuracy, recall = figures(gold, pred)
    assert 0.0 <= accuracy <= 1.0
    assert 0.0 <= recall <= 1.0
    assert figures(gold, gold) == (1.0, 1.0)


def run_cli(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "models_ml.metrics", "openset", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, env={"PATH": "", "PYTHONIOENCODING": "utf-8"} | env, check=False,
    )  # fmt: skip


def test_the_command_prints_one_json_object_last_and_warnings_on_stderr(tmp_path):
    (tmp_path / "g.csv").write_text("name,openset\na,\"['高兴']\"\nb,\"['sad']\"\n", "utf-8")
    (tmp_path / "p.csv").write_text("name,openset\na,['happy']\nb,['sorrow']\nz,[]\n", "utf-8")
    done = run_cli("--gold", tmp_path / "g.csv", "--pred", tmp_path / "p.csv")
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0
    assert (found["n"], found["avg"], found["grouping"]) == (2, 1.0, "lexicon")
    assert "predictions without gold" in done.stderr


def test_the_command_takes_groups_and_the_2024_parser(tmp_path):
    (tmp_path / "g.csv").write_text("name,openset\na,\"['doubt', 'suspicion']\"\n", "utf-8")
    (tmp_path / "p.csv").write_text('name,openset\na,"[""don\'t believe"", \'doubt\']"\n', "utf-8")
    (tmp_path / "groups.json").write_text('{"a": [["doubt"], ["t believe", "suspicion"], ["don"]]}', "utf-8")
    files = ["--gold", tmp_path / "g.csv", "--pred", tmp_path / "p.csv", "--groups", tmp_path / "groups.json"]
    compat, strict = (json.loads(run_cli(*files, *more).stdout) for more in (["--compat", "mer2024"], []))
    assert (compat["accuracy"], compat["recall"]) == (2 / 3, 1.0)
    assert (strict["accuracy"], strict["recall"], strict["grouping"]) == (0.5, 0.5, "groups")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--llm"], "LLM_BASE_URL"),
        (["--groups", "nowhere.json"], "nowhere.json"),
        (["--gold", "nowhere.csv"], "nowhere.csv"),
        (["--compat", "mer2019"], "mer2024"),
        (["--llm", "--grouping", "none"], "not allowed"),
    ],
)
def test_a_wrong_call_exits_2_with_one_clear_line(tmp_path, more, message):
    (tmp_path / "g.csv").write_text("name,openset\na,['sad']\n", "utf-8")
    done = run_cli("--gold", tmp_path / "g.csv", "--pred", tmp_path / "g.csv", *more)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "name", "content"),
    [("--pred", "p.csv", f"name,openset\na,{'x' * 140_000}\n"), ("--groups", "g.json", "[" * 100_000)],
)
def test_a_file_that_no_reader_can_hold_is_named(tmp_path, option, name, content):
    (tmp_path / "g.csv").write_text("name,openset\na,['sad']\n", "utf-8")
    (tmp_path / name).write_text(content, "utf-8")
    done = run_cli("--gold", tmp_path / "g.csv", "--pred", tmp_path / "g.csv", option, tmp_path / name)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr
