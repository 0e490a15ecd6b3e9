"""The published figures, on the challenges' own files: these are no part of this project.

MER2024_OV_STORE names the folder with check-openset.csv, predict-openset.csv and openset-synonym.zip, MER2025_WHEELS
and MER2026_WHEELS the two emotion_wheel folders.
"""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models_ml.metrics import compare, openset, parse_mer2024, read_openset, read_table, read_wheels, score_clips
from models_ml.metrics.__main__ import main
from models_ml.metrics.lexicon import coverage
from models_ml.metrics.reading import parse_groups

WHEELS = {2025: "MER2025_WHEELS", 2026: "MER2026_WHEELS"}


def folder(variable):
    where = os.environ.get(variable)
    if not where:
        pytest.skip(f"{variable} names no folder: the published files are not part of this project")
    return Path(where)


@pytest.fixture(scope="module")
def store():
    return folder("MER2024_OV_STORE")


@pytest.fixture(scope="module")
def groups(store, tmp_path_factory):
    """The groups file made of the published answers, one text per clip."""
    found = {}
    with zipfile.ZipFile(store / "openset-synonym.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                found[Path(name).stem] = parse_groups(str(np.load(io.BytesIO(archive.read(name)), allow_pickle=False)))
    assert len(found) == 332
    assert all(found.values())
    path = tmp_path_factory.mktemp("published") / "groups.json"
    path.write_text(json.dumps(found), "utf-8")
    return path


def files(store):
    return ["--gold", str(store / "check-openset.csv"), "--pred", str(store / "predict-openset.csv")]


def scored(capsys, *arguments):
    assert main(["openset", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_mer2024_with_and_without_its_parser(store, groups, capsys):
    compat = scored(capsys, *files(store), "--groups", groups, "--compat", "mer2024")
    assert (compat["accuracy"], compat["recall"]) == (0.581777108433735, 0.4977911646586345)
    ours = scored(capsys, *files(store), "--groups", groups)
    assert (ours["accuracy"], ours["recall"]) == (0.5802710843373494, 0.4962851405622489)
    assert (ours["n"], ours["grouping"], ours["report"]["empty_pred"]) == (332, "groups", 5)


def test_the_grouping_makes_more_than_half_of_the_number(store, groups, capsys):
    none = scored(capsys, *files(store), "--grouping", "none", "--compat", "mer2024")
    assert none["avg"] == pytest.approx(0.2149, abs=5e-5)
    lexicon = scored(capsys, *files(store))
    assert lexicon["grouping"] == "lexicon"
    assert none["avg"] < lexicon["avg"] < 0.5398
    known = lexicon["report"]["vocabulary"]["gold"]
    assert known["all"] == 1121
    assert known["known"] / known["all"] >= 0.85


def test_the_noise_of_a_clip(store, groups):
    gold, pred = (read_openset(store / f"{name}-openset.csv", "mer2024") for name in ("check", "predict"))
    scores = score_clips(gold, pred, json.loads(groups.read_text("utf-8")), compat="mer2024")
    each = np.array(list(scores.values())).mean(axis=1)
    assert each.std() == pytest.approx(0.366, abs=5e-4)
    assert compare(scores, scores)["p"]["avg"] == 1.0


@pytest.mark.parametrize(("year", "names", "words"), [(2025, 7386, 887), (2026, 7356, 861)])
def test_the_wheel_tables(year, names, words):
    wheels = read_wheels(folder(WHEELS[year]), year)
    assert (len(wheels.forms), len(wheels.words)) == (names, 1255)
    assert sum(len(found) > 1 for found in wheels.words.values()) == 431
    assert sum(len(found) > 1 for found in wheels.forms.values()) == words
    sizes = {wheel: len(place) for (wheel, level), place in wheels.clusters.items() if level == "level1"}
    assert sizes == {"wheel1": 114, "wheel2": 126, "wheel3": 78, "wheel4": 102, "wheel5": 77}
    assert all(wheels.cluster("neutral", *place) is None for place in wheels.clusters)


LEVEL1 = {  # n, F, precision, recall
    "wheel1": (327, 0.563997, 0.575433, 0.553007), "wheel2": (328, 0.575119, 0.593750, 0.557622),
    "wheel3": (324, 0.553971, 0.541409, 0.567130), "wheel4": (327, 0.546966, 0.556320, 0.537920),
    "wheel5": (316, 0.528476, 0.530063, 0.526899),
}  # fmt: skip
MEANS = {
    2025: {"level1": (0.553706, 0.559395, 0.548516), "level2": (0.424486, 0.447421, 0.405040)},
    2026: {"level1": (0.554608, 0.560524, 0.549187), "level2": (0.424583, 0.448026, 0.404764)},
}


@pytest.mark.parametrize("year", WHEELS)
def test_the_wheel_figures(store, year):
    gold, pred = (read_openset(store / f"{name}-openset.csv") for name in ("check", "predict"))
    found = openset(gold, pred, read_wheels(folder(WHEELS[year]), year))
    for level, expected in MEANS[year].items():
        told = found["levels"][level]
        assert (told["f"], told["accuracy"], told["recall"]) == pytest.approx(expected, abs=5e-7)
    if year == 2026:
        assert found["f"] == found["levels"]["level1"]["f"]
        return
    assert found["f"] == pytest.approx((0.553706 + 0.424486) / 2, abs=1e-6)
    for wheel, (n, f, accuracy, recall) in LEVEL1.items():
        told = found["wheels"][wheel]["level1"]
        assert told["n"] == n
        assert (told["f"], told["accuracy"], told["recall"]) == pytest.approx((f, accuracy, recall), abs=5e-7)
    for case, accuracy, recall in (("forms", 0.333887, 0.258197), ("synonyms", 0.356596, 0.303733)):
        told = found["cases"][case]
        assert (told["n"], told["accuracy"], told["recall"]) == (
            331, pytest.approx(accuracy, abs=5e-7), pytest.approx(recall, abs=5e-7)
        )  # fmt: skip


def test_what_the_wheels_do_not_know(store):
    wheels = read_wheels(folder(WHEELS[2025]))
    gold = [label for labels in read_openset(store / "check-openset.csv").values() for label in labels]
    pred = read_openset(store / "predict-openset.csv", "mer2024").values()
    assert sum(not wheels.known(label.strip().lower()) for label in gold) == 146
    assert sum(not wheels.known(label.strip().lower()) for labels in pred for label in labels) == 63


def test_the_robust_parser_reads_every_published_row_as_the_strict_one(store):
    path = store / "predict-openset.csv"
    assert read_table(path, answers=True).labels == read_openset(path)
    assert len(parse_mer2024("""["don't believe", 'doubt']""")) == 3


def test_the_share_of_published_words_that_the_lexicon_knows(store):
    gold = [label for labels in read_openset(store / "check-openset.csv").values() for label in labels]
    found = coverage(gold)
    assert found["known"] / found["all"] >= 0.85
