"""Whose face a clip is about: the people seen in it, the corpus's rule, and what somebody chose.

What a person says stands until somebody takes it back. A rule's choice is kept with the rule's name; where the corpus's
rule was changed since, the choice is made anew when it is next asked for.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Gone, Invalid
from models_ml.face import AuTrack as Track
from models_ml.face import AuTrackError, peak, read_person
from models_ml.face.boxes import overlap_over_time
from models_ml.face.track import SAME_FACE

from . import hooks, media
from .access import may, require
from .models import PERSON_RULES, AuTrack, Clip, Corpus, SeenPerson, TargetPerson
from .signals import person_chosen

ASK = "none"  # the rule that waits for a person
logger = structlog.get_logger(__name__)


def by_rule(people: Sequence[SeenPerson], rule: str) -> int | None:
    """The number of the person whom `rule` means; of equals the one with the smaller number. None: nobody."""
    if not people or rule == ASK:
        return None

    def middle(person: SeenPerson) -> float:
        return sum(box[1] + box[3] / 2 for box in person.boxes) / len(person.boxes) if person.boxes else 0.5

    keys = {
        "largest": lambda p: (-p.presence * (1.0 if p.area is None else p.area), p.number),
        "longest": lambda p: (-p.presence, p.number),
        "most_central": lambda p: (abs(middle(p) - 0.5), p.number),
        "leftmost": lambda p: (middle(p), p.number),
        "rightmost": lambda p: (-middle(p), p.number),
    }
    return min(people, key=keys[rule]).number


def for_clips(clips: Iterable[Clip]) -> dict[int, dict[str, Any]]:
    """Clip id -> who is meant, as `models_ml.steps.Evidence.person` wants it; in three queries however many clips.

    Clips in which one person or nobody is seen, and those for which nobody was chosen, are left out. Clips come with
    their corpus. Stores what a rule decides here for the first time.
    """
    wanted = {clip.pk: clip for clip in clips}
    people: dict[int, list[SeenPerson]] = {}
    for row in SeenPerson.objects.filter(clip__in=wanted).order_by("clip_id", "number"):
        people.setdefault(row.clip_id, []).append(row)
    several = {pk: seen for pk, seen in people.items() if len(seen) > 1}
    if not several:
        return {}
    stored = {row.clip_id: row for row in TargetPerson.objects.filter(clip__in=several)}
    found: dict[int, dict[str, Any]] = {}
    new: list[TargetPerson] = []
    moved: list[int] = []
    for pk, seen in several.items():
        old, rule = stored.get(pk), wanted[pk].corpus.person_rule
        number = _current(old, seen, rule)
        if number is None:
            continue
        same = old is not None and old.number == number
        if old is None or not same or old.rule not in ("", rule):
            new.append(TargetPerson(clip_id=pk, number=number, rule=rule))
            moved += [] if same else [pk]
        found[pk] = _as_evidence(next(person for person in seen if person.number == number))
    if new:
        _keep(new, moved)
    return found


def for_clip(clip: Clip) -> dict[str, Any] | None:
    """Who is meant in this clip (see `for_clips`), None where there is no question or no answer."""
    return for_clips([clip]).get(clip.pk)


def target(clip: Clip) -> int | None:
    """The number of the person whom the clip is about, without writing anything; None as `for_clip`."""
    seen = list(clip.people.all())
    if len(seen) < 2:
        return None
    return _current(TargetPerson.objects.filter(clip=clip).first(), seen, clip.corpus.person_rule)


def told(clip: Clip) -> dict[str, Any]:
    """`{rule, people: [{number, place, span, presence, area, boxes}], target, by: the rule | "person" | None}`."""
    number = target(clip)
    by = TargetPerson.objects.filter(clip=clip, rule="").values_list("number", flat=True).first()
    seen = [
        {
            **{key: getattr(each, key) for key in ("number", "place", "presence", "area", "boxes")},
            "span": [each.span_start, each.span_end],
        }
        for each in clip.people.all()
    ]
    rule = clip.corpus.person_rule
    chose = None if number is None else "person" if by == number else rule
    return {"rule": rule, "people": seen, "target": number, "by": chose}


def au_track(clip: Clip, person: dict[str, Any] | None) -> Track | None:
    """The action units of the chosen person (of the main face where nobody is chosen); None without a track.

    Raises AuTrackError (a broken file; a track of somebody else only), FileNotFoundError, Gone.
    """
    path = media.au_path(clip)
    return None if path is None else read_person(path, person, picture(clip))


def picture(clip: Clip) -> tuple[int, int] | None:
    """Width and height of the clip's picture in pixels, None where nobody looked."""
    width, height = clip.probe.get("width"), clip.probe.get("height")
    return (int(width), int(height)) if width and height else None


