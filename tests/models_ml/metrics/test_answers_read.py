"""Predictions as models write them are read from whatever form they have; prose is named and never a label."""

import json

import pytest

from models_ml.metrics import MetricError, parse_answer, read_table
from models_ml.metrics.__main__ import main
from models_ml.metrics.reading import parse_groups


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('["happy", "sad"]', ["happy", "sad"]),
        ("""["don't believe", 'doubt']""", ["don't believe", "doubt"]),
        ("['don't believe', 'doubt']", ["don't believe", "doubt"]),
        ("[\"happy, but calm\", 'it's fine']", ["happy, but calm", "it's fine"]),
        ("[happy, don't care]", ["happy", "don't care"]),
        ("[happy; sad]", ["happy", "sad"]),
        ("'happy', 'sad'", ["happy", "sad"]),
        ("{'sad', 'happy'}", ["happy", "sad"]),
        ("\"['happy']\"", ["happy"]),
        ("Output: [happy]", ["happy"]),
        ("输出：['高兴', '难过']", ["高兴", "难过"]),
        ("Sure!\n```python\n['happy']\n```\nI hope this helps.", ["happy"]),
        ("The character's emotional state is happy, looking forward to.", ["happy", "looking forward to"]),
        ("人物的情绪状态是开心、激动。", ["开心", "激动"]),
        ("1. Happy: she smiles\n2. Worried - a frown\n3. 高兴：笑", ["happy", "worried", "高兴"]),
        ("- happy (slightly)\n- sad", ["happy", "sad"]),
        ("高兴、激动", ["高兴", "激动"]),
        ("平静，温和", ["平静", "温和"]),
        ("「高兴」、「激动」", ["高兴", "激动"]),
        ("「高兴、激动」", ["高兴", "激动"]),
        ("【高兴，激动】", ["高兴", "激动"]),
        ("happy, sad", ["happy", "sad"]),
        ("worried and uneasy", ["worried", "uneasy"]),
        ("['happy']\n['sad']", ["happy", "sad"]),
        ("['happy'], ['sad']", ["happy", "sad"]),
        ("[happy] [happy]", ["happy"]),
        ("['happy'] Input: she cries. Output: ['sad']", ["happy"]),
        ("", []), ("nan", []), ("[]", []), ("none", []), ("None.", []), ("无", []), ("['N/A']", []),
        ("emotional state: none", []), ("情绪：无", []), ("The emotional state is unclear.", []),
    ],
)  # fmt: skip
def test_every_form_seen_is_read(text, labels):
    assert parse_answer(text) == labels


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The man is angry.", "bad_json"),
        ("[The man is angry]", "bad_json"),
        ('["The man is angry"]', "bad_json"),
        ("He smiles, nods, and leaves", "bad_json"),
        ("The emotional state is difficult to determine.", "bad_json"),
        ("The character's emotional state is happy because he won.", "bad_json"),
        ("The character's emotional state is not happy.", "bad_json"),
        ("The emotional state is happy. Later he cries.", "bad_json"),
        ("她的情绪是开心的，因为他来了。", "bad_json"),
        ("Labels: he is happy because of her, sad", "bad_json"),
        ("- He smiles broadly and nods\n- She leaves", "bad_json"),
        ("Face: [happy]; voice: [sad]", "bad_json"),
        ('["happy", "sa', "bad_json"),
        ("[happy, sad", "bad_json"),
        ("table, chair", "bad_json"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("抱歉，我无法判断。", "refusal"),
    ],
)
def test_prose_is_a_named_error_and_never_a_label(text, code):
    with pytest.raises(MetricError, match=f"^{code}: "):
        parse_answer(text)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ('[["a", "b"], ["c"]]', [["a", "b"], ["c"]]),
        ("Output: [['a', \"don't\"], ['c']]", [["a", "don't"], ["c"]]),
        ("[['it's', 'b'], ['c']]", [["it's", "b"], ["c"]]),
        ("[[a, b], [c]]", [["a", "b"], ["c"]]),
        ("```\n[a, b]\n[c]\n```", [["a", "b"], ["c"]]),
        ("[[], ['a']]", [["a"]]),
        ("['a', 'b']", None), ("[[a], c]", None), ("[]", None), ("", None), ("a, b", None), ('[["a", 1]]', None),
    ],
)  # fmt: skip
def test_groups_are_read_in_every_form(text, groups):
    assert parse_groups(text) == groups


def write(path, *rows):
    path.write_text("\n".join(("name,openset", *rows)) + "\n", "utf-8")
    return str(path)


def test_prose_stops_the_command_or_is_counted_with_the_clips_named(tmp_path, capsys):
    gold = write(tmp_path / "g.csv", "a,[sad]", "b,[sad]", "c,[sad]")
    pred = write(tmp_path / "p.csv", "a,[sad]", "b,The man is angry.", '"c","I\'m sorry, but I can\'t."')
    files = ["openset", "--gold", gold, "--pred", pred]
    assert main(files) == 2
    assert "p.csv line 3, b: bad_json: no list of labels: The man is angry." in capsys.readouterr().err
    assert main([*files, "--unreadable", "empty"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["n"], found["accuracy"], found["report"]["unreadable"]) == (3, pytest.approx(1 / 3), 2)
    assert "no list of labels, counted as 0: b (bad_json: " in told.err
    assert "no list of labels, counted as 0: c (refusal: " in told.err


def test_gold_is_read_strictly(tmp_path, capsys):
    pred = write(tmp_path / "p.csv", "a,[sad]")
    assert main(["openset", "--gold", write(tmp_path / "g.csv", "a,Output: [sad]"), "--pred", pred]) == 2
    assert "g.csv line 2, a: not a list of labels" in capsys.readouterr().err


def test_coverage_is_checked_and_counted(tmp_path, capsys):
    gold = write(tmp_path / "g.csv", "a,[sad]", "b,[sad]", "c,[]", "d,[happy]")
    pred = write(tmp_path / "p.csv", "a,[sad]", "b,[]", "c,[sad]", "z,[sad]", "a,[sad]")
    assert main(["openset", "--gold", gold, "--pred", pred]) == 2
    assert "no prediction for 1 (d)" in capsys.readouterr().err
    assert main(["openset", "--gold", gold, "--pred", pred, "--missing", "empty"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["report"] == {
        "gold": 4, "pred": 4, "scored": 3, "duplicates": 1, "unreadable": 0, "missing": 1, "unknown": 1,
        "empty_gold": 1, "empty_pred": 1, "ungrouped": 0, "off_wheel": 0,
        "vocabulary": {"gold": {"known": 3, "all": 3}, "pred": {"known": 1, "all": 1}},
    }  # fmt: skip
    for said in (
        "p.csv line 6: a stands again, with the same labels",
        "gold without prediction, counted as a prediction without labels: 1 (d)",
        "predictions without gold, left out: 1 (z)",
        "gold without labels, left out: 1 (c)",
        "predictions without labels, counted as 0: 1 (b)",
    ):
        assert f"warning: {said}" in told.err


def test_a_name_with_two_different_lists_is_an_error(tmp_path):
    path = write(tmp_path / "p.csv", "a,[sad]", "a,[happy]")
    with pytest.raises(MetricError, match="line 3: a stands in the file twice, with different labels"):
        read_table(path, answers=True)
    assert read_table(write(tmp_path / "q.csv", "a,[sad]", "a,['sad']")).duplicates == {"a": 3}
