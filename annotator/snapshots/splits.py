"""Splits without leakage: whole groups go to one side, labels are spread evenly, the seed decides ties.

A split is a function of clip names, group keys, labels, seed and sizes only. Clips that share any group
value (one source video, one speaker) are connected, and a connected group never stands on both sides.
The assignment is the greedy one of stratified group splitting: large groups first, each to the side that
it brings closest to its share of every label.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

GROUP_KEYS = ("source", "speaker")


_NAME = re.compile(r"(?=.{1,40}$)[_-]*[A-Za-z0-9][A-Za-z0-9_-]*")


class Item(NamedTuple):
    """A clip as the split sees it; `groups` maps a group key to the clip's value, empty when unknown."""

    name: str
    label: str
    groups: Mapping[str, str]


def parse_sizes(text: str) -> dict[str, float]:
    """`train=0.8,test=0.2` or `train=266,test=66` -> sizes. Raises Invalid for anything else."""
    sizes: dict[str, float] = {}
    for part in text.split(","):
        name, sep, value = part.strip().partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not sep or not _NAME.fullmatch(name):
            raise Invalid(_("A split is written name=size, like train=0.8,test=0.2; got “%s”.") % part)
        if name in sizes:
            raise Invalid(_("The split “%s” is named twice.") % name)
        if not 0 < number < 1e12 or (number >= 1 and number != int(number)):
            raise Invalid(_("The size of split “%s” must be a share below 1 or a whole number.") % name)
        sizes[name] = number
    return check_sizes(sizes)


def check_sizes(sizes: dict[str, float]) -> dict[str, float]:
    """Shares below 1 or counts from 1 on, never mixed; shares add up to at most 1."""
    shares = [value < 1 for value in sizes.values()]
    if any(shares) and not all(shares):
        raise Invalid(_("Splits are either shares below 1 or counts from 1 on; these are mixed."))
    if all(shares) and sum(sizes.values()) > 1 + 1e-9:
        raise Invalid(_("The shares of the splits add up to more than 1."))
    return sizes


def components(items: Sequence[Item], keys: Sequence[str]) -> list[list[int]]:
    """Indices of connected items: those that share a value of any of `keys`."""
    parent = list(range(len(items)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, item in enumerate(items):
        for key in keys:
            value = item.groups.get(key) or ""
            if value:
                parent[root(i)] = root(first.setdefault((key, value), i))
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(items)):
        groups[root(i)].append(i)
    return list(groups.values())


def _targets(sizes: Mapping[str, float], n: int) -> dict[str, int]:
    """How many clips each split should get: largest remainders for shares, counts as they are."""
    if all(value < 1 for value in sizes.values()):
        exact = {name: share * n for name, share in sizes.items()}
        target = {name: int(value + 1e-9) for name, value in exact.items()}
        missing = round(sum(exact.values())) - sum(target.values())
        for name in sorted(exact, key=lambda k: (target[k] - exact[k], k))[:missing]:
            target[name] += 1
        return target
    target = {name: int(value) for name, value in sizes.items()}
    if sum(target.values()) > n:
        raise Invalid(
            _("The splits ask for %(asked)d records; the snapshot has %(have)d.")
            % {"asked": sum(target.values()), "have": n}
        )
    return target


def assign(
    items: Iterable[Item], sizes: Mapping[str, float], *, group_by: Sequence[str] = GROUP_KEYS, seed: int = 0
) -> dict[str, list[str]]:
    """split name -> sorted clip names. Raises Invalid when a wanted split would stay empty.

    Clips beyond the sizes asked for stand in no split.
    """
    items = sorted(items, key=lambda item: item.name)
    target = _targets(sizes, len(items))
    rest = len(items) - sum(target.values())
    sides = [*target, *([""] if rest else [])]  # "" is "in no split"
    room = {**target, **({"": rest} if rest else {})}
    labels = Counter(item.label for item in items)
    have: dict[str, Counter[str]] = {side: Counter() for side in sides}
    result: dict[str, list[str]] = {side: [] for side in sides}

    def draw(group: list[int]) -> str:
        return hashlib.sha256(f"{seed}\n{items[group[0]].name}".encode()).hexdigest()

    for group in sorted(components(items, group_by), key=lambda g: (-len(g), draw(g))):
        counts = Counter(items[i].label for i in group)

        def want(side: str, counts: Counter[str] = counts, size: int = len(group)) -> tuple[bool, float, float]:
            left = room[side] - len(result[side])
            share = room[side] / len(items)
            lack = sum(n * (labels[label] * share - have[side][label]) for label, n in counts.items())
            return left >= size, lack / max(room[side], 1), left / max(room[side], 1)

        side = max(sides, key=lambda s: (*want(s), -sides.index(s)))
        result[side] += [items[i].name for i in group]
        have[side].update(counts)
    empty = [name for name in target if not result[name]]
    if empty:
        raise Invalid(
            _(
                "Split “%(split)s” stays empty: grouping by %(keys)s leaves %(groups)d groups, too few or too large. "
                "Choose other sizes, or another --group-by (none turns it off)."
            )
            % {"split": empty[0], "keys": ", ".join(group_by) or "none", "groups": len(components(items, group_by))}
        )
    return {name: sorted(result[name]) for name in target}
