"""The labels in a model's answer, in whatever form it wrote them: the one parser of steps, training and the metric.

A form that is read: JSON, Python literals, unquoted lists (``[happy, don't care]``), full-width and corner brackets,
lists in code fences or amid chatter, bullets and numbers, ``Labels: happy, sad``, ``The character's emotional state is
happy, sad.`` What is none of these is a named failure: a sentence never becomes a label.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from models_ml.llm.answers import clean, is_refusal, language_of, storable
from models_ml.llm.errors import ModelFailure, excerpt
from models_ml.metrics.lexicon import group_of_form

MAX_LABEL = 60  # characters; what is longer is a sentence, not a label
MAX_LABELS = 100  # of one description; more is a model that does not end
WORDS, SIGNS = 3, 6  # of an English, of a Chinese label that stands in no list and in no lexicon
_QUOTES = "\"“”‘’'`*_ 「」『』"
# Every pattern here takes time in proportion to an answer, also one of a hundred thousand blanks.
_INNER_OUTPUT = re.compile(r"^.*(?:\boutput|输出)\s*[:：]", re.IGNORECASE | re.DOTALL)
_NEXT_SHOT = re.compile(r"[\]】](?=\s*(?:#+\s*)?(?:input|输入)\s*[:：])", re.IGNORECASE)
_NAMED = re.compile(
    r"^\W*(?:(?:the )?(?:ov |open[- ]vocabulary |emotion(?:al)? )?(?:labels?|emotions?|states?|words?)(?: are| is)?"
    r"|(?:(?:情绪|情感)(?:标签|状态|类别|词)?|标签|状态|类别|词)(?:是|为|包括)?)\W*[:：]\W*",
    re.IGNORECASE,
)
_STATE = re.compile(
    r"^[^.。!！?？\n]{0,60}?(?:\b(?:emotional states?|emotions?|feelings?|mood|labels?) "
    r"(?:is|are|include|includes|can be described as|appears? to be|seems? to be)\b"
    r"|(?:情绪|情感|心情)(?:状态|标签|类别)?(?:是|为|包括|表现为))\s*[:：]?\s*",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^(?:[-*•·](?=\s)|\(?\d{1,2}[.)、．:：]|[①-⑳])\s*(\S.*)$")
_REMARK = re.compile(r"：|:(?:\s|$)|\s[-–—]\s|[(（]")  # behind it stands why, not what
_NESTED = re.compile(r"\[\s*(?:\[[^\[\]]*\]\s*(?:[,，、;；]\s*)?)+\]")
_LIST = re.compile(r"\[[^\[\]]*\]")
_ONLY_LISTS = re.compile(r"[\s,，、;；\[\]]*")
_BETWEEN = re.compile(r"[\s,，、;；]*")
_COMMA = re.compile(r"[,，、;；\n]")
_QUOTED_COMMA = re.compile(r"[\"'”’]\s*[,，、;；\n]\s*[\"'“‘]")
_CORNERS = re.compile(r"[「『]([^「」『』]*)[」』]")
_AND = re.compile(r"[,，、;；/&]|\band\b|以及", re.IGNORECASE)
_BRACKETS = str.maketrans({"【": "[", "】": "]", "［": "[", "］": "]", "〔": "[", "〕": "]"})
_SENTENCE = re.compile(r"[.:!?。：！？\[\]{}\"“”\d]")
# What no label holds in any list: there the model told instead of naming.
_CLAUSE = re.compile(r"\b(?:is|are|was|were|he|she|they|because)\b|[他她]|人物|因为", re.IGNORECASE)
# Words of sentences: a few words with one of them in it are no label, unless the lexicon knows it.
_SPOKEN_EN = re.compile(
    r"\b(?:an?|the|is|are|was|were|be|been|being|not?|nor|because|as|but|though|although|due|since|while|when|which|who"
    r"|that|this|these|those|he|she|they|it|his|her|their|its|i|you|we|my|to|from|by|with|in|on|at|for|of|if|so|than"
    r"|cannot|can|could|may|might|must|will|would|has|have|had|does|did|there|difficult|hard)\b",
    re.IGNORECASE,
)
_SPOKEN_ZH = re.compile(r"[他她它我你是的了在把被从对因但而与没不]|人物|视频|所以|由于")
# What models write instead of an empty list.
_NOTHING = {
    "none", "n/a", "null", "nothing", "no emotion identified", "unknown", "unclear", "undetermined",
    "无", "没有", "无法判断", "无法确定", "未知", "不明",
}  # fmt: skip


def parse_ov_labels(text: str, language: str | None = None, *, bare: bool = False) -> list[str]:
    """The labels of an answer, lower-cased, without duplicates, in first-seen order; ``[]`` is a valid answer.

    Tried in turn, on the answer and on the bracketed part inside surrounding chatter: JSON, a Python literal (mixed
    quotes, apostrophes kept), the unquoted form ``[happy, sad]`` that the published few-shot prompt teaches, lists of
    such lists, several lists with nothing between them; then, without brackets, numbered or bulleted lines, words in
    corner brackets, words behind ``Labels:`` or ``emotional state is``. A JSON object is accepted that holds one
    list, and beside it nothing but words. A label that says "none" is no label; a shot that the model went on to
    invent (``[happy] Input: …``) is not read.

    With ``bare``, ``happy, sad`` is a list, too, where every part may be a label and the lexicon knows more than half
    of them.

    Raises ModelFailure ``empty``, ``refusal``, ``bad_json`` (no list, an item that is no short text, several lists
    with prose between them), and ``wrong_language`` where ``language`` is given and a label is in the other.
    """
    cleaned = clean(text)
    if further := _NEXT_SHOT.search(cleaned):
        cleaned = cleaned[: further.end()]
    cleaned = _INNER_OUTPUT.sub("", cleaned).strip()
    if not cleaned:
        raise ModelFailure("empty", "the model answered with nothing")
    if cleaned.strip(" .。").lower() in _NOTHING:
        return []
    value = literal(cleaned)
    if isinstance(value, str):  # a list in quotes
        cleaned, value = value.strip(), None
    if value is None:
        value = bracketed(cleaned)
    if value is None:
        value = _listed(cleaned)
    if value is None and bare:
        value = _bare(cleaned)
    if isinstance(value, dict):
        lists = [item for item in value.values() if not isinstance(item, str)]  # words beside it may give a reason
        value = lists[0] if len(lists) == 1 else value
    if isinstance(value, tuple | set):  # of a set Python forgets the order
        value = list(value) if isinstance(value, tuple) else sorted(value, key=str)
    if not isinstance(value, list):
        code = "refusal" if is_refusal(cleaned) else "bad_json"
        raise ModelFailure(code, f"no list of labels: {excerpt(cleaned)}")
    return tidy(value, language)


def parse_groups(text: str) -> list[list[str]] | None:
    """The list of lists in an answer, quoted or not, inside whatever chatter; None where there is none."""
    cleaned = _INNER_OUTPUT.sub("", clean(text)).translate(_BRACKETS)
    opening, closing = cleaned.find("["), cleaned.rfind("]")
    inside = cleaned[opening : closing + 1] if 0 <= opening < closing else ""
    value = literal(inside)
    if value is None and inside.count("[") > 1 and _ONLY_LISTS.fullmatch(_LIST.sub("", inside)):
        value = [unquoted(one[0]) for one in _LIST.finditer(inside)]
    if isinstance(value, tuple):  # lists side by side, without the outer one
        value = list(value)
    if not isinstance(value, list) or not value:
        return None
    right = all(isinstance(group, list) and all(isinstance(label, str) for label in group) for group in value)
    return [group for group in value if group] if right else None


def literal(text: str) -> object | None:
    """The value of a JSON or Python literal, None where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None


