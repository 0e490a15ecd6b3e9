"""Every run x split with its intervals and how it was scored, the paper beside it, files, two runs compared."""

import csv
import io
import random
from pathlib import Path

import pytest
from django.test import Client

from annotator.experiments import comparing, discovery, drawing, paper, queries, results
from annotator.experiments.models import Evaluation
from annotator.snapshots.models import Snapshot
from tests.annotator.experiments.written import write_evaluation, write_run
from tests.support.factories import create_member, create_user

pytestmark = pytest.mark.django_db
PAGE = "/experiments/results/"


@pytest.fixture
def runs(snapshot: Snapshot, settings) -> Path:
    return Path(settings.RUNS_ROOT)


@pytest.fixture
def client(snapshot: Snapshot) -> Client:
    client = Client()
    client.force_login(create_member(snapshot.corpus, "viewer"))
    return client


def table(client: Client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"{PAGE}table.csv{query}")
    assert answer["Content-Disposition"] == "attachment; filename=results.csv"
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def pk_of(run: str, **report: object) -> int:
    return Evaluation.objects.get(training_run__name=run, **{f"report__{k}": v for k, v in report.items()}).pk


def test_a_row_has_its_figures_intervals_and_how_they_were_made(client: Client, snapshot: Snapshot, runs: Path) -> None:
    folder = write_run(runs / "a|b", snapshot.digest)
    write_evaluation(folder, "1", avg=0.625, grouping="llm:gpt", extraction="direct", route="two-step",
                     snapshot={"digest": snapshot.digest, "name": "v1"})  # fmt: skip
    page = client.get(PAGE).content.decode()
    assert page.count("62.50 [52.5, 72.5]") == 3  # the strip says them to who does not see it
    assert page.count('62.50 <span class="results-interval">[52.5, 72.5]</span>') == 3
    for said in ("llm:gpt", "direct", "two-step", "study/v1"):
        assert said in page
    row, *rest = table(client)
    assert (row["run"], row["avg"], row["avg_low"], row["grouping"]) == ("a|b", "0.625000", "0.525000", "llm:gpt")
    assert row["digest"] == snapshot.digest
    assert {one["source"] for one in rest} == {"arXiv 2407.07653 table 4", "arXiv 2407.07653 table 8"}
    told = client.get(f"{PAGE}table.md?paper=0").content.decode()
    assert "| a\\|b | tiny-stage2 | study/v1 | test | 3 | 62.50 \\[52.5, 72.5\\] |" in told
    assert "arXiv" not in told


def test_the_papers_rows_are_its_own_and_marked(client: Client) -> None:
    best = next(row for row in paper.rows() if row.model == "AffectGPT|init=random|stage1=50-epoch|stage2=best")
    assert (best.table, best.accuracy, best.recall, round(best.avg, 4)) == ("4", 0.6429, 0.6586, 0.6508)
    assert [row.table for row in paper.rows()].count("4") == 12
    assert [row.table for row in paper.rows()].count("8") == 21
    for row in paper.rows():
        assert abs(row.avg - (row.accuracy + row.recall) / 2) < 1e-4
    page = client.get(PAGE).content.decode()
    assert "not to be compared number by number" in page
    assert "EMER(Multi)" in page
    assert "Nothing evaluated yet" in page


def test_of_repeated_evaluations_the_newest_counts_and_epochs_only_where_there_is_nothing_else(
    client: Client, snapshot: Snapshot, runs: Path
) -> None:
    folder = write_run(runs / "a", snapshot.digest)
    write_evaluation(folder, "1", avg=0.1, finished="2026-01-01T00:00:00+00:00")
    write_evaluation(folder, "2", avg=0.2, finished="2026-01-02T00:00:00+00:00")
    write_evaluation(folder, "3", avg=0.3, finished="2026-01-01T12:00:00+00:00")
    write_evaluation(folder, "4", avg=0.4, during_training=True, epoch=4.0, finished="2026-02-01T00:00:00+00:00")
    write_evaluation(folder, "5", avg=0.5, grouping="none")  # another way: another row
    write_evaluation(folder, "6", split="train", avg=0.6, during_training=True, epoch=1.0, finished="1")
    write_evaluation(folder, "7", split="train", avg=0.7, during_training=True, epoch=2.0, finished="2")
    assert [(row["split"], row["avg"][:3]) for row in table(client, "?paper=0")] == [
        ("test", "0.5"), ("test", "0.2"), ("train", "0.7"),
    ]  # fmt: skip
    assert len(table(client, "?paper=0&all=1")) == 7
    page = client.get(PAGE).content.decode()
    assert "epoch 2" in page
    assert "while it trained" in page


