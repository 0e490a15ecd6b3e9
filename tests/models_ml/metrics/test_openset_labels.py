"""Reading label lists: strictly, and as MER2024's scorer does."""

import pytest

from models_ml.metrics import MetricError, parse_mer2024, parse_strict, read_openset


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("""["don't believe", 'doubt']""", ["don't believe", "doubt"]),
        ("['happy', 'happy and satisfied']", ["happy", "happy and satisfied"]),
        ("[happy, sad]", ["happy", "sad"]),
        ("['高兴', '激动']", ["高兴", "激动"]),
        ("[]", []),
        ("", []),
        ("nan", []),
        ("[' happy ', '']", ["happy"]),
    ],
)
def test_strict(text, labels):
    assert parse_strict(text) == labels


@pytest.mark.parametrize("text", ["happy", "['happy'", "{'happy'}", "[['happy']]", "[1]", "chatter ['happy']"])
def test_strict_refuses_what_is_no_list(text):
    with pytest.raises(MetricError):
        parse_strict(text)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("""["don't believe", 'doubt']""", ["don", "t believe", "doubt"]),
        ("[happy, sad]", ["happy, sad"]),
        ("['happy', 'sad']", ["happy", "sad"]),
        ("chatter ['happy'] and ['sad']", ["happy"]),
        ("[]", []),
        ("", []),
        ("nan", []),
        ("[' happy']", [" happy"]),
    ],
)
def test_mer2024_keeps_its_quirks(text, labels):
    assert parse_mer2024(text) == labels


def test_mer2024_without_a_bracket_is_a_named_error_instead_of_an_index_error():
    with pytest.raises(MetricError, match="happy"):
        parse_mer2024("happy")


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def test_a_file_with_bom_and_extra_columns_is_read_in_order(tmp_path):
    path = write(tmp_path / "a.csv", "\ufeffname,note,openset\nb,x,\"['怒']\"\na,,[]\n")
    assert read_openset(path) == {"b": ["怒"], "a": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,labels\na,[]\n", "bad.csv: no column openset"),
        ("name,openset\na,[]\na,[]\n", "bad.csv line 3: a stands in the file twice"),
        ("name,openset\na,[]\nb,happy\n", "bad.csv line 3, b: not a list"),
        ("name,openset\n,[]\n", "bad.csv line 2: the name is empty"),
        ("name,openset\n", "bad.csv: no rows"),
        ("", "bad.csv: no column"),
    ],
)
def test_a_bad_file_is_named_with_line_and_clip(tmp_path, text, message):
    with pytest.raises(MetricError) as caught:
        read_openset(write(tmp_path / "bad.csv", text))
    assert message in str(caught.value)


def test_a_missing_file_and_a_file_in_another_encoding_are_named(tmp_path):
    with pytest.raises(MetricError, match="nowhere.csv"):
        read_openset(tmp_path / "nowhere.csv")
    (tmp_path / "gbk.csv").write_bytes("name,openset\na,['高兴']\n".encode("gbk"))
    with pytest.raises(MetricError, match="gbk.csv: not UTF-8"):
        read_openset(tmp_path / "gbk.csv")
