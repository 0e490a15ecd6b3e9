"""Exports of a snapshot or of current records: rejected clues and withdrawn clips are left out.

Each format names what it cannot hold in `lost`. CSV is research CSV: UTF-8, LF, byte-exact, never escaped.
"""

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from annotator.clips.media import original_path
from annotator.clips.models import Clip
from annotator.core.errors import Forbidden, Invalid

from . import queries, services
from .models import Snapshot

Body = dict[str, Any]


def without_rejected(body: Body) -> Body:
    return {**body, "clues": [clue for clue in body["clues"] if clue["verdict"] != "rejected"]}


def _rows(header: list[str], rows: Iterable[list[Any]]) -> Iterator[bytes]:
    writer = csv.writer(_Line(), lineterminator="\r\n")
    lines = [writer.writerow(header)]
    size = 0
    for row in rows:
        lines.append(writer.writerow(row))
        size += len(lines[-1])
        if size > 64 * 1024:
            yield "".join(lines).encode()
            lines, size = [], 0
    yield "".join(lines).encode()


class _Line:
    """What `csv.writer` writes to: `writerow` returns the line, ended by LF.

    The writer itself ends lines by CR LF: that of Python 3.11 quotes a bare CR, at which readers break the row, only
    where CR ends its lines.
    """

    def write(self, line: str) -> str:
        return line.removesuffix("\r\n") + "\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def as_jsonl(bodies: Iterable[Body]) -> Iterator[bytes]:
    """records.jsonl's lines without the rejected clues."""
    for body in bodies:
        yield (_dump(without_rejected(body)) + "\n").encode()


_CSV = [
    "name", "media_sha256", "duration", "source", "speaker", "licence", "subtitle_zh", "subtitle_en", "label",
    "visual_clues", "audio_clues", "text_clues", "description_zh", "description_en", "ov_labels_zh", "ov_labels_en",
    "grade",
]  # fmt: skip


def as_csv(bodies: Iterable[Body]) -> Iterator[bytes]:
    """One row a record; a modality's clues are joined by newlines, OV labels are JSON lists."""

    def row(body: Body) -> list[Any]:
        kept = without_rejected(body)["clues"]
        clues = ["\n".join(c["text"] for c in kept if c["modality"] == m) for m in ("visual", "audio", "text")]
        ov = body["ov_labels"]
        head = [body[key] for key in ("clip", "media_sha256", "duration", "source", "speaker", "licence")]
        subtitle, description = body["subtitle"], body["description"]
        return [
            *head, subtitle["zh"], subtitle["en"], body["label"], *clues, description["zh"], description["en"],
            json.dumps(ov["zh"], ensure_ascii=False), json.dumps(ov["en"], ensure_ascii=False), body["grade"],
        ]  # fmt: skip

    return _rows(_CSV, (row(body) for body in bodies))


def as_emer_v2(bodies: Iterable[Body]) -> Iterator[bytes]:
    """final-EMER-reason.csv as published: `name,chinese,english`."""
    return _rows(
        ["name", "chinese", "english"],
        ([body["clip"], body["description"]["zh"] or "", body["description"]["en"] or ""] for body in bodies),
    )


def as_openset(bodies: Iterable[Body]) -> Iterator[bytes]:
    """MER2024's `name,openset`: the English OV labels as a Python list literal, lower case, each once."""
    lists = ((b["clip"], dict.fromkeys(x.lower() for x in b["ov_labels"]["en"])) for b in bodies)
    return _rows(["name", "openset"], ([clip, repr(list(labels))] for clip, labels in lists))


class Format(NamedTuple):
    write: Callable[[Iterable[Body]], Iterator[bytes]]
    content_type: str
    extension: str
    lost: list[str]


_ALL = ["media_sha256", "duration", "source", "speaker", "licence", "subtitle", "label", "clues"]
FORMATS: dict[str, Format] = {
    "jsonl": Format(as_jsonl, "application/x-ndjson", "jsonl", ["clues[verdict=rejected]"]),
    "csv": Format(
        as_csv, "text/csv; charset=utf-8", "csv",
        ["clues[].aspect", "clues[].language", "clues[].span", "clues[].verdict", "clues[].prelabel"],
    ),
    "emer-v2": Format(as_emer_v2, "text/csv; charset=utf-8", "csv", [*_ALL, "ov_labels", "grade"]),
    "openset": Format(as_openset, "text/csv; charset=utf-8", "csv", [*_ALL, "description", "ov_labels.zh", "grade"]),
}  # fmt: skip
FOLDERS = ("folder",)


