"""The gate on claims whose verdicts are known: our own, and those planted by somebody who did not know the lexicon."""

import json
from pathlib import Path

import pytest

from models_ml.gate.judge import _read
from models_ml.gate.score import ClaimsError, judged, read, score

HERE = Path(__file__).parent


def show(title, found):
    print(f"\n{title}: {found['n']} clues, precision {found['precision']}, recall {found['recall']}")
    columns = list(found["confusion"])
    print(f"{'expected / found':>18}" + "".join(f"{name:>16}" for name in columns))
    for row, counts in found["confusion"].items():
        print(f"{row:>18}" + "".join(f"{counts[name]:>16}" for name in columns))


def test_planted_claims_are_found_and_judged(capsys):
    found = score(HERE / "planted" / "test.jsonl")
    with capsys.disabled():
        show("planted claims", found)
    assert found["tp"] + found["fn"] >= 200
    assert found["precision"] >= 0.95
    assert found["recall"] >= 0.85


@pytest.mark.parametrize("name", ["development.jsonl", "planted/tune.jsonl"])
def test_what_the_lexicon_was_made_with_stays_solved(name):
    found = score(HERE / name)
    assert found["precision"] >= 0.99
    assert found["recall"] >= 0.99


def test_the_same_clues_give_the_same_verdicts():
    lines = list(read(HERE / "development.jsonl"))
    first = [judged(line) for line in lines]
    _read.cache_clear()
    assert [judged(line) for line in lines] == first


def line(**more):
    au = {"fps": 25, "frames": 50, "tracks": {"AU12": [[0.5, 1.5, 2.0]]}, "columns": ["AU12", "AU04"]}
    expect = [{"claim": "smile", "negated": False, "hedged": False, "who": "target", "verdict": "supported"}]
    base = {"id": "1", "language": "en", "modality": "visual", "text": "She smiles.", "au": au, "expect": expect}
    return json.dumps(base | more)


def written(tmp_path, *lines):
    path = tmp_path / "claims.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_found_unexpected_and_missed_claims_are_counted(tmp_path):
    more = [{"claim": "brows_lowered", "negated": False, "who": "target", "verdict": "supported"}]
    found = score(written(tmp_path, line(), line(text="She frowns."), line(text="Nothing.", expect=more)))
    assert (found["tp"], found["fp"], found["fn"]) == (1, 1, 2)
    assert (found["precision"], found["recall"]) == (0.5, 0.3333)
    assert found["confusion"]["supported"] == {"supported": 1, "contradicted": 0, "not_measurable": 0, "-": 2}
    assert found["confusion"]["-"]["contradicted"] == 1
    assert found["codes"]["smile"]["recall"] == 0.5


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: without language"),
        (line(expect=[{"claim": "joy", "verdict": "supported"}]), "line 2: .*joy"),
        (line(expect=[{"claim": "smile", "verdict": "yes"}]), "line 2: .*yes"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, message):
    with pytest.raises(ClaimsError, match=message):
        score(written(tmp_path, line(), bad))
