"""The figures of quality against figures that are counted here anew, from what was handed in, by other code.

A corpus as people leave it behind: two annotators, a reviewer who accepts, edits and returns, gold clips with planted
errors, the three arms, times and costs. Nothing is read back from the tables that the product counts.
"""

import random
from collections import defaultdict
from datetime import timedelta
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from annotator.checking import services
from annotator.checking.models import Annotation, CheckingRules, Claim, GoldItem, PlantedError, Slot
from annotator.checking.quality import people, reports, week
from annotator.clips.models import Corpus
from annotator.clips.services import withdraw_clip
from annotator.prelabels.models import Job
from models_ml.metrics.lexicon import group_of
from tests.support import factories as make

pytestmark = pytest.mark.django_db

CLIPS, GOLD, RATE, RESAMPLES = 45, 6, 24.0, 4_000
WORDS = ["happy", "joyful", "sad", "angry", "furious", "worried", "puzzle-box"]  # the last one is in no group
TEXTS = {"vlm": "The brows are drawn together.", "alm": "她的声音发抖，语速很慢。"}
CHANGED = {"vlm": "The brows are raised and drawn together.", "alm": "他的声音发抖，语速快。"}


class Handed:
    """One submission as it was handed in."""

    def __init__(self, clip: Any, user: Any, **facts: Any) -> None:
        self.clip, self.user = clip, user
        self.__dict__.update(facts)


def group(label: str) -> str:
    return group_of().get(label, label)


def masi(one: frozenset[str], other: frozenset[str]) -> float:
    common = one & other
    if one == other:
        monotone = 1.0
    elif one <= other or other <= one:
        monotone = 2 / 3
    else:
        monotone = 1 / 3 if common else 0.0
    return 1 - len(common) / len(one | other) * monotone


def alpha(units: list[list[Any]], distance: Any) -> float:
    """By the matrix of coincidences (Krippendorff 2011, C), not by sums over units."""
    units = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in units for value in unit}, key=repr)
    at = {value: index for index, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))
    for unit in units:
        for place, one in enumerate(unit):
            for beside, other in enumerate(unit):
                if place != beside:
                    coincidences[at[one], at[other]] += 1 / (len(unit) - 1)
    totals = coincidences.sum(axis=1)
    apart = np.array([[distance(one, other) for other in values] for one in values])
    expected = (np.outer(totals, totals) - np.diag(totals)) / (totals.sum() - 1)
    return float(1 - (coincidences * apart).sum() / (expected * apart).sum())


def scored(truth: list[str], guess: list[str]) -> tuple[float, float]:
    y, y_hat = {group(label) for label in truth}, {group(label) for label in guess}
    return len(y & y_hat) / len(y_hat), len(y & y_hat) / len(y)


def near(truth: list[str], guess: list[str]) -> float:
    return sum(scored(truth, guess)) / 2


def spread(values: list[float], others: list[float] | None = None) -> tuple[float, float]:
    """Edges of a percentile bootstrap of a mean, or of the difference of two, by other draws than the product's."""
    draws = np.random.default_rng(987)

    def means(these: list[float]) -> np.ndarray:
        return np.array([draws.choice(these, len(these)).mean() for _draw in range(RESAMPLES)])

    drawn = means(values) if others is None else means(values) - means(others)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def levenshtein(before: Any, after: Any) -> int:
    row = list(range(len(after) + 1))
    for index, one in enumerate(before, 1):
        last, row[0] = row[0], index
        for place, other in enumerate(after, 1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (one != other))
    return row[-1]


def close(value: float | None, wanted: float | None, off: float = 2e-4) -> None:
    if wanted is None:
        assert value is None
    else:
        assert value == pytest.approx(wanted, abs=off)