def is_of_somebody_else(parameters: dict[str, Any], modality: str, chosen: int | None) -> bool:
    """Whether a clue was made for another person than the one who is chosen now, by its provenance's `parameters`.

    Call it for clips with several people. A visual clue without a person was made when nobody was chosen.
    """
    made_for = parameters.get("person")
    if made_for is None:
        return modality == "visual" and chosen is not None
    return made_for != chosen


@transaction.atomic
def store_people(clip: Clip, seen: Sequence[dict[str, Any]], source: str) -> list[SeenPerson]:
    """Make `seen` (as `models_ml.face.people` gives it) the people of the clip; call it with the clip locked.

    The same again changes nothing. A face that lies where one lay before keeps its number, and with it what was chosen
    and what clues say of whom they speak; a new face gets a number that nobody had. Where the person whom somebody had
    chosen is not seen any more, the choice is dropped, which the audit trail tells.
    """
    old = list(SeenPerson.objects.filter(clip=clip).order_by("number"))
    new = [
        SeenPerson(
            clip=clip,
            number=number,
            source=source[:80],
            place=person["place"],
            span_start=person["span"][0],
            span_end=person["span"][1],
            presence=person["presence"],
            area=person["area"],
            boxes=person["boxes"],
        )
        for number, person in zip(_numbers(old, seen), seen, strict=True)
    ]
    new.sort(key=lambda person: person.number)
    if [_facts(person) for person in old] == [_facts(person) for person in new]:
        return old
    chosen = TargetPerson.objects.filter(clip=clip).first()
    SeenPerson.objects.filter(clip=clip).delete()
    new = SeenPerson.objects.bulk_create(new)
    if chosen is not None and chosen.rule:
        chosen.delete()
    elif chosen is not None and chosen.number not in [person.number for person in new]:
        chosen.delete()
        audit.record(None, "person.lost", corpus=clip.corpus.slug, target=clip.name, number=chosen.number)
    decided = for_clip(clip)
    if (old and decided is None) or (chosen is not None and not chosen.rule):
        _moved([clip.pk])
    return new


def _numbers(old: Sequence[SeenPerson], seen: Sequence[dict[str, Any]]) -> list[int]:
    """A number for each of `seen`: that of the old person whose place it has, else one that nobody had."""
    alike = []
    for before in old:
        for i, person in enumerate(seen):
            overlap = overlap_over_time(person["boxes"], before.boxes)
            start, end = person["span"]
            common = min(end, before.span_end) - max(start, before.span_start)
            if overlap >= SAME_FACE and common >= 0:  # who comes after another to the same place is somebody else
                alike.append((-overlap * (common + 0.01), before.number, i))
    kept: dict[int, int] = {}
    for _alike, number, i in sorted(alike):
        if i not in kept and number not in kept.values():
            kept[i] = number
    highest = max((person.number for person in old), default=0)
    return [kept.get(i) or (highest := highest + 1) for i in range(len(seen))]


@transaction.atomic
def choose_person(actor: Any, clip: Clip, number: int | None) -> int | None:
    """Say whom the clip is about; None takes back what was said, and the corpus's rule decides again.

    Returns the number that holds now. Raises Forbidden, NotFound (see `may_choose`), Gone, Invalid for a number that
    is none of the clip's people.
    """
    check_access(actor, clip, choose=True)
    locked = Clip.objects.select_for_update(no_key=True).select_related(None).get(pk=clip.pk)
    if locked.withdrawn_at:
        raise Gone(_("This clip was withdrawn."))
    numbers = list(SeenPerson.objects.filter(clip=clip).values_list("number", flat=True))
    if number is not None and number not in numbers:
        known = ", ".join(map(str, numbers)) or _("nobody")
        text = _("There is no person %(number)s in this clip. There are: %(known)s.")
        raise Invalid(text % {"number": number, "known": known}, errors={"number": [known]})
    before = target(clip)
    if number is None:
        TargetPerson.objects.filter(clip=clip, rule="").delete()
    else:
        values = {"number": number, "rule": "", "chosen_by": actor}
        TargetPerson.objects.update_or_create(clip=clip, defaults=values)
    after = target(clip)
    audit.record(actor, "person.choose", corpus=clip.corpus.slug, target=clip.name, number=number, before=before)
    if after != before:
        _moved([clip.pk])
    return after