def test_the_table_is_filtered_by_snapshot_split_and_config(client: Client, snapshot: Snapshot, runs: Path) -> None:
    for name, config in (("a", "tiny"), ("b", "small")):
        folder = write_run(runs / name, snapshot.digest, config_name=config)
        for split in ("test", "train"):
            write_evaluation(folder, split, split=split)
    assert len(table(client, "?paper=0")) == 4
    assert [(row["run"], row["split"]) for row in table(client, "?paper=0&config=small&split=train")] == [
        ("b", "train")
    ]
    assert len(table(client, "?paper=0&snapshot=study/v1&config=nothing")) == 4  # an unknown value filters nothing
    page = client.get(f"{PAGE}?split=train").content.decode()
    assert '<option value="train" selected>' in page
    assert "table.csv?split=train" in page


def test_a_leak_stands_beside_its_figure(client: Client, snapshot: Snapshot, runs: Path) -> None:
    folder = write_run(runs / "a", snapshot.digest)
    write_evaluation(folder, "1", leak="leak: 3 of 3 clips under test were seen in training <b>")
    page = client.get(PAGE).content.decode()
    assert 'title="leak: 3 of 3 clips under test were seen in training &lt;b&gt;"' in page
    assert table(client)[0]["leak"].startswith("leak: 3 of 3")


@pytest.mark.parametrize("report", [
    {"ci95": None}, {"ci95": {"avg": [None, 1]}}, {"accuracy": None}, {"avg": 7.5}, {"avg": -1.0}, {"n": None},
    {"epoch": "x"}, {"grouping": {"a": 1}}, {"snapshot": 5}, {"predictions": "../../../etc/passwd"}, {"split": 3},
])  # fmt: skip
def test_a_report_of_another_hand_breaks_nothing(client: Client, snapshot: Snapshot, runs: Path, report: dict) -> None:
    folder = write_run(runs / "a", snapshot.digest)
    write_evaluation(folder, "1", **report)
    write_evaluation(folder, "2", split="train")
    for address in (PAGE, f"{PAGE}table.csv", f"{PAGE}table.md"):
        assert client.get(address).status_code == 200
    first, second = Evaluation.objects.order_by("id").values_list("pk", flat=True)
    page = client.get(f"{PAGE}?a={first}&b={second}").content.decode()
    assert "keeps no scores by clip" in page
    assert client.get(f"/experiments/{Evaluation.objects.first().training_run_id}/").status_code == 200


def test_nobody_sees_figures_of_a_corpus_that_is_not_theirs(snapshot: Snapshot, runs: Path) -> None:
    write_evaluation(write_run(runs / "secret-run", snapshot.digest), "1")
    discovery.discover()
    stranger = Client()
    stranger.force_login(create_user())
    for address in (PAGE, f"{PAGE}table.csv", f"{PAGE}table.md", f"{PAGE}?a={pk_of('secret-run')}&b=1"):
        assert "secret-run" not in stranger.get(address).content.decode()


def test_strips_are_drawn_within_their_box() -> None:
    lanes = drawing.lanes([(0.5, (0.25, 0.75)), (None, None), (1.5, (-1.0, 2.0))])
    assert [lane.metric for lane in lanes] == ["accuracy", "avg"]
    assert lanes[0].low == drawing.place(0.25)
    for lane in lanes:
        assert drawing.PAD <= lane.low <= lane.x <= lane.high <= drawing.WIDTH - drawing.PAD
    drawn, end = drawing.differences([(0.03, (-0.01, 0.07))])
    assert end == 10.0
    assert drawn[0].low < drawn[0].zero < drawn[0].x < drawn[0].high