def hand_in(rng: random.Random, clip: Any, user: Any, arm: str, planted: str = "") -> Handed:
    """Claim the clip in this arm (or take up what was returned) and hand in something drawn."""
    claim = Claim.objects.filter(clip=clip, user=user).first() or services.claim_clip(user, clip)
    Claim.objects.filter(pk=claim.pk).update(arm=arm, created_at=timezone.now() - timedelta(hours=1))
    if arm == "none":
        Claim.objects.filter(pk=claim.pk).update(offered=[])
    offered = [] if arm == "none" else list(clip.clues.order_by("id"))
    body = make.make_body(offered, label=rng.choice(["happy", "sad", "angry"]))
    body["ov_labels"] = {"zh": [], "en": rng.sample(WORDS, rng.randint(1, 3))}
    if planted:
        body["clues"][0]["text"] = planted
    reading = len(planted or TEXTS["vlm"]) / people.ENGLISH_PER_S + len(TEXTS["alm"]) / people.CHINESE_PER_S
    verdicts, told = {}, {}
    careless = rng.random() < 0.4
    for item, clue in zip(body["clues"], offered, strict=True):
        name = clue.prelabeller.name
        item["verdict"] = "kept" if careless else rng.choice(["kept", "corrected", "rejected"])
        if item["verdict"] == "corrected":
            item["text"] = CHANGED[name]
        if item["verdict"] == "rejected":
            item["reason"] = rng.choice(["not_there", "other:zu leise"])
        verdicts[name] = (item["verdict"], item.get("reason", ""))
        told[name] = {"active_s": rng.choice([0, 4.0]), "played": rng.random() < 0.5}
    added = bool(not careless and rng.random() < 0.3)
    if added:
        facts = {"modality": "text", "aspect": "content", "language": "en", "text": "He complains.", "span": None}
        body["clues"].append({"id": None, **facts, "verdict": "added"})
    end = round(rng.uniform(0, clip.duration), 2)
    active = round(rng.uniform(2, 90), 2)
    by_clue = {str(clue.pk): told[clue.prelabeller.name] for clue in offered}
    body["work"] = {"active_s": active, "played": [[0, end]], "clues": by_clue}
    answer = services.submit(user, claim.pk, body)
    return Handed(
        clip, user, arm=arm, labels=body["ov_labels"]["en"], label=body["label"], verdicts=verdicts, told=told,
        added=added, active=active, played=end / clip.duration, annotation=answer["annotation"], claim=claim.pk,
        reading=reading,
    )  # fmt: skip


def new_clip(corpus: Corpus, run: Any, rng: random.Random, costs: dict[int, dict[str, float]]) -> Any:
    clip = make.create_clip(corpus, duration=round(rng.uniform(2, 9), 2))
    costs[clip.pk] = {name: round(rng.uniform(0, 0.4), 3) for name in ("vlm", "alm", "other")}
    for position, (name, cost) in enumerate(costs[clip.pk].items(), 1):
        job = Job.objects.create(run=run, clip=clip, step=name, position=position, state="done", cost=cost)
        if name == "vlm":
            make.create_clue(clip, TEXTS[name], prelabeller=name, job=job)
        if name == "alm":
            facts = {"modality": "audio", "aspect": "tone", "language": "zh"}
            make.create_clue(clip, TEXTS[name], prelabeller=name, job=job, **facts)
    return clip


def answer_gold(corpus: Corpus, clip: Any, user: Any, rng: random.Random) -> tuple[Handed, list[str], str]:
    """A gold clip with an error planted into its first clue, answered; the gold labels."""
    labels, label = rng.sample(WORDS, 2), rng.choice(["happy", "sad"])
    revision = make.create_record(clip, ov_labels={"zh": [], "en": labels}, label=label).current
    item = GoldItem.objects.create(corpus=corpus, clip=clip, purpose="check", revision=revision)
    clue = clip.clues.get(prelabeller__name="vlm")
    text = TEXTS["vlm"].replace("drawn together", "raised")
    error = PlantedError.objects.create(gold=item, clue=clue, rule="brows", language="en", text=text)
    claim = services.claim_clip(user, clip)
    Slot.objects.filter(clip=clip).exclude(pk=claim.slot_id).delete()
    Slot.objects.filter(pk=claim.slot_id).update(kind="gold")
    Claim.objects.filter(pk=claim.pk).update(planted=error)
    return hand_in(rng, clip, user, "shown", text), labels, label