def bracketed(text: str) -> object | None:
    """The list between the first ``[`` and the last ``]`` (full-width ones as well); None where there is none.

    Raises ModelFailure ``bad_json`` for lists that say different things with prose between them.
    """
    text = text.translate(_BRACKETS)
    opening, closing = text.find("["), text.rfind("]")
    if opening < 0 or closing < opening:
        return None
    inside = text[opening : closing + 1]
    value = literal(inside)
    if value is not None:
        return value
    lists = list(_LIST.finditer(inside))
    if len(lists) > 1 and not _NESTED.fullmatch(inside):
        values = [literal(one[0]) or unquoted(one[0]) for one in lists]
        if all(value == values[0] for value in values):  # said twice
            return values[0]
        rest = _LIST.sub("", inside)
        if _BETWEEN.fullmatch(rest):
            return values
        raise ModelFailure("bad_json", f"more than one list: {excerpt(inside)}")
    return unquoted(inside)


def unquoted(text: str) -> list[str]:
    """``[happy, don't believe]`` → its parts; separators are the commas and 、 of both scripts. ``[[happy], [sad]]`` is
    one list."""
    body = text.strip()[1:-1].strip()
    if _NESTED.fullmatch(text.strip()):
        body = re.sub(r"[\[\]]", " ", body).strip()
    if "[" in body or "]" in body:
        raise ModelFailure("bad_json", f"more than one list: {excerpt(text)}")
    if corners := _cornered(body):
        return corners
    whole = len(body) > 1 and body[0] in "\"'“‘" and body[-1] in "\"'”’"
    parts = _QUOTED_COMMA.split(body) if whole and _QUOTED_COMMA.search(body) else _COMMA.split(body)
    return [part.strip(_QUOTES) for part in parts]


