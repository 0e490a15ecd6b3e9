"""Pre-labels made elsewhere: one text per clip from a CSV or JSONL file, also in the columns of AffectGPT's results."""

import contextlib
import csv
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus
from annotator.core import audit
from annotator.core.errors import Invalid
from models_ml.steps.translate import strip_scaffolding

from . import gating
from .models import ASPECTS, MODALITIES, Clue, PreLabeller
from .outputs import Drafted, supersede_many

BATCH = 500
JUDGED_AT_ONCE = 200  # clues of a manifest
MAX_TEXT = 20_000  # characters of one clue
ASPECT_OF = {"visual": "expression", "audio": "tone", "text": "content"}
NAME_COLUMNS = ("name", "names")
# Besides our own: the columns of AffectGPT's result files (names,chi_reasons) and of MER2025's (name,reason).
REASONS = {"zh": ("reason", "reasons", "chi_reasons"), "en": ("reason", "reasons", "eng_reasons")}
csv.field_size_limit(1 << 20)


def import_prelabels(
    user: Any,
    corpus: Corpus,
    content: bytes,
    *,
    filename: str,
    prelabeller: str,
    modality: str,
    language: str,
    aspect: str | None = None,
) -> dict[str, Any]:
    """Make the file's texts the current clues of `prelabeller`; answers like an ingest.

    CSV with the columns `name,text` or one JSON object a line with those keys, UTF-8. Result files of AffectGPT name
    them `names,chi_reasons`: such a reason speaks of all modalities at once, so unless `aspect` is given the clue is of
    no single aspect, and marks of few-shot prompts that leaked into it are taken off and reported under `repaired`.
    A row that cannot be used is reported by its line and the others go on; rows are written in batches, so a long
    import keeps what it has done.
    Raises Invalid for a file, modality, language or pre-labeller that cannot be used at all.
    """
    if user is not None:
        require(user, corpus, "clip.ingest")
    if modality not in MODALITIES or aspect not in (None, *ASPECTS):
        raise Invalid(_("The modality must be one of: %(known)s.") % {"known": ", ".join(MODALITIES)})
    if language not in ("zh", "en"):
        raise Invalid(_("The language must be zh or en."))
    reader = _Reader(content, filename, language)
    if aspect is None:
        aspect = "" if reader.reasons else ASPECT_OF[modality]
    source = _import_source(prelabeller, modality, language)
    report: dict[str, Any] = {"created": 0, "updated": 0, "unchanged": 0}
    report |= {key: [] for key in ("duplicates", "repaired", "warnings", "failed")}
    origin = {"prelabeller": source.name, "file": filename, "file_sha256": hashlib.sha256(content).hexdigest()}
    seen: dict[str, int] = {}
    rows = _unique(reader.rows(), seen, report)
    while batch := list(itertools.islice(rows, BATCH)):
        _write_batch(corpus, source, batch, (modality, aspect, language), origin, report)
    counts = {key: report[key] for key in ("created", "updated", "unchanged")} | {"failed": len(report["failed"])}
    audit.record(user, "prelabels.import", corpus=corpus.slug, target=source.name, file=filename, **counts)
    return report


def _import_source(name: str, modality: str, language: str) -> PreLabeller:
    if not name or len(name) > 120:
        raise Invalid(_("The pre-labeller needs a name of at most 120 characters."))
    row, _made = PreLabeller.objects.get_or_create(
        name=name, defaults={"kind": "import", "modality": modality, "language": language, "trust": "inside"}
    )
    if row.kind != "import":
        raise Invalid(_("“%(name)s” is a pre-labeller of this workbench; choose another name.") % {"name": name})
    return row


