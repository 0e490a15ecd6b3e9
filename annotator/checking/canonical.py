"""A record's canonical line: the JSON object that stands in records.jsonl, the same bytes everywhere.

All keys are always there; what is missing is null, never "" or NaN; seconds have 3 decimals; text keeps its bytes.
Nothing here depends on ids, time, people or the database. Snapshots stream these lines and join their hashes.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

MODALITY_ORDER = {"visual": 0, "audio": 1, "text": 2}
LANGUAGES = ("zh", "en")
KEYS = (
    *("clip", "media_sha256", "duration", "source", "speaker", "licence", "subtitle", "label"),
    *("clues", "description", "ov_labels", "grade"),
)


def seconds(value: float | None) -> float | None:
    """Seconds with 3 decimals; what is no finite number is missing."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), 3) + 0.0  # + 0.0 turns -0.0 into 0.0


def span(value: Any) -> list[float | None] | None:
    """`[t0, t1]` in seconds, or None."""
    return None if value is None else [seconds(value[0]), seconds(value[1])]


def labels(values: Iterable[str]) -> list[str]:
    """OV labels in first-seen order, each once."""
    return list(dict.fromkeys(values))


def clue(item: Mapping[str, Any]) -> dict[str, Any]:
    """A clue of a record with exactly the keys of the format; `prelabel` is what the pre-labeller had drafted."""
    drafted = item.get("prelabel")
    return {
        "modality": item["modality"],
        "aspect": item.get("aspect") or None,
        "language": item["language"],
        "text": item["text"],
        "span": span(item.get("span")),
        "verdict": item.get("verdict") or None,
        "prelabel": drafted
        and {
            "text": drafted["text"],
            "prelabeller": drafted["prelabeller"],
            "prompt": drafted.get("prompt") or None,
        },
    }


def clue_order(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """visual < audio < text, aspect, span start or −1, language, text; then whatever else tells two clues apart."""
    where, drafted = item["span"], item["prelabel"] or {}
    return (
        MODALITY_ORDER[item["modality"]],
        item["aspect"] or "",
        where[0] if where else -1,
        item["language"],
        item["text"],
        where[1] if where else -1,
        item["verdict"] or "",
        *(drafted.get(key) or "" for key in ("prelabeller", "prompt", "text")),
    )


def build(
    clip: Mapping[str, Any],
    *,
    clues: Iterable[Mapping[str, Any]],
    description: Mapping[str, str | None],
    ov_labels: Mapping[str, Iterable[str]],
    label: str | None,
    grade: str,
) -> dict[str, Any]:
    """The record as a JSON object. `clip` has `name, media_sha256, duration, source, speaker, licence, subtitle`."""
    return {
        "clip": clip["name"],
        "media_sha256": clip["media_sha256"] or None,
        "duration": seconds(clip["duration"]),
        "source": clip["source"] or None,
        "speaker": clip["speaker"] or None,
        "licence": clip["licence"],
        "subtitle": {language: clip["subtitle"].get(language) or None for language in LANGUAGES},
        "label": label or None,
        "clues": sorted((clue(item) for item in clues), key=clue_order),
        "description": {language: description.get(language) or None for language in LANGUAGES},
        "ov_labels": {language: labels(ov_labels.get(language) or ()) for language in LANGUAGES},
        "grade": grade,
    }


def dumps(record: Mapping[str, Any]) -> str:
    """The canonical JSON text of a record, without the newline that ends its line."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(line: str) -> str:
    """The hash of the line as it stands in records.jsonl, newline included."""
    return hashlib.sha256(f"{line}\n".encode()).hexdigest()
