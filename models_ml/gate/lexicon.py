"""The lexicon (`lexicon.yaml`): read, checked, and compiled to regular expressions.

The form is described at the head of the file and in docs/gate.md. `GATE_LEXICON` names a file of the same form whose
groups, claims and context words are added to ours.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from models_ml.gate.measures import CODES

FILE = Path(__file__).with_name("lexicon.yaml")
LANGUAGES = ("en", "zh")
#: What a claim may hold: patterns by language, those that mean its opposite, those of audio clues only.
FIELDS = tuple(
    f"{kind}{language}{more}" for language in LANGUAGES for kind, more in (("", ""), ("", "_not"), ("audio_", ""))
)
NO_CLAIM = "none"  # patterns under it claim nothing, and keep others from claiming the same words
HEADS = {"VOICE", "PITCH", "TEMPO", "PACE", "TUNE", "VOLUME"}  # nouns: no comma stands before them ("loud, voice")
MAX_DEPTH = 4
_ELEMENT = re.compile(r"~{1,3}|[^\s~]+")


class LexiconError(ValueError):
    """A lexicon file is malformed; the message names file and entry."""


@dataclass(frozen=True)
class Pattern:
    """One pattern; every group of `regex` is an anchor, what lies between groups is a gap."""

    claim: str
    text: str
    language: str
    expression: str
    reverse: bool  # it says the opposite of its claim (unsmiling)
    audio: bool  # only in audio clues
    keys: tuple[frozenset[str], ...]  # of each element that may not be missing: its first word (sign in Chinese)

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Compiled when a sentence first has its words: few clues need more than a handful of a thousand patterns."""
        return re.compile(self.expression)


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Compiled patterns by language, and the context words as plain lists of pattern texts and expressions."""

    patterns: dict[str, tuple[Pattern, ...]]
    context: dict[str, dict[str, Any]]
    people: dict[str, dict[str, list[str]]]
    raw: dict[str, Any]

    def candidates(self, language: str, there: set[str]) -> list[Pattern]:
        """Patterns that can match a sentence with these words (in Chinese, signs), in the order of the lexicon."""
        patterns, rarest = self.patterns[language], self._rarest[language]
        numbers = {number for word in there if word in rarest for number in rarest[word]}
        return [
            patterns[number]
            for number in sorted(numbers)
            if not any(key.isdisjoint(there) for key in patterns[number].keys)
        ]

    @cached_property
    def _rarest(self) -> dict[str, dict[str, list[int]]]:
        """The patterns by the words of that element of theirs whose words are in the fewest patterns."""
        found: dict[str, dict[str, list[int]]] = {language: {} for language in LANGUAGES}
        for language, patterns in self.patterns.items():
            common = Counter(word for pattern in patterns for key in pattern.keys for word in key)
            for number, pattern in enumerate(patterns):
                for word in min(pattern.keys, key=lambda key: sum(common[word] for word in key)):
                    found[language].setdefault(word, []).append(number)
        return found

    def words(self, language: str, items: list[str]) -> str:
        """One expression that matches any of `items` (patterns without anchors)."""
        return _Compiler(self.raw, language).any_of(items)


def load(path: Path = FILE, extra: str | Path | None = None) -> Lexicon:
    """Read and compile; `extra` (default: GATE_LEXICON) is added. Raises LexiconError naming file and entry."""
    extra = extra or os.environ.get("GATE_LEXICON") or None
    return _load(Path(path), Path(extra) if extra else None)


def fingerprint() -> str:
    """Eight hex digits that change with the lexicon, so that verdicts made by another one are known as such."""
    digest = hashlib.sha256(FILE.read_bytes())
    extra = os.environ.get("GATE_LEXICON")
    if extra and Path(extra).is_file():
        digest.update(Path(extra).read_bytes())
    return digest.hexdigest()[:8]


@cache
def _load(path: Path, extra: Path | None) -> Lexicon:
    raw = _read(path)
    if extra is not None:
        _add(raw, _read(extra))
    patterns: dict[str, list[Pattern]] = {language: [] for language in LANGUAGES}
    for claim, entry in raw["claims"].items():
        for field in FIELDS:
            language = "zh" if "zh" in field else "en"
            compiler = _Compiler(raw, language)
            for text in entry.get(field, []):
                try:
                    expression = compiler.anchored(text)
                    keys = compiler.keys(text)
                except LexiconError as error:
                    raise LexiconError(
                        f"{raw['_from'].get((claim, text), path.name)}: claims.{claim}.{field}: {text!r}: {error}"
                    ) from None
                found = Pattern(
                    claim, text, language, expression, field.endswith("_not"), field.startswith("audio_"), keys
                )
                patterns[language].append(found)
    _check_words(raw, (extra or path).name)
    return Lexicon({k: tuple(v) for k, v in patterns.items()}, raw["context"], raw["people"], raw)


def _check_words(raw: dict[str, Any], name: str) -> None:
    """Context words and people are patterns too. Raises LexiconError naming the entry."""
    for part in ("context", "people"):
        for language, entries in raw[part].items():
            compiler = _Compiler(raw, language)
            for entry, value in entries.items():
                for field, items in (value if isinstance(value, dict) else {"": value}).items():
                    for text in items if field != "source" else ():
                        try:
                            compiler.any_of([text])
                        except LexiconError as error:
                            where = ".".join(filter(None, (part, language, entry, field)))
                            raise LexiconError(f"{name}: {where}: {text!r}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506 (a safe loader, the fast one where there is one)
    except OSError as error:
        raise LexiconError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LexiconError(f"{path.name}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict) or raw.get("version") != 1:
        raise LexiconError(f"{path.name}: wanted a mapping with version: 1")
    parts = {
        "version": int,
        "sources": dict,
        "irregular": dict,
        "groups": dict,
        "claims": dict,
        "context": dict,
        "people": dict,
    }
    for key, value in raw.items():
        if key not in parts:
            raise LexiconError(f"{path.name}: unknown entry {key!r}")
        if not isinstance(value, parts[key]):
            raise LexiconError(f"{path.name}: {key}: wanted a {'number' if parts[key] is int else 'mapping'}")
    for key in list(parts)[1:]:
        raw.setdefault(key, {})
    for code, entry in raw["claims"].items():
        where = f"{path.name}: claims.{code}"
        if (code not in CODES and code != NO_CLAIM) or code == "quote":
            raise LexiconError(f"{where}: unknown code; there are {', '.join(CODES[:-1])}")
        if not isinstance(entry, dict) or not _texts(entry.get("source")):
            raise LexiconError(f"{where}: wanted a mapping with source: [names of sources]")
        for name in entry["source"]:
            if name not in raw["sources"]:
                raise LexiconError(f"{where}.source: {name!r} is not among the sources of this file")
        for field, texts in entry.items():
            if field != "source" and (field not in FIELDS or not _texts(texts)):
                raise LexiconError(f"{where}.{field}: wanted one of {', '.join(FIELDS)} with a list of patterns")
    for part in ("groups", "context", "people"):
        for language, entries in raw[part].items():
            where = f"{path.name}: {part}.{language}"
            if language not in LANGUAGES or not isinstance(entries, dict):
                raise LexiconError(f"{where}: wanted en or zh with a mapping")
            for name, value in entries.items():
                lists = value.values() if isinstance(value, dict) else [value]
                if not all(isinstance(one, str) or _texts(one) for one in lists):
                    raise LexiconError(f"{where}.{name}: wanted a list of words")
    for word, forms in raw["irregular"].items():
        if not _texts(forms):
            raise LexiconError(f"{path.name}: irregular.{word}: wanted a list of forms")
    raw["_from"] = {
        (code, text): path.name
        for code, entry in raw["claims"].items()
        for field, texts in entry.items()
        for text in texts
        if field != "source"
    }
    return dict(raw)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)


def _add(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Lists are lengthened, mappings joined; nothing of ours is taken away."""
    for key, value in theirs.items():
        mine = ours.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            _add(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            ours[key] = [*mine, *(one for one in value if one not in mine)]
        else:
            ours[key] = value


class _Compiler:
    """Turns pattern texts of one language into regular expressions."""

    def __init__(self, raw: dict[str, Any], language: str) -> None:
        self.english = language == "en"
        self.groups: dict[str, list[str]] = raw["groups"].get(language, {})
        self.irregular: dict[str, list[str]] = raw["irregular"]
        self.gaps = ENGLISH if self.english else CHINESE

    def anchored(self, text: str) -> str:
        return self._row(text, anchors=True)

    def keys(self, text: str) -> tuple[frozenset[str], ...]:
        """How each element that may not be missing begins."""
        elements = [element for element in _ELEMENT.findall(text) if element[0] != "~" and not element.endswith("?")]
        return tuple(frozenset(self._beginnings(element)) for element in elements)

    def _beginnings(self, element: str) -> set[str]:
        found: set[str] = set()
        for choice in element.split("|"):
            if choice.startswith("{"):
                for text in self.groups[choice[1:-1]]:
                    found |= self._beginnings(_ELEMENT.findall(text)[0])
            elif self.english:
                first = choice.removesuffix("$").split("_")[0].lower()
                forms = self._forms(first[:-1]) if first.endswith("*") else [first]
                found |= {form.split("-")[0] for form in forms}
            else:
                found.add(choice[0])
        return found

    def any_of(self, texts: list[str]) -> str:
        rows = [self._row(text, anchors=False) for text in sorted(texts, key=len, reverse=True)]
        # What all begin with is looked at once, not once a row. No other row begins where such a one can begin.
        edged = [row.removeprefix(EDGE) for row in rows if row.startswith(EDGE)]
        rows = [row for row in rows if not row.startswith(EDGE)]
        if edged:
            rows.append(f"{EDGE}(?:{'|'.join(edged)})")
        return f"(?:{'|'.join(rows)})"

    def _row(self, text: str, anchors: bool, depth: int = 0) -> str:
        if depth > MAX_DEPTH:
            raise LexiconError("groups contain each other")
        out = ""
        for element in _ELEMENT.findall(text.strip()):
            if element[0] == "~":
                if not out:
                    raise LexiconError("a pattern cannot begin with a gap")
                out += self.gaps[len(element) - 1]
                continue
            optional = element.endswith("?")
            body = self._element(element.removesuffix("?"), depth)
            body = f"({body})" if anchors else f"(?:{body})"
            is_head = element[1:-1] in HEADS
            joint = rf"(?:\s*,\s*|{GLUE})" if out.endswith(self.gaps[1]) and not is_head else GLUE
            separator = joint if self.english and out else ""
            out += f"(?:{separator}{body})?" if optional else separator + body
            if optional and out.startswith("(?:("):
                raise LexiconError("a pattern cannot begin with what may be missing")
        if not out:
            raise LexiconError("empty pattern")
        if not self.english:
            return out
        if depth:
            return out
        left = "" if text.startswith(("'", "n't")) else EDGE
        return rf"{left}{out}(?!\w|-\w)"

    def _element(self, element: str, depth: int) -> str:
        choices: list[str] = []
        for choice in element.split("|"):
            if not choice.startswith("{"):
                choices.append(self._word(choice))
                continue
            name = choice[1:-1]
            if name not in self.groups or not choice.endswith("}"):
                raise LexiconError(f"unknown group {choice}")
            choices += [self._row(text, False, depth + 1) for text in self.groups[name]]
        return "|".join(sorted(choices, key=len, reverse=True))  # the longest first

    def _word(self, word: str) -> str:
        if not word:
            raise LexiconError("an empty alternative")
        end = r"(?=\s*(?:[.,;:!?]|$))" if word.endswith("$") else ""
        pieces = [self._inflected(piece) for piece in word.removesuffix("$").split("_")]
        return (GLUE if self.english else "").join(pieces) + end

    def _inflected(self, piece: str) -> str:
        if not piece.endswith("*"):
            return re.escape(piece.lower())
        forms = sorted(self._forms(piece[:-1].lower()), key=len, reverse=True)
        return f"(?:{'|'.join(re.escape(form) for form in forms)})"

    def _forms(self, stem: str) -> list[str]:
        return self.irregular.get(stem) or inflections(stem)


def inflections(stem: str) -> list[str]:
    """Regular forms of an English verb or noun: -s, -ed, -ing (Huddleston & Pullum 2002, ch. 18)."""
    if stem.endswith("e"):
        return [stem, stem + "s", stem + "d", stem[:-1] + "ing"]
    if stem.endswith("y") and stem[-2:-1] not in "aeiou":
        return [stem, stem[:-1] + "ies", stem[:-1] + "ied", stem + "ing"]
    if re.search(r"(?:s|x|z|ch|sh)$", stem):
        return [stem, stem + "es", stem + "ed", stem + "ing"]
    doubled = stem + stem[-1] if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", stem) else stem
    return [stem, stem + "s", doubled + "ed", doubled + "ing"]


EDGE = r"(?<![\w'-])"
GLUE = r"(?:\s+|-)"
_PARTS = r"(?:eye)?brows?|eye(?:lid)?s?|lids?|cheeks?|lips?|mouth|nose|chin|jaw|forehead|corners?"
_NOT_NP = (
    r"to|at|in|on|over|with|by|from|into|onto|toward|towards|under|across|against|for|about|and|or|but|nor|while|as|"
    r"if|when|who|which|that|he|she|they|it|is|are|was|were|be|been|not|than|because|so|then|head|hands?|arms?|gaze|voice"
)
_NOT_PREDICATE = (
    r"at|on|over|with|by|of|into|onto|toward|towards|under|across|against|for|about|while|as|if|when|who|whom|which|"
    r"that|than|the|his|her|their|my|your|its|he|she|they|it|i|we|you|because|so|then|music|room|head|hands?|arms?|gaze|"
    r"eyes?|(?:eye)?brows?|lips?|mouth|nose|chin|jaw|cheeks?|pitch|volume|pace|tempo|rate|speed|voice|intonation|"
    r"although|though|whereas|after|before|until|hers|theirs|mine"
)
_NOT_SPOKEN = (
    r"while|as|if|when|who|whom|which|that|than|because|then|and|but|or|he|she|they|it|i|we|although|though|whereas|"
    r"after|before|until|is|are|was|were|walks?|runs?|moves?|nods?|turns?|looks?|breath\w*"
)
_OWN = r"(?:(?:his|her|their|the|its|both)\s+)?(?:\w+\s+)?"
#: Words between the elements of an English pattern: before a noun, in a predicate, after a verb of speaking.
ENGLISH = (
    rf"(?:{GLUE}(?:(?:both|all) of (?:his|her|their|the)"
    rf"|{_OWN}(?:{_PARTS})(?:,\s*{_OWN}(?:{_PARTS}))*,?\s+(?:and|or|nor)"
    rf"|(?!(?:{_NOT_NP})\b)[\w']+)){{0,4}}?",
    rf"(?:(?:,?\s+(?:and|or|nor)|,)\s+{_OWN}(?:{_PARTS})\b)*(?:,?\s+(?:that|which)\b)?"
    rf"(?:,?\s+(?:but|and|yet|though|nor\s+(?:does|do|did|is|was))\s+it\b"
    rf"|(?:\s*,\s*|{GLUE})(?!(?:{_NOT_PREDICATE})\b)[\w']+){{0,8}}?",
    rf"(?:{GLUE}(?!(?:{_NOT_SPOKEN})\b)[\w']+"
    rf"(?:(?<=ly)(?:,?\s+(?:and|but)\b|,))?){{0,6}}?",
)
_SIGN = r"[^\s,，。、；;：:!?！？…\x00眉眼嘴鼻唇颊额但却他她]"
_PREDICATE = r"[^\s,，。、；;：:!?！？…\x00眉眼嘴鼻唇颊额但却他她手肩身腿脚]"
_ZH_PART = r"(?:眉毛|眉头|双眉|眼睛|双眼|嘴角|嘴唇|双唇|脸颊|鼻子|下巴|上唇|嘴巴)"
_ZH_ALSO = rf"(?:(?:和|与|及|以及|跟|、){_ZH_PART})*"
CHINESE = (
    rf"{_ZH_ALSO}(?:{_SIGN}{{0,5}}?{_ZH_PART}(?:和|与|及|以及|跟|、))?{_SIGN}{{0,5}}?",
    rf"{_ZH_ALSO}(?:{_PREDICATE}|[、但却]|[,，](?=但|却|反而|反倒|而且|并且|还|又|也|甚至|且|略|有些|有点|带着|并|同时)){{0,12}}?",
    rf"{_SIGN}{{0,8}}?",
)