@pytest.fixture
def lab() -> Any:
    rng = random.Random(20241)
    corpus = make.create_corpus("lab", overlap=2)
    CheckingRules.objects.create(corpus=corpus, hourly_rate=RATE, currency="EUR")
    anna, ben = (make.create_member(corpus, user=make.create_user(name)) for name in ("anna", "ben"))
    rui = make.create_member(corpus, "reviewer", make.create_user("rui"))
    run, costs = make.create_run(corpus), {}
    said, drafted, accepted, returned = [], {}, {}, []
    for number in range(CLIPS):
        clip = new_clip(corpus, run, rng, costs)
        drafted[clip.pk] = rng.sample(WORDS, 2)
        make.create_draft(clip, ov_en=tuple(drafted[clip.pk]))
        if number == CLIPS - 1:
            said.append(hand_in(rng, clip, anna, "shown"))  # whom nobody followed
            continue
        both = [hand_in(rng, clip, user, rng.choice(["shown", "blind", "none"])) for user in (anna, ben)]
        if number == 0:
            withdraw_clip(make.create_member(corpus, "manager"), clip, "consent")
            continue
        if number % 9 == 1:
            turn = services.claim_clip(rui, clip, kind="review")
            services.decide(rui, turn.pk, decision="return", annotation_id=both[1].annotation, reason="Again.")
            returned.append("ben")
            both[1] = hand_in(rng, clip, ben, both[1].arm)
        said += both
        if number % 3:
            turn, _made = services.claim_next(rui, corpus, kind="review")
            chosen = next(one for one in said if one.clip.pk == turn.clip_id)
            services.decide(rui, turn.pk, decision="accept", annotation_id=chosen.annotation)
            accepted[turn.clip_id] = chosen.labels
    gold = []
    for number in range(GOLD):
        gold.append(answer_gold(corpus, new_clip(corpus, run, rng, costs), (anna, ben)[number % 2], rng))
    return locals()


def test_agreement_alpha_pairs_and_gold(lab: Any) -> None:
    found = reports.counted(lab["corpus"], "dashboard", 30)["agreement"]
    answers: dict[int, list[Handed]] = defaultdict(list)
    for one in lab["said"]:
        answers[one.clip.pk].append(one)
    units = [both for both in answers.values() if len(both) > 1]
    assert (found["clips"], found["sampled"]) == (len(units), len(units))
    sets = [[frozenset(one.labels) for one in both] for both in units]
    grouped = [[frozenset(map(group, one)) for one in both] for both in sets]
    close(found["label"]["alpha"], alpha([[one.label for one in both] for both in units], lambda a, b: float(a != b)))
    close(found["raw"]["alpha"], alpha(sets, masi))
    close(found["grouped"]["alpha"], alpha(grouped, masi))
    for key in ("label", "raw", "grouped"):
        assert found[key]["ci95"][0] < found[key]["alpha"] < found[key]["ci95"][1]
    pairs = [near(one.labels, other.labels) for both in units for one, other in combinations(both, 2)]
    close(found["pairs"]["avg"], float(np.mean(pairs)))
    assert found["pairs"]["ci95"] == pytest.approx(spread(pairs), abs=0.03)
    for person in ("anna", "ben"):
        own = [
            scored(other.labels, one.labels)
            for both in units
            for one in both
            for other in both
            if one is not other and one.user.username == person
        ]
        row = found["pairs"]["by_annotator"][str(lab[person].pk)]
        close(row["accuracy"], float(np.mean([each[0] for each in own])))
        close(row["recall"], float(np.mean([each[1] for each in own])))
    against = [scored(labels, one.labels) for one, labels, _label in lab["gold"]]
    close(found["gold"]["accuracy"], float(np.mean([each[0] for each in against])))
    close(found["gold"]["recall"], float(np.mean([each[1] for each in against])))
    close(found["gold"]["label_same"], float(np.mean([one.label == label for one, _labels, label in lab["gold"]])))


