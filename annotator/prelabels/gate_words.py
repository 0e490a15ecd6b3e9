"""The gate's verdicts in the reader's language: what a chip beside a clue says, and which words of the clue it marks.

Names of claims, verdicts and measures are the library's own (`models_ml.gate.render`), in Chinese and English.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from models_ml import gate
from models_ml.gate.render import MEASURES, NAMES, UNITS, VERDICTS

ORDER = ("contradicted", "supported", "not_measurable")
QUOTED = 40  # characters of a quotation on a chip
SIGNS = {"contradicted": "✗", "supported": "✓", "not_measurable": "?"}


def _here() -> int:
    """Which of (English, Chinese) the reader reads."""
    return int((get_language() or "").startswith("zh"))


def claims() -> dict[str, str]:
    """Every code of a claim with its name, face before voice before words."""
    return {code: NAMES[code][_here()] for code in gate.CODES}


def verdict_names() -> dict[str, str]:
    return {verdict: VERDICTS[verdict][_here()] for verdict in ORDER}


def script() -> dict[str, Any]:
    """Words for static/js/gate.js. `%s` is filled in there."""
    return {
        "claims": claims(),
        "verdicts": verdict_names(),
        "measures": {name: words[_here()] for name, words in MEASURES.items()},
        "units": {unit: words[_here()] for unit, words in UNITS.items()},
        "signs": SIGNS,
        "negated": _("no: %s"),
        "other": _("another person"),
        "hedged": _("hedged"),
        "threshold": _("threshold %s"),
        "play": _("Play %s"),
        "gate": _("Evidence gate"),
    }


def claim_name(verdict: Mapping[str, Any]) -> str:
    """What is claimed: "smile", "no: smile", "smile (another person)", "quoted words “we won”"."""
    name = claims().get(verdict["claim"], verdict["claim"])
    if verdict["claim"] == "quote":
        name += f" “{verdict['text'][:QUOTED]}{'…' if len(verdict['text']) > QUOTED else ''}”"
    if verdict.get("negated"):
        name = _("no: %s") % name
    more = [_("hedged")] if verdict.get("hedged") else []
    more += [_("another person")] if verdict.get("who") == "other" else []
    return f"{name} ({', '.join(more)})" if more else name


def number(verdict: Mapping[str, Any]) -> str:
    """The measure with its value, unit and threshold; "" where nothing was measured."""
    if verdict.get("value") is None:
        return ""
    name, unit = verdict.get("measure") or "", verdict.get("unit")
    name = MEASURES[name][_here()] if name in MEASURES else name
    if unit == "share":
        return f"{name} {verdict['value']:.0%}"
    text = f"{name} {_short(verdict['value'])}" + (UNITS[unit][_here()] if unit in UNITS else "")
    if verdict.get("threshold") is not None:
        text += ", " + _("threshold %s") % _short(verdict["threshold"])
    return text


def _short(value: float) -> str:
    return f"{round(value, 2):g}".replace("-", "\N{MINUS SIGN}")


def in_order(verdicts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What contradicts first, then what supports, then what could not be measured; as they stand in the text."""
    return sorted(verdicts, key=lambda v: (ORDER.index(v["verdict"]), v.get("at") or [0]))


def with_sentences(verdicts: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Verdicts for a page or client: in order, each with `said`, a sentence in zh and en."""
    return [
        {**verdict, "said": {language: gate.render(verdict, language) for language in ("zh", "en")}}
        for verdict in in_order(verdicts or [])
    ]


def chips(verdicts: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """What templates/prelabels/_gate.html shows of a clue's verdicts."""
    language, names = ("en", "zh")[_here()], verdict_names()
    return [
        {
            "verdict": verdict["verdict"],
            "sign": SIGNS[verdict["verdict"]],
            "word": names[verdict["verdict"]],
            "claim": claim_name(verdict),
            "number": number(verdict),
            "span": verdict.get("span"),
            "said": verdict["said"][language],
        }
        for verdict in with_sentences(verdicts)
    ]


def marked(text: str, verdicts: Sequence[Mapping[str, Any]] | None) -> SafeString:
    """The clue's text with the words marked that its claims stand on. Places count characters of `text`."""
    names = verdict_names()
    pieces: list[tuple[SafeString | str]] = []
    end = 0
    for verdict in sorted(verdicts or [], key=lambda v: (v["at"][0], -v["at"][1])):
        start, stop = verdict["at"]
        if not end <= start < stop <= len(text):
            continue  # inside the words of a longer claim that begins before it
        title = f"{names[verdict['verdict']]}: {claim_name(verdict)}"
        mark = '<mark class="claimed claimed--{}" title="{}">{}</mark>'
        pieces.append((text[end:start],))
        pieces.append((format_html(mark, verdict["verdict"], title, text[start:stop]),))
        end = stop
    pieces.append((text[end:],))
    return format_html_join("", "{}", pieces)
