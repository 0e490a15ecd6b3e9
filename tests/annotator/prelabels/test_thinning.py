"""Thinning drops drafts with a reason, keeps their records out of a freeze, and can be taken back."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from annotator.checking.models import Record
from annotator.core.errors import Conflict, Forbidden, Invalid, NotFound
from annotator.core.models import AuditEntry
from annotator.prelabels.models import DescriptionDraft
from annotator.prelabels.rare import find_rare
from annotator.prelabels.thinning import thin_run, undo_thinning
from annotator.snapshots import services as snapshots
from tests.support.factories import (
    create_clip,
    create_clue,
    create_corpus,
    create_draft,
    create_member,
    create_prelabeller,
    create_record,
    create_run,
)

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "The woman lowers her brows, presses her lips together and looks away while her voice trembles and fades; "


@pytest.fixture
def run():
    return create_run(create_corpus(), finished_at=timezone.now())


def drafted(run: Any, name: str, **fields: Any) -> DescriptionDraft:
    return create_draft(create_clip(run.corpus, name), run=run, **fields)


def different(n: int) -> str:
    chooser = random.Random(n)
    return " ".join(f"{chooser.randrange(36**5):05d}" for _ in range(30))


def why(run: Any) -> dict[str, str]:
    rows = DescriptionDraft.objects.filter(job__run=run).values_list("clip__name", "dropped")
    return {name: dropped for name, dropped in rows if dropped}


def frozen(corpus: Any, name: str, tmp_path: Path, settings: Any) -> tuple[list[str], dict[str, Any]]:
    settings.SNAPSHOT_ROOT = tmp_path / "snapshots"
    snapshot = snapshots.freeze_snapshot(None, corpus, name, grade="coarse")
    lines = (snapshots.folder_of(snapshot) / "records.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["clip"] for line in lines], snapshot.manifest["counts"]


def test_a_cap_leaves_no_label_above_it_and_synonyms_of_both_languages_are_one(run):
    for n in range(6):
        drafted(run, f"en{n}", en=different(n), ov_en=("happy",))
    for n in range(6):
        drafted(run, f"zh{n}", zh="高兴" * n + "。", en="", ov_zh=("开心",))
    drafted(run, "rare", en=different(99), ov_en=("happy", "disgusted"))
    result = thin_run(run, cap=4)
    assert result["dropped"] == {"neutral": 0, "near_duplicates": 0, "cap": 9}
    assert result["labels"] == {"joy": {"before": 13, "after": 4}, "disgust": {"before": 1, "after": 1}}
    assert (result["drafts"], result["kept"]) == (13, 4)
    dropped = why(run)
    assert len(dropped) == 9
    assert "rare" not in dropped
    assert set(dropped.values()) == {"the label joy is on 4 clips already (seed 0)"}


def test_near_duplicates_keep_the_fuller_draft_and_name_it(run):
    drafted(run, "a", en=LONG * 2, zh="")
    drafted(run, "b", en=LONG * 2, zh="她压低眉毛。", ov_en=("sad",))
    drafted(run, "c", en=LONG * 2 + "and more.", zh="她压低眉毛。")
    drafted(run, "d", en=different(1), zh="")
    assert thin_run(run, near_duplicates=0.8)["dropped"]["near_duplicates"] == 2
    dropped = why(run)
    assert dropped["a"] == "near-duplicate of b (1.00)"
    assert dropped["c"].startswith("near-duplicate of b (0.9")


def test_a_share_of_neutral_clips_is_kept_also_by_pseudo_labels(run):
    measured = create_prelabeller("au-expression")
    for n in range(60):
        draft = drafted(run, f"n{n:02}", en=different(n), ov_en=("neutral",) if n % 2 else ())
        label = "neutral" if n < 40 else "happy"
        create_clue(draft.clip, prelabeller=measured, codes={"kind": "au", "aus": {}, "pseudo_label": label})
    result = thin_run(run, neutral_share=0.25, seed=3)
    neutral = {f"n{n:02}" for n in range(60) if n % 2 or n < 40}
    assert set(why(run)) <= neutral
    left = len(neutral) - result["dropped"]["neutral"]
    assert 5 <= left <= 20
    first = why(run)
    assert thin_run(run, neutral_share=0.25, seed=3)["kept"] == result["kept"]
    assert why(run) == first
    thin_run(run, neutral_share=0.25, seed=4)
    assert why(run).keys() != first.keys()


def test_only_the_newest_draft_of_a_clip_counts(run):
    clip = create_clip(run.corpus, "c")
    old = create_draft(clip, run=run, ov_en=("happy",))
    old.job.step = "coarse_template#1"
    old.job.save()
    create_draft(clip, run=run, en=different(1), ov_en=("sad",))
    assert thin_run(run, cap=1)["labels"] == {"sadness": {"before": 1, "after": 1}}


def test_a_dry_run_and_a_repetition_write_nothing_new(run):
    for n in range(5):
        drafted(run, f"c{n}", en=different(n), ov_en=("happy",))
    planned = thin_run(run, cap=2, dry_run=True)
    assert why(run) == {}
    done = thin_run(run, cap=2)
    assert {**planned, "dry_run": False} == done
    assert thin_run(run, cap=2) == done
    assert thin_run(run, cap=4)["kept"] == 4  # decided anew: what a tighter cap had dropped is back
    assert len(why(run)) == 1


def test_a_freeze_of_coarse_records_leaves_dropped_ones_out_and_counts_them(run, tmp_path, settings):
    for n in range(5):
        drafted(run, f"c{n}", en=different(n), ov_en=("happy",))
    imported = create_record(create_clip(run.corpus, "imported"), "coarse")
    assert imported.grade == "coarse"
    assert Record.objects.filter(grade="coarse").count() == 6
    thin_run(run, cap=2)
    names, counts = frozen(run.corpus, "thin", tmp_path, settings)
    assert len(names) == 3
    assert "imported" in names
    assert not set(names) & set(why(run))
    assert counts == {"records": 3, "in_no_split": 0, "left_out": 3}

    assert undo_thinning(run) == 3
    names, counts = frozen(run.corpus, "whole", tmp_path, settings)
    assert (len(names), counts["left_out"]) == (6, 0)


def test_a_record_of_a_later_run_is_not_left_out_for_an_earlier_draft(run, tmp_path, settings):
    draft = drafted(run, "c", ov_en=("happy",))
    drafted(run, "d", en=different(1), ov_en=("happy",))
    thin_run(run, cap=1)
    (name,) = why(run)
    clip = draft.clip if name == "c" else run.corpus.clips.get(name="d")
    create_draft(clip, run=create_run(run.corpus, finished_at=timezone.now()), en=different(7))
    assert sorted(frozen(run.corpus, "s", tmp_path, settings)[0]) == ["c", "d"]


@pytest.mark.parametrize(
    "rules", [{}, {"cap": 0}, {"near_duplicates": 0.2}, {"neutral_share": 1.5}, {"neutral_share": -0.1}]
)
def test_rules_that_mean_nothing_are_refused(run, rules):
    with pytest.raises(Invalid):
        thin_run(run, **rules)


def test_a_run_that_goes_on_is_not_thinned(run):
    run.finished_at = None
    run.save()
    with pytest.raises(Conflict):
        thin_run(run, cap=1)


def test_only_who_may_start_runs_may_thin_and_it_is_in_the_audit_trail(run):
    drafted(run, "c", ov_en=("happy",))
    for role in ("annotator", "viewer", "reviewer"):
        member = create_member(run.corpus, role)
        with pytest.raises((Forbidden, NotFound)):
            thin_run(run, cap=1, user=member)
        with pytest.raises((Forbidden, NotFound)):
            undo_thinning(run, user=member)
    manager = create_member(run.corpus, "manager")
    thin_run(run, cap=1, user=manager)
    undo_thinning(run, user=manager)
    entries = AuditEntry.objects.filter(actor=manager).order_by("pk").values_list("action", "target")
    assert list(entries)[-2:] == [("run.thin", str(run.pk)), ("run.unthin", str(run.pk))]


def command(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return found


def test_the_command_thins_and_takes_back(run):
    for n in range(4):
        drafted(run, f"c{n}", en=different(n), ov_en=("happy",))
    slug, number = run.corpus.slug, str(run.pk)
    assert command("thin", slug, "--run", number, "--cap", "1", "--dry-run")["dropped"]["cap"] == 3
    assert why(run) == {}
    assert command("thin", slug, "--run", number, "--cap", "1")["kept"] == 1
    assert command("thin", slug, "--run", number, "--undo") == {"run": run.pk, "taken_back": 3}
    for wrong in (["--run", "999999", "--cap", "1"], ["--run", number], ["--run", number, "--undo", "--cap", "1"]):
        with pytest.raises(CommandError) as caught:
            command("thin", slug, *wrong)
        assert caught.value.returncode == 2


def test_rare_emotions_are_found_in_clips_of_every_kind(run):
    disgusted = drafted(run, "label", en=different(1), ov_en=("repulsed",))
    drafted(run, "text", en="He looks away, disgusted by the smell.")
    drafted(run, "negated", en="She is not disgusted at all.")
    drafted(run, "happy", en=different(2), ov_en=("happy",))
    face = create_clip(run.corpus, "face")
    create_clue(face, prelabeller=create_prelabeller("au"), codes={"kind": "au", "aus": {"AU09": 1.0, "AU10": 2.0}})
    create_clip(run.corpus, "own", label="厌恶")
    assert {item["name"]: item["signs"] for item in find_rare(run.corpus, "disgust")} == {
        "face": ["AU09+AU10 (mean 1.5)"],
        "label": ["label repulsed"],
        "own": ["label 厌恶"],
        "text": ["text disgusted"],
    }
    disgusted.clip.withdrawn_at = timezone.now()
    disgusted.clip.save()
    found = command("find_rare", run.corpus.slug, "--label", "厌恶", "--limit", "2")
    assert (found["clips"], [item["name"] for item in found["found"]]) == (3, ["face", "own"])
    other = create_run(run.corpus, finished_at=timezone.now())
    in_run = command("find_rare", run.corpus.slug, "--label", "disgust", "--run", str(other.pk))
    assert [item["name"] for item in in_run["found"]] == ["face", "own"]
    with pytest.raises(CommandError) as caught:
        command("find_rare", run.corpus.slug, "--label", "smelly")
    assert caught.value.returncode == 2


def test_memory_stays_bounded_over_many_drafts(run, django_assert_max_num_queries):
    """Texts are read in pieces: what is kept of a draft is some hundred bytes, and queries go by the batch."""
    from annotator.clips.models import Clip
    from annotator.prelabels.models import Job

    count = 5000
    clips = Clip.objects.bulk_create([Clip(corpus=run.corpus, name=f"m{n:05}", media="none") for n in range(count)])
    jobs = Job.objects.bulk_create(
        [Job(run=run, clip=clip, step="coarse_template", position=0, state="done", attempts=1) for clip in clips]
    )
    by = create_prelabeller("coarse-template", kind="template")
    DescriptionDraft.objects.bulk_create(
        [
            DescriptionDraft(clip=job.clip, job=job, prelabeller=by, description_en=different(n), ov_en=["happy"])
            for n, job in enumerate(jobs)
        ]
    )
    with django_assert_max_num_queries(40):
        assert thin_run(run, cap=3000, near_duplicates=0.9)["kept"] == 3000
