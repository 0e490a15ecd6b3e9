"""How an English sentence speaks of a claim: polarity, certainty, reality, person.

Scope after Huddleston & Pullum (2002), ch. 9: a negator governs what follows it in its clause, through "or" and through
coordinated forms of the same kind ("does not smile or frown"), and not past a new subject or a finite verb.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from models_ml.gate.context import Anchors, Context, blanked, cover, words
from models_ml.gate.lexicon import Lexicon

REACH = 12  # words a negator or modal reaches
_STOP = re.compile(r"[;:()\u0000]|\s-\s")
_WORD = re.compile(r"[\w\x02\x03']+")
_PRONOUN = re.compile(r"\b(?:he|she|they|it|i|we|you)\b")
_INVERTED = re.compile(
    r"\b(?:does|do|did|is|are|was|were|has|have|had|can|could|will|would)\s+(?:he|she|they|it|i|we|you)\b"
)
_BASE_AFTER = re.compile(
    r"(?:do|does|did|would|will|shall|should|can|could|to|never|might|may|'d|'ll)(?:\s*(?:not|n't|never))?$|n't$|never$|cannot$|to$"
)
_SUBJECT_VERB = re.compile(r"\b(?:is|are|was|were|has|have|remains?|stays?|keeps?|seems?|becomes?|grows?|sounds?)\b")
_FORCE = re.compile(
    r"(?:^|,|;|:|\(|\b(?:and|but|while|as|whereas|when|because|although|though|since|if|that|then|until|so|yet|or|nor|"
    r"which|who|whenever|after|before|where|like)\s)\s*$"
)
_PERSONAL = {"he": "m", "him": "m", "his": "m", "she": "f", "her": "f", "hers": "f"}
_EDGE = r"(?<![\w'-])(?=\w)"
_OF_A_FACE = (
    "voice|tone|speech|smile|frown|face|brows?|eyebrows?|eyes|lips?|mouth|expression|pitch|delivery|cheeks|jaw|nose|"
    "chin"
)
_PRONOUNS = (
    r"(?P<pronoun>\b(?:he|she|they)\b)|(?P<own>\bhers\b"
    rf"|\b(?:his|her)\b(?=\s+(?:\w+\s+){{0,2}}?(?:{_OF_A_FACE})\b))"
)
_ONLY_PRONOUNS = re.compile(_PRONOUNS)


@dataclass(frozen=True)
class _Mention:
    """Somebody or something named: from `start` to `end`, as a possible subject."""

    start: int
    end: int
    who: str  # target, other, thing
    gender: str  # m, f or ""
    local: bool  # it governs only what directly follows ("at a man smiling beside her")


class Reader:
    """Reads one clue's sentences in order; `begin` a sentence, then `read` the claims found in it."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.words = words(lexicon, "en")
        self.gender = ""  # the target's, once known
        self.named = False  # whether the target has been named

    def begin(self, sentence: str) -> None:
        """Take up the next sentence."""
        self.sentence = sentence
        self._mentions = self._people(sentence)

    def read(self, anchors: Anchors, is_voice: bool = False) -> Context | None:
        """Context of a claim with these anchors; None where it is no claim about a person in the clip."""
        if self._is_unreal(anchors):
            return None
        who = self._who(anchors)
        if who == "thing":
            return None
        return Context(self._is_negated(anchors), self._is_hedged(anchors), who)

    def _is_negated(self, anchors: Anchors) -> bool:
        kind = self.words.kinds["negation"]
        plain = cover(blanked(self.sentence, kind["not"]), anchors)
        covered = plain.replace("so much as", "\x02" * 10)  # "without so much as raising"
        count = 0
        for match in kind["words"].finditer(covered[: anchors[-1][0]]):
            following = next((a for a, _ in anchors if a >= match.end()), anchors[-1][0])
            between = covered[match.end() : following]
            if kind["ends"].search(between) or not self._reaches(between, covered[: match.end()], following):
                continue
            count += 1
        count = min(count, 1)
        right = _clause(covered[anchors[-1][1] :])
        after = kind["after"].search(right[:60])
        return bool(count) != bool(after and not re.search(r"\b(?:and|but|or)\b", right[: after.start()]))

    def _reaches(self, between: str, before: str, at: int) -> bool:
        """Whether a negator or modal at the end of `before` still governs what stands `at` the end of `between`."""
        if _STOP.search(between) or len(_WORD.findall(between)) > REACH:
            return False
        for pronoun in _PRONOUN.finditer(between):
            if not any(i.start() <= pronoun.start() < i.end() for i in _INVERTED.finditer(between)):
                return False
        joints = list(re.finditer(r",|\band\b", between))
        if not joints:
            return True
        last = joints[-1]
        tail = between[last.end() :]
        if re.search(r"\b(?:or|nor|neither)\b", between[last.start() :]):
            return True
        if last[0] == "," and not re.search(r"^[^;:.]*?\b(?:or|nor|and)\b", self._rest(at)):
            return False  # no list: what follows the comma is a clause of its own
        ahead = tail + self.sentence[at : at + 60]
        first = re.match(r"\s*(?:(?:also|even|\w+ly|then)\s+)*([\w']+)(?:\s+([\w']+))?", ahead)
        if not first:
            return True
        word = first[1]
        if word in ("his", "her", "their", "the", "my", "its"):
            return not _SUBJECT_VERB.search(ahead)
        if _BASE_AFTER.search(before.rstrip()):
            return not re.search(r"(?:ing|ed|[^s]s)$", word) or word in ("press", "purse")
        return not re.search(r"[^s]s$", word) or word.endswith(
            ("ss", "brows", "eyes", "lips", "lids", "cheeks", "corners")
        )

    def _rest(self, at: int) -> str:
        return _clause(self.sentence[at:])

    def _is_unreal(self, anchors: Anchors) -> bool:
        kind = self.words.kinds["unreal"]
        start = anchors[0][0]
        text = cover(blanked(self.sentence, kind["not"]), anchors)
        for match in kind["past"].finditer(text[:start]):
            if not kind["now"].search(text[match.end() : start]):
                return True
        for match in kind["words"].finditer(text[: anchors[-1][0]]):
            between = text[match.end() : start] if match.end() <= start else ""
            between = re.sub(r"^\s*(?:he|she|they|it|i|we|you)\b", "", between)  # "will she frown"
            word = match[0]
            if word in ("if", "unless", "whether") or word.startswith("as "):
                if "," not in between and not _STOP.search(between) and len(_WORD.findall(between)) <= REACH:
                    return True
                continue
            if _UNTIL_CLAUSE.search(between) or not self._reaches(between, text[: match.end()], start):
                continue
            if word in ("had", "'d") and not re.search(
                r"(?:ed|ing|been|n)\b", text[match.end() : anchors[-1][1]] + self.sentence[start : anchors[-1][1]]
            ):
                continue
            return True
        # "looks as if she is smiling" is a guess, "as if she were about to smile" is not.
        guess = re.compile(r"\b(?:look|seem|appear|sound)\w* (?:as if|as though|like)\b")
        for match in guess.finditer(self.sentence[:start]):
            if self.words.kinds["real_as_if"]["words"].search(self.sentence[match.end() : start]):
                return True
        right = _clause(self.sentence[anchors[-1][1] :])
        if kind["next"].match(right.lstrip()):
            return True  # "a smile would be out of place"
        after = kind["after"].search(re.split(r"\bas (?:if|though)\b", right)[0])
        return bool(after)

    def _is_hedged(self, anchors: Anchors) -> bool:
        start, end = anchors[0][0], anchors[-1][1]
        left = re.split(r"[,;:]|\bbut\b", self.sentence[:start])[-1]
        right = re.split(r"[,;:]|\b(?:and|but|while|as)\b", self.sentence[end:])[0]
        near = " ".join(left.split()[-8:]) + " " + self.sentence[start:end] + " " + " ".join(right.split()[:3])
        return bool(self.words.kinds["hedge"]["words"].search(near))

    # Who is spoken of

    def _people(self, sentence: str) -> list[_Mention]:
        found: list[_Mention] = []
        taken = 0
        named = self._named if self._nouns.search(sentence) else _ONLY_PRONOUNS
        for match in named.finditer(sentence):
            if match.start() < taken:
                continue
            kind = str(match.lastgroup)
            joined = re.search(r"\band\s*$", sentence[: match.start()])
            if joined and kind == "other" and taken and not sentence[taken : joined.start()].strip():
                taken = match.end()
                continue  # "the man and his friend both smile"
            mention = self._mention(match, kind, sentence)
            if mention is None:
                continue
            taken = match.end()
            found.append(mention)
        return found

    def _mention(self, match: re.Match[str], kind: str, sentence: str) -> _Mention | None:
        text, before, after = match[0], sentence[: match.start()], sentence[match.end() :]
        possessive = after.startswith(("'s", "'")) or text.endswith(("'s", "s'"))
        gender = self._gender_of(text, kind)
        own = re.search(r"\b(his|her|him|he|she)\b", text)  # "his colleague", "the man beside her"
        if kind == "other" and own:
            self.gender = self.gender or _PERSONAL[own[1]]
        force = bool(_FORCE.search(before))
        pivot = bool(self._pivots.search(before))
        relative = bool(re.match(r"\s*,?\s*(?:who|whose)\b", after))
        if kind in ("person", "target") and self._pictured.match(after):
            kind = "thing"  # "the man on the poster"
        if kind == "other" and self._is_role(text) and not self._contrasted(after):
            kind = "other" if self.named or self.gender or possessive else "target"
        if kind == "person" and (relative or pivot) and not force and (self.named or self.gender):
            kind = "other"  # "he talks to a boy whose eyes are wide open"
        elif kind == "person" and self._placed.search(before):
            kind = "other"  # "across from him, a woman smiles"
        elif kind == "person":
            kind = self._person(text, gender, force)
        if kind == "pronoun":
            kind = "target"
            if self.gender and gender and gender != self.gender:
                kind = "other"
            elif force and not self.gender:
                self.gender = gender
        if kind in ("target",) and (force or possessive):
            self.named = True
            self.gender = self.gender or gender
        if force or possessive:
            return _Mention(match.start(), match.end(), kind, gender, possessive and not force)
        if pivot or relative:
            return _Mention(match.start(), match.end(), kind, gender, True)
        if re.match(r"\s+\w+ing\b", after) and kind == "other" and re.search(r"\b(?:at|to|with|of)\s*$", before):
            return _Mention(match.start(), match.end(), kind, gender, True)
        if re.search(r"\bof\s*$", before) and kind != "pronoun":
            return _Mention(match.start(), match.end(), kind, gender, False)
        return None

    def _is_role(self, text: str) -> bool:
        """Whether it is as "the doctor", who may well be the main person; not as "the doctor beside him"."""
        nouns = "|".join(self.words.people[name].pattern for name in ("roles", "others_male", "others_female"))
        return bool(re.fullmatch(rf"(?:(?:the|an?)\s+)?(?:[\w-]+\s+){{0,2}}?(?:{nouns})", text))

    def _contrasted(self, after: str) -> bool:
        return bool(re.search(r"\b(?:while|but|whereas|;)\s*(?:he|she|the)\b", after))

    def _gender_of(self, text: str, kind: str) -> str:
        if kind in ("pronoun", "own"):
            return _PERSONAL.get(text.split()[0], "")
        people = self.words.people
        for names, gender in (
            (("male", "others_male"), "m"),
            (("female", "others_female"), "f"),
        ):
            if any(
                people[name].search(re.split(r"\b(?:beside|next|behind|opposite|across|facing|near)\b", text)[0])
                for name in names
            ):
                return gender
        return ""

    def _person(self, text: str, gender: str, force: bool) -> str:
        """A plain "the man": the target, unless the target is known to be somebody else."""
        if self.gender and gender and gender != self.gender:
            return "other"
        if self.named and force and re.match(r"(?:an?|another)\b", text):
            return "other"
        return "target"

    def _who(self, anchors: Anchors) -> str:
        start, end = anchors[0][0], anchors[-1][1]
        who, gender = "target", ""
        for mention in self._mentions:
            if mention.start >= end:
                break
            if mention.local and not self._adjoins(mention, anchors):
                continue
            if mention.start > start and not self._inside(mention, anchors):
                continue
            who, gender = mention.who, mention.gender
            between = self.sentence[mention.end : start]
            if who == "thing" and re.search(r"[,;]", between) and not re.search(r"\bits\b", between):
                who, gender = "target", ""  # a thing is no subject that the next clause takes over
        last = max((one.end for one in self._mentions if one.end <= start and one.who == "other"), default=0)
        own = re.findall(r"\b(his|her)\b", self.sentence[max(last, start - 12) : end])
        if (
            who == "other"
            and own
            and gender
            and self.gender
            and gender != self.gender
            and _PERSONAL[own[-1]] == self.gender
        ):
            who = "target"  # "the woman beside him smiles, his brows raised"
        if self._on_thing.match(self.sentence, end):
            return "thing"
        limit = end + len(_clause(self.sentence[end:]))
        if who == "target" and self._owner.match(self.sentence, end, limit):
            who = "other"
        return who

    def _adjoins(self, mention: _Mention, anchors: Anchors) -> bool:
        """A possessor or observed person governs what follows up to the next joint."""
        between = self.sentence[mention.end : anchors[-1][0]]
        return not re.search(
            r"[,;:]\s*(?!who|whose)|\band\s+(?:\w+s|\w+ed|he|she|they)\b|\bbut\b", between.lstrip(" ,")
        )

    def _inside(self, mention: _Mention, anchors: Anchors) -> bool:
        """ "The brows of the man beside her are raised": the owner stands between the claim's own words."""
        return any(a <= mention.start < b for a, b in ((anchors[0][0], anchors[-1][1]),)) and mention.who == "other"

    @cached_property
    def _named(self) -> re.Pattern[str]:
        people = {name: pattern.pattern for name, pattern in self.words.people.items()}
        someone = "|".join(people[name] for name in ("male", "female", "any"))
        role = "|".join(people[name] for name in ("others", "roles", "others_male", "others_female"))
        anybody = f"{someone}|{role}|{people['target']}"
        determiner = (
            r"(?:(?:the|an?|his|her|their|my|another|one|this|that|each|every|two|both|some|other|these|those)\s+)"
        )
        adjective = r"(?:(?!(?:and|or|but|of|to|at|with|is|are|was|were|who|he|she|in|on|as|while)\b)[\w'-]+\s+)"
        where = people["marks_after"]
        posture = "sitting|standing|seated|sits|stands|lying|walking|sat|stood|directly|right|just"
        doing = rf"(?:\s+(?:who\s+is\s+|who\s+|is\s+)?(?:{posture}))*"
        person = rf"(?:him|her|them|me|(?:the|his|her|an?)\s+(?:{anybody}))"
        object_ = r"(?:\s+(?:him|her|them|me|(?:the|his|her)\s+\w+))?"
        noun = rf"(?:{determiner}{adjective}{{0,2}}?)?"
        return re.compile(
            rf"{_EDGE}(?:(?P<other>{noun}{people['marks_before']}\s+{adjective}{{0,2}}?(?:{anybody}|one|voice)"
            rf"(?:{doing}\s+{where}{object_})?"
            rf"|{noun}(?:{anybody}){doing}\s+(?:{people['marks_near']}\s+{person}|{where}{object_})"
            rf"|{noun}(?:{role}))"
            rf"|(?P<target>{noun}{people['target']})"
            rf"|(?P<thing>{noun}{people['things']})"
            rf"|(?P<person>{determiner}{adjective}{{0,3}}?(?:{someone}))"
            rf"|{_PRONOUNS})"
        )

    @cached_property
    def _nouns(self) -> re.Pattern[str]:
        """A quick look whether anything but pronouns is named at all."""
        lists = (
            "male",
            "female",
            "any",
            "others",
            "roles",
            "others_male",
            "others_female",
            "target",
            "things",
            "marks_before",
        )
        return re.compile(_EDGE + "(?:" + "|".join(self.words.people[name].pattern for name in lists) + ")")

    @cached_property
    def _pictured(self) -> re.Pattern[str]:
        shown = r"\s+(?:on|in)\s+(?:the|an?|his|her)\s+(?:\w+\s+){0,2}?"
        return re.compile(
            rf"{shown}(?:poster|painting|portrait|photo|photograph|drawing|billboard|magazine|t-shirt|mural|cartoon)"
        )

    @cached_property
    def _placed(self) -> re.Pattern[str]:
        people = self.words.people
        near = rf"{people['marks_near'].pattern}\s+(?:him|her|them)"
        return re.compile(
            rf"(?:{near}|{people['marks_after'].pattern})\s*,?\s*(?:(?:there\s+)?(?:is|sits|stands)\s+)?$"
        )

    @cached_property
    def _pivots(self) -> re.Pattern[str]:
        return re.compile(rf"{self.words.kinds['object_verbs']['words'].pattern}\s+(?:that\s+|how\s+)?$")

    @cached_property
    def _on_thing(self) -> re.Pattern[str]:
        return re.compile(rf"(?<=ing)\s+(?:\w+\s+){{0,2}}?{self.words.people['things'].pattern}")

    @cached_property
    def _owner(self) -> re.Pattern[str]:
        people = {name: pattern.pattern for name, pattern in self.words.people.items()}
        role = "|".join(people[name] for name in ("others", "roles", "others_male", "others_female"))
        before_noun = rf"(?<=ing)\s+(?:{role})\b"  # "her smiling mother"
        crossing = r"(?:of|from|on|crosses|cross(?:es|ing)?|across|spreads across|appears on|forms on|plays on)"
        return re.compile(
            rf"{before_noun}|\s*(?:(?:appears?|spreads?|forms?|plays|flickers|is|seen|visible)\s+)*{crossing}\s+(?:the\s+face\s+of\s+)?(?:the|his|her|their|an?|another)\s+(?:[\w-]+\s+){{0,2}}?(?:{role}|other\b|another\b)"
        )


_UNTIL_CLAUSE = re.compile(r"\b(?:but|yet|while|whereas|although|though|because|when|before|after|until|who|which)\b")


def _clause(text: str) -> str:
    """Up to the end of the clause."""
    return re.split(r"[,;:\u0000]|\b(?:but|while|whereas|although|though|because)\b", text)[0]
