"""EMER's published files. V1: gt-eng.csv and gt-chi.csv; V2: final-EMER-reason.csv. Checked by people: grade fine."""

from __future__ import annotations

import re
from pathlib import Path

from models_ml.formats.bodies import CHINESE, FormatError, Imported, body, clue, named_rows, text_or_none

IN, OUT = "Input:", "Output:"
#: Openers of the three clauses of V2's Chinese text; its ``；`` also stand inside clauses.
OPENERS = {"visual": "在视频中，", "audio": "在音频中，", "text": "在文本中，"}
ENGLISH = {"audio": "In the audio", "text": "In the text"}
NO_CLUE = ("无法判断人物情感状态", "无法根据字幕内容判断情感状态")
SUBTITLE = re.compile("字幕内容：“([^”]*)”")


def read_emer_v1(english: str | Path | None, chinese: str | Path | None) -> Imported:
    """EMER-V1 in one language or both (`names,emotions,subtitles,reasons`); both must hold the same clips.

    The label is the English word where there is one. Raises FormatError.
    """
    columns = ["emotions", "subtitles", "reasons"]
    tables = {
        language: named_rows(path, "names", columns)
        for language, path in (("en", english), ("zh", chinese))
        if path is not None
    }
    if not tables:
        raise FormatError("EMER-V1: neither gt-eng.csv nor gt-chi.csv is there")
    names = set.union(*map(set, tables.values()))
    imported = Imported()
    for name in sorted(names):
        rows = {language: table[name] for language, table in tables.items() if name in table}
        if len(rows) < len(tables):
            imported.warn(name, f"stands in {', '.join(rows)} only")
        if not any(text_or_none(row["reasons"]) for row in rows.values()):
            imported.warn(name, "no reasons; left out")
            continue
        imported.rows.append(
            body(
                name, grade="fine", label=next(iter(rows.values()))["emotions"],
                subtitle={language: _subtitle(row["subtitles"]) for language, row in rows.items()},
                description={language: row["reasons"] for language, row in rows.items()},
            )
        )  # fmt: skip
    return imported.sorted()


def _subtitle(text: str) -> str | None:
    # What pandas writes for an empty cell; nobody says it as a whole subtitle.
    return None if text.strip().lower() == "nan" else text


def read_emer_v2(path: str | Path, openset: str | Path | None = None) -> Imported:
    """EMER-V2 (`name,chinese,english`), with MER2024's `name,openset` for the labels where it is given.

    The English text loses the translation prompt's ``Input:`` and ``Output:`` that leaked into it; the Chinese text is
    cut into clues at its clause openers, the English one where it has the same; the Chinese subtitle is the one that
    the text clause quotes. Raises FormatError.
    """
    rows = named_rows(path, "name", ["chinese", "english"])
    labels = _labels(openset) if openset is not None else {}
    imported = Imported()
    for name in sorted(set(labels) - set(rows)):
        imported.warn(name, "has labels and no text; left out")
    for name, row in rows.items():
        english = without_scaffolding(row["english"])
        if english != row["english"].strip():
            imported.repair(name, "english", "prompt scaffolding (Input:, Output:) taken out")
        if CHINESE.search(english):
            imported.warn(name, "Chinese words inside the English text")
        chinese = row["chinese"].strip()
        if not chinese and not english:
            imported.warn(name, "neither text; left out")
            continue
        clauses = clauses_of(chinese)
        spoken = SUBTITLE.search(clauses.get("text", ""))
        found = [clue(modality, "zh", text) for modality, text in clauses.items() if not _says_nothing(text)]
        found += [
            clue(modality, "en", text)
            for modality, text in english_clauses(english).items()
            if modality not in clauses or not _says_nothing(clauses[modality])
        ]
        if openset is not None and name not in labels:
            imported.warn(name, "no labels")
        imported.rows.append(
            body(
                name, grade="fine", subtitle={"zh": spoken.group(1) if spoken else None}, clues=found,
                description={"zh": chinese, "en": english}, ov_labels={"en": labels.get(name, [])},
            )
        )  # fmt: skip
    return imported.sorted()


def without_scaffolding(text: str) -> str:
    """An English text without the markers of the translation prompt: of a draft and a final text, the final one."""
    text = text.strip().removeprefix(IN).strip().removesuffix(OUT).strip()
    return text.rpartition(OUT)[2].strip()


def clauses_of(chinese: str) -> dict[str, str]:
    """Modality -> clause of V2's Chinese text; empty where the openers do not stand there once, in order."""
    audio, text = chinese.find(OPENERS["audio"]), chinese.find(OPENERS["text"])
    if not 0 < audio < text:
        return {}
    parts = {"visual": chinese[:audio], "audio": chinese[audio:text], "text": chinese[text:]}
    return {modality: part.strip().rstrip("；").strip() for modality, part in parts.items()}


def english_clauses(english: str) -> dict[str, str]:
    """Modality -> clause of the English text, where "In the audio" and "In the text" stand there once, in order."""
    if english.count(ENGLISH["audio"]) != 1 or english.count(ENGLISH["text"]) != 1:
        return {}
    audio, text = english.index(ENGLISH["audio"]), english.index(ENGLISH["text"])
    if not 0 < audio < text:
        return {}
    parts = {"visual": english[:audio], "audio": english[audio:text], "text": english[text:]}
    return {modality: part.strip() for modality, part in parts.items()}


def _says_nothing(clause: str) -> bool:
    """Whether a clause is the sentinel for "no clue"."""
    rest = clause
    for opener in OPENERS.values():
        rest = rest.removeprefix(opener)
    return rest.strip("。；， ") in NO_CLUE


def _labels(path: str | Path) -> dict[str, list[str]]:
    from models_ml.metrics.labels import MetricError, read_openset

    try:
        return read_openset(path)
    except MetricError as error:
        raise FormatError(str(error)) from error