def test_what_became_of_each_prelabellers_clues(lab: Any) -> None:
    rows = {row["prelabeller"]: row for row in reports.counted(lab["corpus"], "quality", 30)["prelabellers"]}
    words = {"vlm": lambda text: text.replace(".", " .").split(), "alm": list}
    for name, row in rows.items():
        told = [(one.verdicts[name], one.told[name]) for one in lab["said"] if name in one.verdicts]
        did = [verdict for (verdict, _reason), _told in told]
        assert row["judged"] == len(did)
        assert {key: row[key] for key in ("kept", "corrected", "rejected")} == {
            key: did.count(key) for key in ("kept", "corrected", "rejected")
        }
        unseen = [t for (verdict, _r), t in told if verdict == "kept" and not t["played"] and t["active_s"] == 0]
        assert row["unseen"] == len(unseen)
        before, after = TEXTS[name], CHANGED[name]
        close(row["characters"], levenshtein(before, after))
        close(row["characters_share"], levenshtein(before, after) / max(len(before), len(after)))
        ours, theirs = words[name](before), words[name](after)
        close(row["words"], levenshtein(ours, theirs))
        close(row["words_share"], levenshtein(ours, theirs) / max(len(ours), len(theirs)))
        reasons = [reason.partition(":")[0] for (_verdict, reason), _told in told if reason]
        assert row["reasons"] == {code: reasons.count(code) for code in set(reasons)}
    assert set(rows) == {"vlm", "alm"}


def test_how_far_suggestions_pull(lab: Any) -> None:
    found = reports.counted(lab["corpus"], "quality", 30)["anchoring"]
    by_arm: dict[str, list[Handed]] = defaultdict(list)
    for one in lab["said"]:
        by_arm[one.arm].append(one)
    close_to = {arm: [near(lab["drafted"][o.clip.pk], o.labels) for o in ones] for arm, ones in by_arm.items()}
    assert {row["arm"] for row in found["arms"]} == set(by_arm) == {"shown", "blind", "none"}
    for row in found["arms"]:
        ones = by_arm[row["arm"]]
        assert (row["annotations"], row["compared"]) == (len(ones), len(ones))
        close(row["similarity"], float(np.mean(close_to[row["arm"]])))
        assert [row["low"], row["high"]] == pytest.approx(spread(close_to[row["arm"]]), abs=0.04)
        did = [verdict for one in ones for verdict, _reason in one.verdicts.values()]
        close(row["kept_share"], did.count("kept") / len(did) if did else None)
        assert row["added"] == sum(one.added for one in ones)
        close(row["active_median_s"], float(np.median([one.active for one in ones])))
    assert [(pull["of"], pull["against"]) for pull in found["pull"]] == [
        ("shown", "none"), ("shown", "blind"), ("blind", "none"),
    ]  # fmt: skip
    for pull in found["pull"]:
        one, other = close_to[pull["of"]], close_to[pull["against"]]
        close(pull["difference"], float(np.mean(one) - np.mean(other)))
        assert [pull["low"], pull["high"]] == pytest.approx(spread(one, other), abs=0.04)
        assert pull["few"] == (min(len(one), len(other)) < 20)