def stream(snapshot: Snapshot, name: str) -> Iterator[bytes]:
    """The bytes of a file format. Raises Invalid for an unknown one."""
    return known_format(name).write(body for _line, body in queries.lines_of(snapshot))


def known_format(name: str) -> Format:
    if name not in FORMATS:
        raise Invalid(
            _("There is no export format “%(name)s”; choose from %(known)s.")
            % {"name": name, "known": ", ".join([*FOLDERS, *FORMATS])}
        )
    return FORMATS[name]


def export(snapshot: Snapshot, name: str, out: Path, media: str = "none") -> dict[str, Any]:
    """Write the export to `out` (a file, or a folder for folder formats) and report what it lost.

    Refuses to overwrite, and refuses media of restricted clips for everybody.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise Invalid(_("“%s” exists already; exports never overwrite.") % out)
    if media != "none" and name not in FOLDERS:
        raise Invalid(_("Only a folder can hold media; format “%s” is one file.") % name)
    out.parent.mkdir(parents=True, exist_ok=True)
    if name in FOLDERS:
        records, size = _folder(snapshot, out, media)
        return {"format": name, "path": str(out), "bytes": size, "records": records, "lost": []}
    chosen = known_format(name)
    temporary = out.with_name(out.name + ".part")
    records = 0

    def bodies() -> Iterator[Body]:
        nonlocal records
        for _line, body in queries.lines_of(snapshot):
            records += 1
            yield body

    with temporary.open("wb") as file:
        for block in chosen.write(bodies()):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(out)
    report = {"format": name, "path": str(out), "bytes": out.stat().st_size, "records": records, "lost": chosen.lost}
    if withdrawn := queries.withdrawn_clips(snapshot):
        report["withdrawn"] = withdrawn
    return report


def _folder(snapshot: Snapshot, out: Path, media: str) -> tuple[int, int]:
    """The snapshot's own bytes, and with `link` or `copy` the media beside them as media/<sha256>.<ext>."""
    withdrawn = queries.withdrawn_clips(snapshot)
    if withdrawn:
        raise Invalid(
            _("Clips of this snapshot were withdrawn (%s); its folder can no longer be handed out. Freeze a new one.")
            % ", ".join(withdrawn[:5]),
            withdrawn=withdrawn,
        )
    clips = list(
        Clip.objects.filter(records__revisions__entries__snapshot=snapshot).select_related("corpus").order_by("name")
    )
    if media != "none":
        closed = [clip.name for clip in clips if clip.effective_licence == "restricted"]
        if closed:
            raise Forbidden(
                _("Restricted clips never leave in an export: %(n)d of this snapshot, “%(first)s” among them.")
                % {"n": len(closed), "first": closed[0]}
            )
    services.require_files(snapshot)
    # Made beside `out` and renamed, so that one that fails half-way can be repeated.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as holder:
        part = Path(holder) / "content"
        _fill(snapshot, clips, part, media)
        part.rename(out)  # onto an empty folder at most
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return snapshot.manifest["counts"]["records"], size


def _fill(snapshot: Snapshot, clips: list[Clip], part: Path, media: str) -> None:
    shutil.copytree(services.folder_of(snapshot), part, copy_function=shutil.copyfile)
    if media != "none":
        target = part / "media"
        target.mkdir()
        for clip in clips:
            if clip.media not in ("stored", "reference"):
                continue
            try:
                source = original_path(clip)
            except FileNotFoundError as error:
                raise Invalid(_("The media of clip “%s” is lost; export with --media none.") % clip.name) from error
            goal = target / f"{clip.media_sha256}{Path(clip.media_path).suffix.lower()}"
            if media == "link":
                goal.symlink_to(source)
            else:
                shutil.copyfile(source, goal)
