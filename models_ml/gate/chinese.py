"""How a Chinese sentence speaks of a claim: polarity, certainty, reality, person.

Scope after Li & Thompson (1981): a negator or modal governs what follows it in its clause.
"""

from __future__ import annotations

import re
from functools import cached_property

from models_ml.gate.context import Anchors, Context, blanked, cover, words
from models_ml.gate.lexicon import Lexicon

_COMMA = re.compile(r"[,，；;：:。!！\x00]")
_LIST = re.compile(r"^(?:或|或者|也|亦|及|和)")
_BUT = re.compile(r"但|却|而是|反而|只是|仍|随后|接着|结果|最终|不过")
NEAR = 9  # signs a negator reaches
FAR = 14  # signs a modal reaches


class Reader:
    """Reads one clue's sentences in order; `begin` a sentence, then `read` the claims found in it."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.words = words(lexicon, "zh")
        self.sentence = ""
        self.genders = ""  # the target's pronoun, where known

    def begin(self, sentence: str) -> None:
        """Take up the next sentence."""
        self.sentence = sentence
        self._subjects = self._people(sentence)

    def read(self, anchors: Anchors, is_voice: bool = False) -> Context | None:
        """Context of a claim with these anchors; None where it is no claim about a person in the clip."""
        kinds = self.words.kinds
        start, end = anchors[0][0], anchors[-1][0]
        if self._is_unreal(anchors):
            return None
        who = self._who(start, is_voice)
        if self._on_thing.match(self.sentence, anchors[-1][1]):
            return None
        if self._owner.match(self.sentence, anchors[-1][1]) or self._is_of_another(anchors):
            who = "other"
        if who in ("thing", "body"):
            return None
        negated = self._negated(anchors)
        clause = _COMMA.split(self.sentence[:end])[-1] + _COMMA.split(self.sentence[end:])[0]
        return Context(negated, bool(kinds["hedge"]["words"].search(clause)), who)

    def _is_unreal(self, anchors: Anchors) -> bool:
        start = anchors[0][0]
        left = blanked(self.sentence, self.words.kinds["unreal"]["not"])[:start]
        for match in self.words.kinds["unreal"]["past"].finditer(left):
            if not self.words.kinds["unreal"]["now"].search(left[match.end() :]):
                return True
        if re.search(r"(?:^|[,，])[他她]?之前", left) and not self.words.kinds["unreal"]["now"].search(left):
            return True
        for match in self.words.kinds["unreal"]["words"].finditer(left):
            between = left[match.end() :]
            if len(between) <= FAR and not _COMMA.search(between) and not self._ends(between, "unreal"):
                return True
        # 如果…, …会…: the condition stands before its comma.
        right = _COMMA.split(self.sentence[anchors[-1][1] :])[0]
        return bool(self.words.kinds["unreal"]["after"].search(right))

    def _negated(self, anchors: Anchors) -> bool:
        last = anchors[-1][0]
        plain = blanked(self.sentence, self.words.kinds["negation"]["not"])
        covered = cover(plain, anchors)[:last]
        count = 0
        for match in self.words.kinds["negation"]["words"].finditer(covered):
            following = [a for a, _ in anchors if a >= match.end()]
            between = covered[match.end() : following[0]] if following else ""
            if len(between) > NEAR or self._ends(between, "negation") or self._comma_ends(between):
                continue
            count += 1
        right = _COMMA.split(plain[anchors[-1][1] :])[0]
        after = self.words.kinds["negation"]["after"].match(right.lstrip("也都还并的"))
        return bool(count) != bool(after)

    def _comma_ends(self, between: str) -> bool:
        return any(not _LIST.match(piece) for piece in _COMMA.split(between)[1:])

    def _ends(self, between: str, kind: str) -> bool:
        ends = self.words.kinds["negation"]["ends"] if kind == "negation" else _BUT
        return bool(ends.search(between))

    def _people(self, sentence: str) -> list[tuple[int, str, bool]]:
        """(place, who, whether only to the next comma) of every mention that may be a subject."""
        people = self.words.people
        found: dict[int, tuple[int, str, str]] = {}
        for match in self._other.finditer(sentence):
            found[match.start()] = (match.end(), "other", match[0])
        for name, who in (
            ("target", "target"),
            ("pronouns", "target"),
            ("things", "thing"),
            ("body", "body"),
            ("persons", "person"),
        ):
            for match in people[name].finditer(sentence):
                if not any(a <= match.start() < b for a, (b, _, _) in found.items()):
                    found[match.start()] = (match.end(), who, match[0])
        subjects: list[tuple[int, str, bool]] = []
        known = ""
        for start in sorted(found):
            end, who, word = found[start]
            before, after = sentence[:start], sentence[end:]
            if word in ("他", "她", "我", "他们", "她们") and re.match(
                r"的|(?:旁边|身旁|身边|对面|身后|背后|前面|后面|周围|面前|左边|右边)", after
            ):
                nearest = next((a for a in sorted(found) if a >= end), None)
                if nearest is not None and found[nearest][1] == "other" and nearest - end <= 4:
                    known = known or word
                    continue  # 他的同事, 他旁边的女子: only whose
            pivot = self._pivot.search(before)
            owner = re.match(r"的(?:声|嗓|语|眉|嘴|眼|脸|表|神|笑|唇|话|音|鼻|下)", after) or pivot
            if self._before_object.search(before) and not owner:
                continue
            if who == "person" and any(kind == "other" and 0 <= start - b <= 3 for b, kind, _ in found.values()):
                continue  # 另一位女士: named already
            if who == "other" and not subjects and not known and self._is_role(word, before, after):
                who = "target"
            if who == "person":
                who = self._person(word, known)
            elif who == "target" and word in ("他", "她"):
                who = self._pronoun(word, known, subjects)
                if who == "target":
                    known = known or word
            if who == "target" and re.search(
                f"{people['things'].pattern}[里中上](?:的|有|画着|印着)?.{{0,4}}$", before
            ):
                who = "thing"  # a poster of somebody
            subjects.append((start, who, bool(pivot)))
        return subjects

    def _is_of_another(self, anchors: Anchors) -> bool:
        """他和一个睁大眼睛的男孩说话: it is of whom it precedes, where the main person was named before."""
        start, end = anchors[0][0], anchors[-1][1]
        named = [place for place, who, _ in self._subjects if who == "target" and place < start]
        modified = re.match(
            rf"[睛巴子毛头唇]?着?的[^,，。]{{0,2}}?{self.words.people['persons'].pattern}", self.sentence[end:]
        )
        return bool(named and modified) and not re.search(r"[是,，]", self.sentence[named[-1] : start])

    def _is_role(self, word: str, before: str, after: str) -> bool:
        """医生 as the first that is named, unless somebody else is set against it: he is the main person then."""
        alone = not before.strip() or re.search(r"[,，]$|[这那一][位名个]$", before)
        return bool(
            (self.words.people["roles"].fullmatch(word) or self.words.people["family"].fullmatch(word)) and alone
        ) and not re.search(r"而[他她]|[他她](?:却|则|自己)", after)

    def _person(self, word: str, known: str) -> str:
        male, female = re.search(r"男|先生|小伙|大叔|老头", word), re.search(r"女|姑娘|小姐|阿姨|老太太|妇", word)
        if (known == "他" and female) or (known == "她" and male):
            return "other"
        return "target"

    def _pronoun(self, word: str, known: str, subjects: list[tuple[int, str, bool]]) -> str:
        if known and known != word and any(who == "other" for _, who, _ in subjects):
            return "other"
        return "target"

    @cached_property
    def _pivot(self) -> re.Pattern[str]:
        return re.compile(self.words.kinds["object_verbs"]["words"].pattern + r"(?:着|了|他的|她的|自己的)*$")

    @cached_property
    def _before_object(self) -> re.Pattern[str]:
        people = self.words.people
        return re.compile(
            f"{people['before_object'].pattern}(?:着|了|过|一旁的|他的|她的|自己的|那位|这位|他|她|一位|一个|一名|身边的|旁边的|对面的|的)*$"
        )

    @cached_property
    def _on_thing(self) -> re.Pattern[str]:
        """After a claim: 低沉的钟声."""
        return re.compile(f"的[^,，。]{{0,2}}?(?:{self.words.people['things'].pattern})")

    @cached_property
    def _owner(self) -> re.Pattern[str]:
        """After a claim: 微笑的母亲."""
        return re.compile(
            f"着?的(?:那[位个名])?(?:{self.words.people['others'].pattern}|{self.words.people['roles'].pattern})"
        )

    @cached_property
    def _other(self) -> re.Pattern[str]:
        people = self.words.people
        marks, persons = people["marks"].pattern, people["persons"].pattern
        count = r"(?:[一那这另][位名个]?|[两几三][位名个])?"
        return re.compile(
            rf"{people['others'].pattern}|{people['roles'].pattern}|{marks}的?{count}[^,，。、；;的在是有]{{0,4}}?的?{persons}"
            rf"|另外?{count}[^,，。、；;的]{{0,3}}?{persons}|{marks}(?:有|是)(?:一?[位名个])?[^,，。、]{{0,4}}?{persons}"
        )

    def _who(self, place: int, is_voice: bool) -> str:
        who = "target"
        for start, one, local in self._subjects:
            if start > place:
                break
            if local and _COMMA.search(self.sentence[start:place]):
                continue
            who = one
            if (one == "body" or (one == "thing" and not is_voice)) and _COMMA.search(self.sentence[start:place]):
                who = "target"  # a thing is no subject that the next clause takes over
        return who