class _Reader:
    """Reads a file of pre-labels; `reasons`: its text column is that of a result file. Raises Invalid."""

    def __init__(self, content: bytes, filename: str, language: str) -> None:
        try:
            self.text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise Invalid(
                _("%(file)s is not UTF-8: line %(line)s holds a byte that is not.") % {"file": filename, "line": line}
            ) from error
        self.filename, self.language = filename, language
        self.jsonl = Path(filename).suffix.lower() in (".jsonl", ".ndjson")
        self.name, self.column = self._columns(self._header())
        self.reasons = self.column != "text"

    def _header(self) -> list[str]:
        """The columns of a CSV file, the keys of the first object of a JSONL file."""
        if not self.jsonl:
            try:
                return next(csv.reader(io.StringIO(self.text, newline=""), strict=True), [])
            except csv.Error:
                return []
        for line in self.text.split("\n"):
            with contextlib.suppress(ValueError, RecursionError):
                if line.strip() and isinstance(row := json.loads(line), dict):
                    return list(row)
        return ["name", "text"]  # nothing in it can be read: every line says so for itself

    def _columns(self, header: list[str]) -> tuple[str, str]:
        name = next((column for column in NAME_COLUMNS if column in header), "name")
        text = next((column for column in ("text", *REASONS[self.language]) if column in header), "text")
        other = REASONS["en" if self.language == "zh" else "zh"][-1]
        if text not in header and other in header:
            raise Invalid(
                _("%(file)s holds its texts in “%(column)s”, which is another language than the one given.")
                % {"file": self.filename, "column": other}
            )
        if not self.jsonl and (missing := [column for column in (name, text) if column not in header]):
            raise Invalid(_("%(file)s lacks the column “%(column)s”.") % {"file": self.filename, "column": missing[0]})
        return name, text

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """(line, `{"name", "text", "rules"}`) or (line, what is wrong with it)."""
        for line, row in self._jsonl() if self.jsonl else self._csv():
            if isinstance(row, str):
                yield line, row
                continue
            text, rules = strip_scaffolding(row[self.column]) if self.reasons else (row[self.column], [])
            yield line, {"name": row[self.name], "text": text, "rules": rules}

    def _csv(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        reader = csv.DictReader(io.StringIO(self.text, newline=""), strict=True)
        try:
            for row in reader:
                short = row[self.name] is None or row[self.column] is None or None in row
                yield reader.line_num, "the row has too few or too many fields" if short else row
        except csv.Error as error:
            yield reader.line_num, f"the rest of the file cannot be read as CSV: {error}"

    def _jsonl(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        for number, line in enumerate(self.text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {error}"
                continue
            whole = isinstance(row, dict) and all(isinstance(row.get(key), str) for key in (self.name, self.column))
            yield number, row if whole else f"not an object with the texts “{self.name}” and “{self.column}”"


def _unique(
    rows: Iterator[tuple[int, dict[str, Any] | str]], seen: dict[str, int], report: dict[str, Any]
) -> Iterator[tuple[int, str, str]]:
    """Good rows as (line, name, text); the bad ones go to the report."""
    for line, row in rows:
        if isinstance(row, str):
            report["failed"].append({"line": line, "reason": row})
            continue
        name, text = row["name"].strip(), row["text"].strip()
        if not name:
            report["failed"].append({"line": line, "reason": "the name is empty"})
        elif name in seen:
            report["failed"].append({"line": line, "name": name, "reason": f"the name is in line {seen[name]} already"})
        elif not text:
            report["failed"].append({"line": line, "name": name, "reason": "the text is empty"})
        elif "\x00" in name + text:
            report["failed"].append({"line": line, "reason": "the row holds a NUL character"})
        elif any("\ud800" <= character <= "\udfff" for character in name + text):
            report["failed"].append({"line": line, "reason": "the row holds half a character (a lone surrogate)"})
        elif len(text) > MAX_TEXT:
            report["failed"].append({"line": line, "name": name, "reason": f"the text is longer than {MAX_TEXT}"})
        else:
            seen[name] = line
            report["repaired"] += [{"name": name, "field": "text", "rule": rule} for rule in row["rules"]]
            yield line, name, text


@transaction.atomic
def _write_batch(
    corpus: Corpus,
    source: PreLabeller,
    batch: list[tuple[int, str, str]],
    kind: tuple[str, str, str],
    origin: dict[str, Any],
    report: dict[str, Any],
) -> None:
    modality, aspect, language = kind
    names = [name for _line, name, _text in batch]
    clips = {clip.name: clip for clip in corpus.clips.filter(name__in=names).select_for_update(no_key=True)}
    before = dict(
        Clue.objects.filter(
            clip__in=clips.values(), prelabeller=source, superseded_at=None, modality=modality, aspect=aspect,
            language=language,
        ).values_list("clip_id", "pk")
    )  # fmt: skip
    drafted: list[Drafted] = []
    for line, name, text in batch:
        clip: Clip | None = clips.get(name)
        if clip is None:
            report["failed"].append({"line": line, "name": name, "reason": "no clip of this name in the corpus"})
            continue
        if clip.withdrawn_at is not None:
            report["failed"].append({"line": line, "name": name, "reason": "the clip was withdrawn"})
            continue
        item = {"modality": modality, "aspect": aspect, "language": language, "text": text}
        provenance = {**origin, "line": line, "media_sha256": clip.media_sha256}
        drafted.append(Drafted(clip, source, [item], provenance, only=kind))
    stored = [clues[0] for clues in supersede_many(drafted)]
    for clue in stored:
        earlier = before.get(clue.clip_id)
        report["created" if earlier is None else "unchanged" if earlier == clue.pk else "updated"] += 1
    gating.judge_stored(stored)


def import_clues(corpus: Corpus, clues: dict[int, list[dict[str, Any]]]) -> set[int]:
    """Clues that came with a manifest's rows, by clip id; the ids of the clips whose clues changed.

    Call it inside the transaction that stores the rows. Clues of one source with the same modality, aspect and
    language become one: a pre-labeller has one current clue of a kind. The evidence gate judges a few at once, many
    by a worker.
    """
    sources: dict[str, PreLabeller] = {}
    drafted: list[Drafted] = []
    for clip in corpus.clips.filter(pk__in=clues).select_for_update(no_key=True).order_by("pk"):
        for name, items in _by_source(clues[clip.pk]).items():
            if name not in sources:
                sources[name] = _import_source(name, "", "")
            provenance = {"prelabeller": name, "media_sha256": clip.media_sha256}
            drafted.append(Drafted(clip, sources[name], items, provenance))
    before = _current(drafted)
    at_once = sum(len(each.items) for each in drafted) <= JUDGED_AT_ONCE
    stored = [clue for rows in supersede_many(drafted, judge=at_once) for clue in rows]
    if at_once:  # nobody waits for a large file's verdicts: the scheduler's next turn takes them up
        gating.judge_stored(stored)
    return {clip_id for clip_id, _clue in before ^ _current(drafted)}


def _current(drafted: Sequence[Drafted]) -> set[tuple[int, int]]:
    """(clip, clue) of the current clues of these sources on these clips."""
    rows = Clue.objects.filter(
        clip__in={each.clip.pk for each in drafted},
        prelabeller__in={each.prelabeller.pk for each in drafted},
        superseded_at=None,
    )
    return set(rows.values_list("clip_id", "pk"))


def _by_source(clues: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    merged: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = {}
    for clue in clues:
        of_source = merged.setdefault(str(clue.get("source") or "manifest")[:120], {})
        key = (clue["modality"], clue.get("aspect") or "", clue["language"])
        if key in of_source:
            of_source[key]["text"] += f"\n{clue['text']}"
        else:
            of_source[key] = dict(zip(("modality", "aspect", "language"), key, strict=True)) | {"text": clue["text"]}
    return {name: list(items.values()) for name, items in merged.items()}
