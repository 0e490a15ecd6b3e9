"""How an annotation was made: what the page tells is made regular, capped by what the server knows, or refused."""

import pytest

from annotator.checking.quality.activity import MAX_INTERVALS, clean_work, joined, played_share
from annotator.core.errors import Invalid


def test_what_is_told_is_kept_and_what_is_not_told_is_not_invented():
    told = {
        "active_s": 12.34567,
        "played": [[2, 3], [0, 1.5], [1.5, 2]],
        "clues": {"7": {"active_s": 4, "played": True}, "8": {"active_s": None}},
        "context": {"previous": True, "next": None},
        "keys": 4,
        "edits": 0,
    }
    assert clean_work(told, 60) == {
        "active_s": 12.346,
        "played": [[0, 3]],
        "clues": {"7": {"active_s": 4.0, "played": True}, "8": {"active_s": None, "played": None}},
        "context": {"previous": True},
        "keys": 4,
        "edits": 0,
    }
    assert clean_work(None, 60) == {} == clean_work({}, 60)


def test_nobody_works_longer_than_they_held_the_clip():
    work = clean_work({"active_s": 9999, "clues": {"1": {"active_s": 500, "played": False}}}, 30.5)
    assert work["active_s"] == 30.5
    assert work["clues"]["1"]["active_s"] == 30.5
    assert clean_work({"active_s": 9999}, None)["active_s"] == 9999


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ([], "work"),
        ({"active_s": "12"}, "work.active_s"),
        ({"active_s": -1}, "work.active_s"),
        ({"active_s": True}, "work.active_s"),
        ({"active_s": 10**400}, "work.active_s"),
        ({"played": {}}, "work.played"),
        ({"played": [[0, 1], [2, 1]]}, "work.played[1]"),
        ({"played": [[0]]}, "work.played[0]"),
        ({"played": [["0", "1"]]}, "work.played[0]"),
        ({"clues": []}, "work.clues"),
        ({"clues": {"x": {}}}, "work.clues.x"),
        ({"clues": {"²": {}}}, "work.clues.²"),
        ({"clues": {"3": {"played": 1}}}, "work.clues.3.played"),
        ({"context": {"next": "yes"}}, "work.context.next"),
        ({"context": []}, "work.context"),
        ({"keys": 1.5}, "work.keys"),
        ({"edits": -2}, "work.edits"),
    ],
)
def test_another_type_is_refused_by_field(raw, where):
    with pytest.raises(Invalid) as refused:
        clean_work(raw, 60)
    assert where in refused.value.extra["errors"]


def test_many_scraps_of_playing_are_kept_to_the_longest():
    scraps = [[second, second + 0.2] for second in range(MAX_INTERVALS)] + [[10_000, 10_060]]
    kept = clean_work({"played": scraps}, None)["played"]
    assert len(kept) == MAX_INTERVALS
    assert [10_000, 10_060] in kept


def test_the_share_played_counts_what_was_heard_twice_once():
    assert played_share({"played": [[0, 2], [1, 3]]}, 6) == 0.5
    assert played_share({"played": [[0, 100]]}, 6) == 1.0
    assert played_share({"played": []}, 6) == 0.0
    assert played_share({}, 6) is None
    assert played_share({"played": [[0, 2]]}, None) is None
    assert joined([[5, 6], [0, 1], [1.04, 2]]) == [(0.0, 2.0), (5.0, 6.0)]