def _listed(text: str) -> list[str] | None:
    """Numbered or bulleted lines, words in 「」, or one line of words behind ``Labels:``; None where it is neither."""
    lines = [line for line in text.splitlines() if line.strip()]
    items = [match[1] for line in lines if (match := _ITEM.match(line.strip()))]
    if items and len(items) >= len(lines) - 1 and not is_refusal(text):  # a line of introduction may stand before
        return [label for item in items for label in _item(item)]
    if len(lines) != 1:
        return None
    named = _NAMED.match(text)
    body = text[named.end() :] if named else text
    if corners := _cornered(body):
        return corners
    state = named or _STATE.match(text)
    return _parts(text[state.end() :]) if state else None


def _item(text: str) -> list[str]:
    """One line of a list: its label, or labels, without the remark behind it."""
    text = text.strip(_QUOTES)
    head = _REMARK.split(text, maxsplit=1)[0].strip(_QUOTES) or text
    if head == text and (is_refusal(text) or len(text) > MAX_LABEL):
        return [text]  # said by what reads the labels
    parts = _parts(head)
    if parts is None:
        raise ModelFailure("bad_json", f"not a label: {excerpt(text)}")
    return parts


def _cornered(text: str) -> list[str] | None:
    """``「高兴」、「激动」`` or ``「高兴、激动」`` → labels; None where other words stand between."""
    found = _CORNERS.findall(text)
    if not found or not re.fullmatch(r"[\s,，、;；和.。]*", _CORNERS.sub("", text)):
        return None
    return [part.strip(_QUOTES) for item in found for part in _COMMA.split(item)]


def _parts(text: str) -> list[str] | None:
    """The labels of ``happy, sad and calm.``; None where a part reads like a sentence."""
    found = [part.strip(_QUOTES) for part in _AND.split(" ".join(text.split()).rstrip(".。!！ "))]
    parts = [part for part in found if part]
    return parts if parts and all(map(_may_be_label, parts)) else None


def _bare(text: str) -> list[str] | None:
    parts = _parts(text) if "\n" not in text.strip() else None
    known = sum(group_of_form(part) is not None for part in parts or ())
    return parts if parts and known > len(parts) / 2 else None


def _may_be_label(text: str) -> bool:
    """Whether a few words without brackets around them may be a label: known to the lexicon, or short and no clause."""
    if group_of_form(text) or text.lower() in _NOTHING:
        return True
    if _SENTENCE.search(text):
        return False
    if language_of(text) == "zh":
        return len(text) <= SIGNS and not _SPOKEN_ZH.search(text)
    return 0 < len(text.split()) <= WORDS and not _SPOKEN_EN.search(text)


def tidy(values: list[Any], language: str | None = None) -> list[str]:
    """Stripped, lower-cased, blank and repeated labels dropped; lists inside the list are opened.

    Raises ModelFailure ``bad_json``, ``refusal`` and, where ``language`` is given, ``wrong_language``.
    """
    if len(values) > MAX_LABELS:
        raise ModelFailure("bad_json", f"{len(values)} labels, at most {MAX_LABELS} are believed")
    labels: list[str] = []
    for value in values:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            labels += [label for label in tidy(value, language) if label not in labels]
            continue
        if not isinstance(value, str) or len(value) > MAX_LABEL or (_CLAUSE.search(value) and not is_refusal(value)):
            raise ModelFailure("bad_json", f"not a label: {excerpt(repr(value))}")
        label = " ".join(storable(value).split()).strip("*_ .。").lower()
        if is_refusal(label):
            raise ModelFailure("refusal", f"the model refused: {excerpt(label)}")
        if language is not None and (language_of(label) or language) != language:
            raise ModelFailure("wrong_language", f"asked for labels in {language}: {excerpt(label)}")
        if label and label not in _NOTHING and label not in labels:
            labels.append(label)
    return labels