def test_curves_by_epoch_are_those_of_training(client: Client, snapshot: Snapshot, runs: Path) -> None:
    from training.curves import smooth

    folder = write_run(runs / "a", snapshot.digest, config={"evaluate": {"smoothing": 0.5}})
    for epoch in range(1, 5):
        for split in ("test", "train"):
            write_evaluation(folder, f"{split}{epoch}", split=split, avg=epoch / 10, epoch=float(epoch),
                             during_training=True, finished=f"2026-01-0{epoch}")  # fmt: skip
    discovery.discover()
    pk = Evaluation.objects.first().training_run_id
    answer = client.get(f"/experiments/{pk}/")
    found = answer.context["curves"]
    assert [one["split"] for one in found["metrics"]["avg"]] == ["train", "test"]
    assert found["metrics"]["avg"][0]["smoothed"] == smooth([0.1, 0.2, 0.3, 0.4], 0.5)
    assert "weight 0.5, debiased as in TensorBoard" in answer.content.decode()


def scores(seed: int, shift: float, n: int = 80) -> dict[str, tuple[float, float]]:
    dice = random.Random(seed)
    base = random.Random(0)
    found = {}
    for number in range(n):
        common = base.uniform(0.2, 0.6)
        found[f"c{number}"] = (common + shift + dice.uniform(0, 0.1), common + shift + dice.uniform(0, 0.1))
    return found


def test_two_runs_are_compared_over_the_clips_that_both_have(client: Client, snapshot: Snapshot, runs: Path) -> None:
    ours = scores(1, 0.0)
    better = {**scores(2, 0.2), "only-b": (1.0, 1.0)}
    for name, found in (("a", ours), ("b", better), ("c", scores(3, 0.0))):
        write_evaluation(write_run(runs / name, snapshot.digest), "1", scores=found)
    discovery.discover()
    a, b, c = (pk_of(name) for name in "abc")
    answer = client.get(f"{PAGE}?a={a}&b={b}")
    told = answer.context["comparison"]
    assert (told["n"], told["only_a"], told["only_b"]) == (80, 0, 1)
    for line in told["lines"]:
        assert line["difference"] == pytest.approx(0.2, abs=0.03)
        assert line["low"] < line["difference"] < line["high"]
        assert line["told"]
    assert "b minus a, over 80 clips" in answer.content.decode()
    same = client.get(f"{PAGE}?a={a}&b={c}").context["comparison"]
    assert not any(line["told"] for line in same["lines"])
    assert "different evaluations" in client.get(f"{PAGE}?a={a}&b={a}").content.decode()


def test_what_was_scored_differently_or_on_other_clips_is_said(client: Client, snapshot: Snapshot, runs: Path) -> None:
    write_evaluation(write_run(runs / "a", snapshot.digest), "1", scores=scores(1, 0.0))
    write_evaluation(write_run(runs / "b", snapshot.digest), "1", scores=scores(2, 0.0), grouping="none")
    far = {f"far{n}": (0.5, 0.5) for n in range(9)}
    write_evaluation(write_run(runs / "c", snapshot.digest), "1", scores=far)
    discovery.discover()
    a, b, c = (pk_of(name) for name in "abc")
    assert "not scored in the same way" in client.get(f"{PAGE}?a={a}&b={b}").content.decode()
    assert "have 0 clips in common" in client.get(f"{PAGE}?a={a}&b={c}").content.decode()


def test_rows_are_read_in_one_query(snapshot: Snapshot, runs: Path, django_assert_num_queries) -> None:
    for number in range(5):
        write_evaluation(write_run(runs / f"r{number}", snapshot.digest), "1")
    discovery.discover()
    admin = create_user(is_superuser=True)
    with django_assert_num_queries(1):
        found = results.rows(queries.evaluations_visible_to(admin))
        assert len({row.snapshot for row in found}) == 1
    assert comparing.FEW == 2