@transaction.atomic
def set_rule(actor: Any, corpus: Corpus, rule: str) -> Corpus:
    """Set whom the corpus's clips are about where nobody said it. Raises Forbidden, NotFound, Invalid."""
    require(actor, corpus, "clip.ingest")
    known = [key for key, _name in PERSON_RULES]
    if rule not in known:
        raise Invalid(_("Unknown rule “%(rule)s”.") % {"rule": rule[:40]}, errors={"rule": [", ".join(known)]})
    if rule != corpus.person_rule:
        audit.record(actor, "corpus.person_rule", corpus=corpus.slug, target=corpus.slug, rule=rule)
        Corpus.objects.filter(pk=corpus.pk).update(person_rule=rule)
        corpus.person_rule = rule
    return corpus


def check_access(user: Any, clip: Clip, *, choose: bool = False) -> int | None:
    """Raise unless `user` may see the clip's people (or `choose` among them); the claim by which an annotator may.

    Reviewers and managers choose on every clip, an annotator on those that they hold; whoever browses clips sees.
    Raises NotFound to a stranger, Forbidden.
    """
    action = "person.choose" if choose else "clip.view"
    if may(user, clip.corpus, action):
        return None
    if may(user, clip.corpus, "claim.annotate"):
        for claim_of in hooks.claims:
            if (claim := claim_of(user.pk, clip.pk)) is not None:
                return claim
    require(user, clip.corpus, action)
    raise AssertionError("unreachable: require raises where `may` says no")


def _current(row: TargetPerson | None, seen: Sequence[SeenPerson], rule: str) -> int | None:
    if row is not None and row.rule in ("", rule) and any(person.number == row.number for person in seen):
        return row.number
    return by_rule(seen, rule)


def _keep(rows: list[TargetPerson], moved: list[int]) -> None:
    with transaction.atomic():
        # What a person said meanwhile stands.
        TargetPerson.objects.filter(clip__in=[row.clip_id for row in rows]).exclude(rule="").delete()
        TargetPerson.objects.bulk_create(rows, ignore_conflicts=True)
        _moved(moved)


def _moved(clip_ids: list[int]) -> None:
    """The clips are about somebody else: their tracks' peak frames are that person's, and the rooms above are told."""
    refresh_peaks(clip_ids)
    if clip_ids:
        person_chosen.send(sender=Clip, clip_ids=clip_ids)


def refresh_peaks(clip_ids: Sequence[int]) -> None:
    """Make the peak frames of the clips' AU tracks those of the people whom they are about."""
    for clip in Clip.objects.filter(pk__in=clip_ids, au_track__isnull=False).select_related("corpus", "au_track"):
        found: dict[str, Any] = {}
        try:
            track = au_track(clip, chosen(clip))
            found = peak(track) if track is not None and track.valid().any() else {}
        except (AuTrackError, OSError, Gone) as error:
            logger.info("the clip's AU track has no peak of the chosen person", clip=clip.name, error=str(error))
        if found != clip.au_track.peak:
            AuTrack.objects.filter(clip=clip).update(peak=found)


def chosen(clip: Clip) -> dict[str, Any] | None:
    """Who is meant in one clip, as `for_clip` gives it, without writing anything; None where nobody is chosen."""
    number = target(clip)
    return None if number is None else _as_evidence(SeenPerson.objects.get(clip=clip, number=number))


def _as_evidence(person: SeenPerson) -> dict[str, Any]:
    span = [person.span_start, person.span_end]
    return {"track": person.number, "place": person.place, "span": span, "boxes": person.boxes}


def _facts(person: SeenPerson) -> tuple[Any, ...]:
    return (
        person.number, person.source, person.place, person.span_start, person.span_end, person.presence, person.area,
        person.boxes,
    )  # fmt: skip
