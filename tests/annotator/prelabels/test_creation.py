"""A run's jobs: made in chunks whatever is killed, cancelled and queued again in chunks, for the clips chosen at its
start and no others."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import Sum
from django.utils import timezone

from annotator.clips.models import Clip, Corpus
from annotator.core.errors import Invalid
from annotator.prelabels import creation, invariants, selection, services, tallies
from annotator.prelabels.models import Job, Run, RunClip, RunTally
from annotator.prelabels.runs import close_ended
from tests.support.factories import create_clip, create_corpus, create_record

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "FIRST_CLIPS", 2)
    monkeypatch.setattr(creation, "CHUNK_CLIPS", 3)
    monkeypatch.setattr(creation, "CHUNK_JOBS", 4)
    monkeypatch.setattr(creation, "FIRST_JOBS", 4)


def corpus_of(clips: int, **fields: Any) -> Corpus:
    corpus = create_corpus()
    Clip.objects.bulk_create([Clip(corpus=corpus, name=f"c{n:03}", **fields) for n in range(clips)])
    return corpus


def extended(run: Run) -> Run:
    while not creation.extend(run.pk, 0):
        pass
    run.refresh_from_db()
    return run


def clips_of(run: Run) -> list[str]:
    return list(run.jobs.order_by("clip__name").values_list("clip__name", flat=True).distinct())


def check_tallies(run: Run) -> None:
    """The tallies say what the table of jobs says."""
    rows = Job.objects.filter(run=run)
    counted = {state: rows.filter(state=state).count() for state in tallies.STATES}
    assert tallies.totals(run)["counts"] == counted


def test_the_first_jobs_are_there_at_once_and_the_others_follow_in_chunks() -> None:
    run = services.create_run(None, corpus_of(10), "measured")
    assert run.jobs.count() == 6
    assert set(run.jobs.filter(ready=True).values_list("step", flat=True)) == {"measured_prosody", "au_expression"}
    assert (run.clips, run.planned_at) == (10, None)
    assert not creation.extend(run.pk, 0), "one chunk a turn, when there is no time for more"
    assert run.jobs.count() == 15
    run = extended(run)
    assert run.jobs.count() == 30
    assert run.planned_at is not None
    assert creation.extend(run.pk, 0), "there is nothing left to do"
    assert run.jobs.count() == 30
    check_tallies(run)


def test_the_number_of_queries_does_not_grow_with_the_clips(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(creation, "CHUNK_CLIPS", 2000)
    corpus = corpus_of(3000)
    with django_assert_max_num_queries(25):
        run = services.create_run(None, corpus, "emer")
    with django_assert_max_num_queries(30):
        extended(run)
    assert run.jobs.count() == 3000 * 6


def test_a_maker_that_dies_in_a_chunk_leaves_a_run_that_another_one_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = services.create_run(None, corpus_of(10), "measured")
    save, dying = creation._save, [True, False, True, False, True]

    def die(run: Run, *fields: str) -> None:
        if dying and dying.pop(0):
            raise KeyboardInterrupt
        save(run, *fields)

    monkeypatch.setattr(creation, "_save", die)
    deaths = 0
    for _ in range(20):
        try:
            if creation.extend(run.pk, 0):
                break
        except KeyboardInterrupt:
            deaths += 1
    assert deaths == 3
    assert run.jobs.count() == 30
    assert Job.objects.values("clip", "step").distinct().count() == 30
    check_tallies(run)


def test_two_makers_at_once_make_each_job_once(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = services.create_run(None, corpus_of(40), "measured")
    slow = creation._make_chunk
    monkeypatch.setattr(creation, "_make_chunk", lambda run, clips: (time.sleep(0.02), slow(run, clips)))

    def make() -> None:
        try:
            for _ in range(60):
                creation.extend(run.pk, 0)
        finally:
            connections.close_all()

    makers = [threading.Thread(target=make) for _ in range(3)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)
    extended(run)
    assert run.jobs.count() == 120
    check_tallies(run)


def test_clips_of_high_priority_come_first_and_none_is_passed_over_when_priorities_change() -> None:
    corpus = corpus_of(12)
    corpus.clips.filter(name__in=["c007", "c009"]).update(priority=5)
    run = services.create_run(None, corpus, prelabellers=["au_expression"])
    assert list(run.jobs.order_by("id").values_list("clip__name", flat=True)) == ["c007", "c009"]
    creation.extend(run.pk, 0)
    corpus.clips.filter(name="c011").update(priority=9)  # the cursor is past it now
    corpus.clips.filter(name="c007").update(priority=-1)  # it comes again
    extended(run)
    assert len(clips_of(run)) == 12
    assert run.jobs.count() == 12


def test_clips_that_come_later_are_not_part_of_the_run_and_withdrawn_ones_get_no_more_jobs() -> None:
    corpus = corpus_of(6)
    run = services.create_run(None, corpus, prelabellers=["au_expression"])
    create_clip(corpus, "later", priority=9)
    corpus.clips.filter(name="c005").update(withdrawn_at=timezone.now())
    assert clips_of(extended(run)) == ["c000", "c001", "c002", "c003", "c004"]
    assert run.clips == 6


def test_a_run_is_not_closed_while_its_jobs_are_being_made() -> None:
    run = services.create_run(None, corpus_of(5), prelabellers=["au_expression"])
    run.jobs.update(state="done", finished_at=timezone.now())
    close_ended()
    run.refresh_from_db()
    assert run.finished_at is None
    extended(run)
    assert run.finished_at is None
    run.jobs.update(state="done", finished_at=timezone.now())
    close_ended()
    run.refresh_from_db()
    assert run.state == "done"


def test_cancelling_answers_at_once_and_the_rest_is_cancelled_in_chunks() -> None:
    run = extended(services.create_run(None, corpus_of(10), prelabellers=["au_expression"]))
    run = services.cancel_run(None, run)
    assert (run.state, run.finished_at) == ("cancelled", None)
    assert tallies.totals(run)["counts"]["queued"] == 6
    assert creation.untended() == [run.pk], "the sweeper sees that there is something left to do"
    assert services.tend_run(run.pk)
    run.refresh_from_db()
    assert run.finished_at is not None
    assert tallies.totals(run)["counts"]["cancelled"] == 10
    assert creation.untended() == []
    check_tallies(run)


def test_a_run_that_is_cancelled_gets_no_more_jobs() -> None:
    run = services.create_run(None, corpus_of(10), prelabellers=["au_expression"])
    services.cancel_run(None, run)
    assert creation.extend(run.pk, 5)
    assert run.jobs.count() == 2


def test_a_chunk_that_a_cancellation_overtakes_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = services.create_run(None, corpus_of(10), prelabellers=["au_expression"])
    make = creation._insert

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        last = make(*args, **kwargs)
        Run.objects.filter(pk=run.pk).update(state="cancelled", planned_at=timezone.now())
        return last

    monkeypatch.setattr(creation, "_insert", overtaken)
    assert creation.extend(run.pk, 5)
    assert run.jobs.count() == 2


def test_retrying_many_goes_in_chunks_and_only_once() -> None:
    run = extended(services.create_run(None, corpus_of(9), prelabellers=["au_expression", "coarse_template"]))
    run.jobs.filter(step="au_expression").update(state="failed", reason="x", finished_at=timezone.now())
    run.jobs.filter(step="coarse_template").update(state="skipped", reason="no clue", finished_at=timezone.now())
    close_ended()
    run.refresh_from_db()
    assert run.state == "failed"
    assert services.retry_run(None, run) == 9
    run.refresh_from_db()
    assert (run.state, run.finished_at, run.planned_at) == ("running", None, None)
    first = tallies.totals(run)["counts"]
    assert (first["queued"], first["failed"]) == (8, 5)
    again = run.jobs.filter(state="queued", step="au_expression").first()
    Job.objects.filter(pk=again.pk).update(state="failed", reason="again", finished_at=timezone.now())
    run = extended(run)
    assert run.planned_at is not None
    assert run.retry_before is None
    counts = tallies.totals(run)["counts"]
    assert (counts["queued"], counts["failed"]) == (17, 1), "what fails anew meanwhile stays failed"
    ready = set(run.jobs.filter(state="queued", ready=True).values_list("step", flat=True))
    assert ready == {"au_expression", "coarse_template"}
    assert run.jobs.filter(state="queued", ready=True, step="coarse_template").count() == 1
    check_tallies(run)


def test_a_clip_that_was_filtered_out_stays_out_when_something_is_retried() -> None:
    run = services.create_run(None, corpus_of(1), prelabellers=["au_expression", "coarse_template"])
    run.jobs.filter(step="au_expression").update(state="failed", reason="x", finished_at=timezone.now())
    run.jobs.filter(step="coarse_template").update(state="skipped", reason="no face", error_code="filtered")
    assert services.retry_run(None, run) == 1
    assert run.jobs.get(step="coarse_template").state == "skipped"


def test_names_are_read_in_batches_from_any_iterator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "NAMES_AT_A_TIME", 3)
    corpus = corpus_of(8)
    read: list[str] = []

    def lines() -> Iterator[str]:
        for name in ["c001\n", "", " c003 ", "c001", "c005", "c006", "c007"]:
            read.append(name)
            yield name

    run = extended(services.create_run(None, corpus, prelabellers=["au_expression"], clip_names=lines()))
    assert clips_of(run) == ["c001", "c003", "c005", "c006", "c007"]
    assert (run.clips, run.selection) == (5, {"named": 5})
    assert len(read) == 7


def test_unknown_names_are_counted_and_the_first_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "NAMES_AT_A_TIME", 50)
    corpus = corpus_of(2)
    with pytest.raises(Invalid, match="x000.*\\(150 of the names given") as caught:
        services.create_run(None, corpus, clip_names=["c000", *(f"x{n:03}" for n in range(150))])
    assert len(caught.value.extra["unknown"]) == 100
    assert not Run.objects.exists()
    assert not RunClip.objects.exists()


def names(corpus: Corpus, **chosen: Any) -> list[str]:
    run = services.create_run(None, corpus, prelabellers=["au_expression"], only=chosen)
    return clips_of(extended(run))


def test_a_filter_chooses_by_what_is_known_of_clips() -> None:
    corpus = create_corpus()
    for name, speaker, seconds in (("a", "李雷", 2.0), ("b", "韩梅梅", 4.0), ("c", "李雷", 8.0), ("d", "Jim", None)):
        create_clip(corpus, name, speaker=speaker, duration=seconds, label="sad" if name < "c" else "happy")
    assert names(corpus, speaker="李雷") == ["a", "c"]
    assert names(corpus, speaker=["李雷", "Jim"], label="happy") == ["c", "d"]
    assert names(corpus, min_duration=3, max_duration=8) == ["b", "c"]
    run = services.create_run(None, corpus, clip_names=["a", "b"], only={"speaker": "李雷"})
    assert (run.clips, clips_of(run), run.selection) == (1, ["a"], {"named": 2, "speaker": ["李雷"]})


def test_a_filter_finds_clips_on_which_a_step_was_not_done_yet() -> None:
    corpus = corpus_of(3)
    done = services.create_run(None, corpus, prelabellers=["au_expression"], clip_names=["c000", "c001"])
    done.jobs.filter(clip__name="c000").update(state="done", step="au_expression~x", finished_at=timezone.now())
    done.jobs.filter(clip__name="c001").update(state="failed", reason="x", finished_at=timezone.now())
    assert names(corpus, without="au_expression") == ["c001", "c002"]


def test_a_filter_finds_clips_without_a_record() -> None:
    corpus = create_corpus()
    first, second = create_clip(corpus, "a"), create_clip(corpus, "b")
    create_record(first, "fine")
    assert names(corpus, without_record="fine") == ["b"]
    assert names(corpus, without_record="coarse") == ["a", "b"]
    assert second.name == "b"


def test_what_the_run_itself_does_does_not_change_its_clips() -> None:
    corpus = corpus_of(6)
    run = services.create_run(None, corpus, prelabellers=["au_expression"], only={"without": "au_expression"})
    run.jobs.update(state="done", finished_at=timezone.now())
    assert len(clips_of(extended(run))) == 6


def test_a_sample_depends_on_names_and_seed_alone() -> None:
    one, other = corpus_of(30), create_corpus()
    for name in sorted((clip.name for clip in one.clips.all()), reverse=True):
        Clip.objects.create(corpus=other, name=name)
    drawn = names(one, sample=8)
    assert len(drawn) == 8
    assert names(other, sample=8, seed=0) == drawn
    assert names(one, sample=8, seed=1) != drawn
    assert names(one, sample=99) == [clip.name for clip in one.clips.order_by("name")]


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ({"colour": "red"}, "no “colour”"),
        ({"without": "visual"}, "visual_clue"),
        ({"without_record": "gold"}, "coarse, fine"),
        ({"speaker": 5}, "text, or a list of texts"),
        ({"speaker": ["a\x00"]}, "text, or a list"),
        ({"sample": 0}, "whole number from 1"),
        ({"sample": "1e9"}, "whole number"),
        ({"seed": 3}, "a sample"),
        ({"min_duration": "nan"}, "seconds"),
        ({"max_duration": -1}, "seconds"),
        (["sample"], "an object"),
        ({"label": "nobody has it"}, "No clip"),
    ],
)
def test_a_wrong_filter_is_refused_and_says_what_is_allowed(only: Any, says: str) -> None:
    corpus = corpus_of(2)
    with pytest.raises(Invalid, match=says):
        services.create_run(None, corpus, only=only)
    assert not Run.objects.exists()


def test_a_filter_is_read_from_the_words_of_a_command() -> None:
    found = selection.from_words(["speaker=李雷", "speaker=a=b", "sample=3", "without-record=fine"])
    assert found == {"speaker": ["a=b", "李雷"], "sample": 3, "without_record": "fine"}
    for wrong in (["speaker"], ["sample=1", "sample=2"]):
        with pytest.raises(Invalid):
            selection.from_words(wrong)


def test_compacting_keeps_the_sums_beside_writers(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "COMPACT_ABOVE", 5)
    run = extended(services.create_run(None, corpus_of(30), prelabellers=["au_expression"]))
    ids = list(run.jobs.values_list("id", flat=True))

    def work() -> None:
        try:
            for pk in ids:
                Job.objects.filter(pk=pk).update(state="done", calls=2, prompt_tokens=7, finished_at=timezone.now())
        finally:
            connections.close_all()

    writer = threading.Thread(target=work)
    writer.start()
    gone = 0
    while writer.is_alive():
        gone += tallies.compact()
    writer.join()
    tallies.compact()
    found = tallies.totals(run)
    assert gone > 0
    assert (found["counts"]["done"], found["calls"], found["prompt_tokens"]) == (30, 60, 210)
    assert RunTally.objects.filter(run=run).count() <= 5
    assert RunTally.objects.filter(run=run, state="queued").aggregate(n=Sum("n"))["n"] in (None, 0)
    check_tallies(run)


def test_one_process_at_a_time_compacts(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "COMPACT_ABOVE", 0)
    services.create_run(None, corpus_of(2), "measured")
    answers: list[int] = []

    def compact() -> None:
        answers.append(tallies.compact())
        connection.close()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(tallies._LOCK)
        other = threading.Thread(target=compact)
        other.start()
        other.join(10)
    assert answers == [0]


MAKER = """
import sys
import django
django.setup()
from django.db import connections
connections["default"].settings_dict["NAME"] = sys.argv[1]
from annotator.prelabels import creation
creation.CHUNK_CLIPS = 20
print("made" if creation.extend(int(sys.argv[2]), 600) else "more", flush=True)
"""


def test_makers_killed_again_and_again_leave_no_gap_and_make_nothing_twice(transactional_db: None) -> None:
    corpus = corpus_of(4000)
    run = services.create_run(None, corpus, "measured")
    dice = random.Random(7)
    command = [sys.executable, "-c", MAKER, connection.settings_dict["NAME"], str(run.pk)]
    kills = 0
    for _ in range(3):
        maker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        before = run.jobs.count()
        while run.jobs.count() == before and maker.poll() is None:
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.05))
        kills += maker.poll() is None
        maker.kill()
        maker.communicate()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["made"]
    assert kills >= 2
    run.refresh_from_db()
    assert run.planned_at is not None
    assert run.jobs.count() == 12_000
    assert Job.objects.values("clip", "step").distinct().count() == 12_000
    check_tallies(run)


def test_nothing_is_judged_ready_while_a_cancelled_run_is_wound_up() -> None:
    run = services.create_run(None, corpus_of(2), "measured")  # 6 jobs, of which 4 are cancelled at once
    services.cancel_run(None, run)
    left = run.jobs.filter(state="queued")
    assert left.count() == 2
    assert not left.filter(ready=True, after__len__gt=0).exists(), "nobody will take it; judging costs"
    assert not [name for name, query in ready_promises() if broken(query)]
    check_tallies(run)
    assert creation.wind_up(run.pk)
    run.refresh_from_db()
    assert (run.jobs.filter(state="cancelled").count(), run.finished_at is None) == (6, False)


def test_ready_follows_every_other_change() -> None:
    corpus = corpus_of(2)
    going, gone, ending = (services.create_run(None, corpus, "measured") for _ in range(3))

    def last(run: Run) -> list[bool]:
        return list(run.jobs.filter(step="coarse_template").order_by("clip__name").values_list("ready", flat=True))

    def first_of(run: Run, clip: str) -> Any:
        return run.jobs.filter(clip__name=clip).exclude(step="coarse_template")

    first_of(going, "c000").filter(step="au_expression").update(state="done")
    assert last(going) == [False, False], "one of two is open"
    Run.objects.filter(pk=gone.pk).update(state="cancelled")
    both = Job.objects.filter(run__in=[going, gone], clip__name="c000", state="queued").exclude(step="coarse_template")
    both.update(state="cancelled")  # one statement over a run that goes on and one that does not
    assert last(going) == [True, False], "in a run that goes on, what comes after a cancelled job is ready"
    assert last(gone) == [False, False]
    first_of(going, "c000").filter(step="au_expression").update(state="queued", finished_at=None)
    assert last(going) == [False, False], "queued again, it is waited for again"
    first_of(going, "c000").update(state="skipped", reason="because")
    assert last(going) == [True, False]

    first_of(ending, "c001").update(state="running", lease_end=timezone.now())
    Run.objects.filter(pk=ending.pk).update(state="cancelled")
    first_of(ending, "c001").update(state="done", lease_end=None)
    assert last(ending) == [False, True], "what was at work when the run was cancelled has ended like any other"
    going.jobs.filter(step="coarse_template").update(state="queued", step="coarse_template#1")
    assert not [name for name, query in ready_promises() if broken(query)]


def ready_promises() -> list[tuple[str, str]]:
    return [(name, query) for _promise, name, query in invariants.QUERIES if "ready" in name]


def broken(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
