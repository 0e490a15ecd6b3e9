"""The gate's codes in the reader's language: what a chip beside a clue says, and which words of the clue it marks."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

#: Claims that are held against action units; the others against the voice, and `quote` against the subtitle.
FACE = {
    *("smile", "cheeks_raised", "brows_lowered", "brows_raised", "inner_brows_raised", "eyes_wide", "eyes_narrowed"),
    *("nose_wrinkled", "upper_lip_raised", "lip_corners_down", "lips_pressed", "lips_stretched", "chin_raised"),
    *("smirk", "mouth_open", "jaw_dropped", "face_neutral"),
}
ORDER = ("contradicted", "supported", "not_measurable")
SIGNS = {"contradicted": "✗", "supported": "✓", "not_measurable": "?"}


def claims() -> dict[str, str]:
    """Every code of a claim with its name, face before voice before words."""
    return {
        "smile": _("smile"),
        "cheeks_raised": _("raised cheeks"),
        "brows_lowered": _("lowered brows"),
        "brows_raised": _("raised brows"),
        "inner_brows_raised": _("raised inner brows"),
        "eyes_wide": _("wide eyes"),
        "eyes_narrowed": _("narrowed eyes"),
        "nose_wrinkled": _("wrinkled nose"),
        "upper_lip_raised": _("raised upper lip"),
        "lip_corners_down": _("lip corners down"),
        "lips_pressed": _("pressed lips"),
        "lips_stretched": _("stretched lips"),
        "chin_raised": _("raised chin"),
        "smirk": _("smirk"),
        "mouth_open": _("open mouth"),
        "jaw_dropped": _("dropped jaw"),
        "face_neutral": _("neutral face"),
        "loud": _("loud voice"),
        "soft": _("soft voice"),
        "high_pitch": _("high pitch"),
        "low_pitch": _("low pitch"),
        "fast": _("fast speech"),
        "slow": _("slow speech"),
        "trembling": _("trembling voice"),
        "breathy": _("breathy or rough voice"),
        "flat": _("flat intonation"),
        "lively": _("lively intonation"),
        "calm": _("calm voice"),
        "silent": _("silence"),
        "quote": _("quoted words"),
    }


def verdict_names() -> dict[str, str]:
    return {
        "contradicted": _("contradicted"),
        "supported": _("supported"),
        "not_measurable": _("not measurable"),
    }


def script() -> dict[str, Any]:
    """Words for static/js/gate.js. `%s` is filled in there."""
    return {
        "claims": claims(),
        "verdicts": verdict_names(),
        "signs": SIGNS,
        "negated": _("no: %s"),
        "other": _("another person"),
        "hedged": _("hedged"),
        "threshold": _("threshold %s"),
        "play": _("Play %s"),
        "gate": _("Evidence gate"),
        "measured": _("measured, so not judged against itself"),
    }


def claim_name(verdict: Mapping[str, Any]) -> str:
    """What is claimed: "smile", "no: smile", "smile (another person)"."""
    name = claims().get(verdict["claim"], verdict["claim"])
    if verdict.get("negated"):
        name = _("no: %s") % name
    more = [_("hedged")] if verdict.get("hedged") else []
    more += [_("another person")] if verdict.get("who") == "other" else []
    return f"{name} ({', '.join(more)})" if more else name


def number(verdict: Mapping[str, Any]) -> str:
    """The measure with its value, unit and threshold; "" where nothing was measured."""
    if verdict.get("value") is None:
        return ""
    unit = f" {verdict['unit']}" if verdict.get("unit") not in (None, "", "1") else ""
    text = f"{verdict.get('measure') or ''} {round(verdict['value'], 3):g}{unit}".strip()
    if verdict.get("threshold") is not None:
        text += ", " + _("threshold %s") % f"{round(verdict['threshold'], 3):g}"
    return text


def in_order(verdicts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What contradicts first, then what supports, then what could not be measured; as they stand in the text."""
    return sorted(verdicts, key=lambda v: (ORDER.index(v["verdict"]), v.get("at") or [0]))


def with_sentences(verdicts: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Verdicts for a page or client: in order, each with `said`, a sentence in zh and en."""
    if not verdicts:
        return []
    from models_ml import gate

    return [
        {**verdict, "said": {language: gate.render(dict(verdict), language) for language in ("zh", "en")}}
        for verdict in in_order(verdicts or [])
    ]


def chips(verdicts: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """What templates/prelabels/_gate.html shows of a clue's verdicts."""
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    names = verdict_names()
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
        pieces.append((text[end:start],))
        pieces.append((format_html('<mark class="claimed claimed--{}" title="{}">{}</mark>', verdict["verdict"], title, text[start:stop]),))  # fmt: skip # noqa: E501
        end = stop
    pieces.append((text[end:],))
    return format_html_join("", "{}", pieces)