def test_each_annotators_own_figures(lab: Any) -> None:
    rows = {row["annotator"]: row for row in reports.counted(lab["corpus"], "dashboard", 30)["people"]}
    assert set(rows) == {"anna", "ben"}
    for name, row in rows.items():
        golden = [one for one, _labels, _label in lab["gold"] if one.user.username == name]
        own = [one for one in lab["said"] if one.user.username == name] + golden
        judged = [one for one in own if one.verdicts]
        stamped = [o for o in judged if not o.added and all(verdict == "kept" for verdict, _r in o.verdicts.values())]
        caught = [one.verdicts["vlm"][0] != "kept" for one in golden]
        assert (row["annotations"], row["gold"]) == (len(own), len(golden))
        assert (row["planted"], row["caught"]) == (len(golden), sum(caught))
        close(row["catch"], float(np.mean(caught)))
        close(row["played_share"], float(np.mean([one.played for one in own])))
        close(row["active_median_s"], float(np.median([one.active for one in own])))
        close(row["active_hours"], sum(one.active for one in own) / 3600)
        assert row["returned"] == lab["returned"].count(name)
        untouched = len(stamped) / len(judged)
        unplayed = 1 - float(np.mean([one.played for one in stamped]))
        hurry = [1 - min(1, one.active / (one.clip.duration + one.reading)) for one in stamped]
        close(row["untouched_share"], untouched)
        close(row["unplayed"], unplayed)
        close(row["speed"], float(np.mean(hurry)))
        close(row["stamp"], untouched * unplayed * float(np.mean(hurry)), 5e-4)
        assert ("stamp" in row["flags"]) == (untouched * unplayed * np.mean(hurry) >= people.STAMP)


def test_time_and_money_of_a_record(lab: Any) -> None:
    found = reports.counted(lab["corpus"], "dashboard", 30)
    took: dict[int, float] = defaultdict(float)
    for one in lab["said"]:
        took[one.clip.pk] += one.active
    clips = list(lab["accepted"])

    def wanted(row: Any, clips: list[int], paid: float) -> None:
        minutes = float(np.mean([took[clip] for clip in clips])) / 60
        assert (row["records"], row["told"]) == (len(clips), len(clips))
        close(row["minutes"], minutes)
        close(row["people_money"], minutes / 60 * RATE)
        close(row["prelabel_money"], paid / len(clips))
        close(row["money"], minutes / 60 * RATE + paid / len(clips))

    wanted(found["costs"]["all"], clips, sum(sum(lab["costs"][clip].values()) for clip in clips))
    used = {one.clip.pk for one in lab["said"] if one.verdicts}
    for row in found["costs"]["prelabellers"]:
        if row["prelabeller"] == "-":
            wanted(row, [clip for clip in clips if clip not in used], 0.0)
        else:
            with_it = [clip for clip in clips if clip in used]
            wanted(row, with_it, sum(lab["costs"][clip][row["prelabeller"]] for clip in with_it))
    assert found["progress"]["fine"] == len(clips) + GOLD
    assert found["throughput"][-1]["annotations"] == 2 * (CLIPS - 1) + 1
    assert found["throughput"][-1]["reviews"] == len(clips) + len(lab["returned"])


def test_my_week(lab: Any) -> None:
    for name in ("anna", "ben"):
        found = week.figures(lab[name], lab["corpus"], 7)
        own = [one for one in lab["said"] if one.user.username == name]
        own_gold = [one for one, _labels, _label in lab["gold"] if one.user.username == name]
        compared = [near(lab["accepted"][one.clip.pk], one.labels) for one in own if one.clip.pk in lab["accepted"]]
        assert found["agreement"]["n"] == len(compared)
        close(found["agreement"]["avg"], float(np.mean(compared)))
        assert found["agreement"]["ci95"] == pytest.approx(spread(compared), abs=0.04)
        withdrawn = Annotation.objects.filter(user=lab[name], clip__withdrawn_at__isnull=False)
        assert found["totals"]["clips"] == len(own) + len(own_gold) + withdrawn.count()
        minutes = sum(one.active for one in [*own, *own_gold]) / 60 + sum(a.active_seconds or 0 for a in withdrawn) / 60
        close(found["totals"]["minutes"], minutes, 1e-3)
