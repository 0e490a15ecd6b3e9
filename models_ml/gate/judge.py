"""A clue's claims, each with a verdict and the number it rests on."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models_ml.face import AuTrack
from models_ml.gate.finder import Claim, find
from models_ml.gate.lexicon import Lexicon, fingerprint, load
from models_ml.gate.measures import FACE_UNITS, Finding, hold_face, hold_quote, hold_voice

#: Of the rules and the lexicon. A clue judged by another version is judged again.
VERSION = f"1.{fingerprint()}"
SWAPPED = {"supported": "contradicted", "contradicted": "supported", "not_measurable": "not_measurable"}
Verdict = dict[str, Any]


def judge(
    text: str,
    language: str,
    *,
    modality: str,
    au: AuTrack | None,
    measures: Mapping[str, Any] | None,
    subtitle: Mapping[str, str | None] | None,
    span: Sequence[float] | None = None,
    proposed: Iterable[Mapping[str, Any]] = (),
) -> list[Verdict]:
    """Every claim of a clue held against the measurements, in the order of the text.

    `language` is the clue's; a clue of mixed languages is read in both. `modality` is visual, audio or text. `measures`
    is what `models_ml.voice.measure` returns, `subtitle` `{"zh", "en"}`, `span` [t0, t1] in seconds or None. `proposed`
    are candidates of `models_ml.gate.propose`.

    Each verdict: claim, text (the matched words), at [start, end] in `text`, negated, hedged, who (target, other),
    verdict (supported, contradicted, not_measurable), measure, value, unit, threshold, span [t0, t1] or None, reason;
    and `by: "model"` where the lexicon did not find it. Raises LexiconError for a malformed GATE_LEXICON.
    """
    found = read(text, modality)
    verdicts = [_verdict(claim, text, au, measures, subtitle or {}, span) for claim in found]
    known = {(claim.claim, claim.who, claim.negated) for claim in found}
    for candidate in proposed:
        start, end = candidate["at"]
        claim = Claim(candidate["claim"], start, end, bool(candidate.get("negated")), who=candidate["who"])
        if (claim.claim, claim.who, claim.negated) not in known:
            verdicts.append({**_verdict(claim, text, au, measures, subtitle or {}, span), "by": "model"})
    return verdicts


def read(text: str, modality: str) -> tuple[Claim, ...]:
    """The claims of a text. Remembered for a moment: who has a text early may have it read before it is judged."""
    return _read(text, modality, load())


@functools.lru_cache(maxsize=4096)
def _read(text: str, modality: str, lexicon: Lexicon) -> tuple[Claim, ...]:
    return tuple(find(text, modality, lexicon))


def _verdict(
    claim: Claim,
    text: str,
    au: AuTrack | None,
    measures: Mapping[str, Any] | None,
    subtitle: Mapping[str, str | None],
    span: Sequence[float] | None,
) -> Verdict:
    if claim.who == "other":
        finding = Finding("not_measurable", "other_person")
    elif claim.claim in FACE_UNITS:
        finding = hold_face(claim.claim, au, span)
    elif claim.claim == "quote":
        finding = hold_quote(claim.quote or text[claim.start : claim.end], subtitle)
    else:
        finding = hold_voice(claim.claim, measures)
    return {
        "claim": claim.claim,
        "text": text[claim.start : claim.end],
        "at": [claim.start, claim.end],
        "negated": claim.negated,
        "hedged": claim.hedged,
        "who": claim.who,
        "verdict": SWAPPED[finding.verdict] if claim.negated else finding.verdict,
        "measure": finding.measure,
        "value": finding.value,
        "unit": finding.unit,
        "threshold": finding.threshold,
        "span": list(finding.span) if finding.span else None,
        "reason": finding.reason,
    }
