"""MER2025's and MER2026's training CSVs: track 2 (OV labels), track 3 (descriptions), and their subtitles.

OV-MERD was checked by people (grade fine); MER-Caption and MER-Caption+ come from models (grade coarse).
"""

from __future__ import annotations

from pathlib import Path

from models_ml.formats.bodies import FormatError, Imported, body, language_of, named_rows, read_table, text_or_none

GRADES = {"ovmerd": "fine", "human": "fine", "mercaptionplus": "coarse", "mercaption": "coarse"}


def read_mer2025(folder: str | Path, which: str, subtitles: str | Path | None = None) -> Imported:
    """``track2_train_<which>.csv`` (`name,openset`) and ``track3_train_<which>.csv`` (`name,reason`) of a folder,
    either or both; subtitles: default ``subtitle_chieng.csv`` beside them, where it is.

    An empty label list becomes ``neutral``, as in the published loader. Raises FormatError.
    """
    from models_ml.metrics.labels import MetricError, parse_strict

    folder = Path(folder)
    labels_file, reasons_file = (folder / f"track{track}_train_{which}.csv" for track in (2, 3))
    there = [path for path in (labels_file, reasons_file) if path.is_file()]
    if not there:
        raise FormatError(f"{folder}: neither {labels_file.name} nor {reasons_file.name}")
    labels = named_rows(labels_file, "name", ["openset"]) if labels_file in there else {}
    reasons = named_rows(reasons_file, "name", ["reason"]) if reasons_file in there else {}
    beside = folder / "subtitle_chieng.csv"
    spoken = read_subtitles(subtitles or beside) if subtitles or beside.is_file() else {}
    imported = Imported()
    for name in sorted({*labels, *reasons}):
        words: list[str] = []
        if name in labels:
            try:
                words = parse_strict(labels[name]["openset"]) or ["neutral"]
            except MetricError as error:
                raise FormatError(f"{labels_file}, clip {name}: {error}") from error
        reason = text_or_none(reasons[name]["reason"]) if name in reasons else None
        if len(there) == 2 and (name not in labels or reason is None):
            imported.warn(name, f"no {'labels' if name not in labels else 'description'}")
        if spoken and name not in spoken:
            imported.warn(name, "no row among the subtitles")
        imported.rows.append(
            body(
                name, grade=GRADES.get(which, "coarse"), subtitle=spoken.get(name),
                description={language_of(reason): reason} if reason else {}, ov_labels={"en": words},
            )
        )  # fmt: skip
    return imported.sorted()


def read_subtitles(path: str | Path) -> dict[str, dict[str, str | None]]:
    """Clip -> subtitles, of a CSV with `name` and `chinese` and/or `english` (or MERR's `name,sentence`); an empty
    cell, or pandas' ``nan``, is none. Of a name that comes twice the first counts. Raises FormatError."""
    found: dict[str, dict[str, str | None]] = {}
    for line, row in read_table(path, ["name"]):
        columns = {"zh": row.get("chinese"), "en": row.get("english", row.get("sentence"))}
        if all(text is None for text in columns.values()):
            raise FormatError(f"{path}: no column 'chinese', 'english' or 'sentence'")
        name = row["name"].strip()
        if not name:
            raise FormatError(f"{path}, line {line}: no clip name")
        texts = {language: text_or_none(text) for language, text in columns.items()}
        found.setdefault(name, {key: None if (text or "").lower() == "nan" else text for key, text in texts.items()})
    return found
