"""Clips by row, without opening media: JSONL (streamed), CSV, Parquet. 115,595 rows in bounded memory."""

import importlib
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

from .models import Corpus
from .names import clean_name, hidden, storable
from .reports import Report
from .storage import MAX_PATH
from .store import Item, store
from .tables import BadRow, present, read_rows

BATCH = 1000
MAX_LINE = 1 << 20  # bytes of one JSONL line
OUTSIDE_NAMED = 20  # of the media paths outside MEDIA_IMPORT_ROOTS, the rest is counted
TEXTS = {"media": 2000, "source": 200, "speaker": 200, "label": 80}
COLUMNS = ("media", "sha256", "duration", *list(TEXTS)[1:], "licence", "subtitle_zh", "subtitle_en", "clues")
MODALITIES = ("visual", "audio", "text")
ASPECTS = ("expression", "gesture", "scene", "tone", "prosody", "content", "")
SHA256 = re.compile(r"[0-9a-f]{64}")
PRIVATE_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa", "lan")

Row = tuple[int, dict[str, Any] | BadRow]


def ingest_manifest(corpus: Corpus, path: Path, *, actor: Any = None) -> Report:
    """Rows of a .jsonl, .csv or .parquet file become clips; relative media paths are relative to the file.

    Raises Invalid when the file is not there, is of another kind, or Parquet cannot be read here.
    """
    report = Report()
    if not path.is_file():
        raise Invalid(_("There is no file “%(path)s”.") % {"path": path})
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return ingest_rows(corpus, _parquet_rows(path), report, folder=path.parent, actor=actor)
    if suffix not in (".jsonl", ".csv"):
        raise Invalid(_("A manifest is a .jsonl, .csv or .parquet file, not “%(name)s”.") % {"name": path.name})
    with path.open("rb") as file:
        rows: Iterator[Row] = jsonl_rows(file.readline) if suffix == ".jsonl" else read_rows(file, path.name, COLUMNS)
        return ingest_rows(corpus, rows, report, folder=path.parent, actor=actor)


def ingest_rows(
    corpus: Corpus, rows: Iterable[Row], report: Report, *, folder: Path | None = None, actor: Any = None
) -> Report:
    """Store rows in batches, each in its own transaction; a bad row is named by its line, the rest goes on."""
    lines: dict[str, int] = {}
    outside = 0
    batch: list[Item] = []

    def flush() -> int:
        """Store the batch; how many of its clips have media that cannot be opened."""
        if not batch:
            return 0
        store(corpus, batch, report, actor=actor)
        far = [i.name for i in batch if i.media == "reference" and not _inside_roots(i.media_path)]
        batch.clear()
        clips = corpus.clips.filter(name__in=far, derived="none", media="reference").order_by("id")
        names = list(clips.values_list("name", flat=True))
        for name in names[: max(0, OUTSIDE_NAMED - outside)]:
            report.warn(name, _("its media lies outside MEDIA_IMPORT_ROOTS and cannot be opened"))
        return len(names)

    for number, row in rows:
        item = row if isinstance(row, BadRow) else read_item(number, row, folder, report)
        if isinstance(item, BadRow):
            named = row.get("name") if isinstance(row, dict) else None
            report.fail(item.reason, line=number, name=named if isinstance(named, str) and named else None)
            continue
        if item.name in lines:
            text = _("the name is used twice: line %(line)d has it") % {"line": lines[item.name]}
            report.fail(text, name=item.name, line=number)
            continue
        lines[item.name] = number
        batch.append(item)
        if len(batch) >= BATCH:
            outside += flush()
    outside += flush()
    if outside > OUTSIDE_NAMED:
        text = _("and %(n)d more clips whose media lies outside MEDIA_IMPORT_ROOTS")
        report.warn("", text % {"n": outside - OUTSIDE_NAMED})
    return report


def jsonl_rows(readline: Callable[[int], bytes]) -> Iterator[Row]:
    """(line number, object) of each line; one that is no JSON object, no UTF-8 or too long is a BadRow."""
    number = 0
    while line := readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while (rest := readline(MAX_LINE)) and not rest.endswith(b"\n"):
                continue
            yield number, BadRow(_("the line has more than %(n)d bytes") % {"n": MAX_LINE})
            continue
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        except UnicodeDecodeError as error:
            yield number, BadRow(_("bytes that are not UTF-8 (byte %(at)d)") % {"at": error.start})
        except (ValueError, RecursionError) as error:
            yield number, BadRow(_("not JSON: %(why)s") % {"why": str(error)[:150]})
        else:
            yield number, row if isinstance(row, dict) else BadRow(_("not a JSON object"))


def read_item(number: int, row: dict[str, Any], folder: Path | None, report: Report) -> Item | BadRow:
    """A checked row; what was mended is reported. Unknown keys are left alone: manifests carry more than we read."""
    try:
        name = row.get("name")
        if not isinstance(name, str):
            raise Invalid(_("the name is missing"))
        item = Item(name=clean_name(name), line=number)
        if item.name != name:
            report.repair(item.name, "name", "unicode-nfc")
        texts = {field: _text(row, field, limit, item.name, report) for field, limit in TEXTS.items()}
        item.source, item.speaker, item.label = texts["source"], texts["speaker"], texts["label"]
        _take_media(item, texts["media"], folder)
        item.sha256 = _sha256(row, item.name, report)
        item.duration = _duration(row)
        item.licence = _licence(row, item.name, report)
        for language in ("zh", "en"):
            if text := _text(row, f"subtitle_{language}", 20_000, item.name, report):
                item.subtitles[language] = text
        item.clues = _clues(row)
    except Invalid as error:
        return BadRow(error.message)
    return item


def check_url(url: str) -> str:
    """An http(s) URL to a public host. It is stored, never opened here. Raises Invalid.

    Names are not resolved: who opens the URL later has to check the address that it gets.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
        _port = parts.port
    except ValueError as error:
        raise Invalid(_("media: not a URL: %(why)s") % {"why": error}) from error
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise Invalid(_("media: only http and https URLs are taken"))
    if parts.username or parts.password:
        raise Invalid(_("media: a URL must not carry a password"))
    if any(c.isspace() or not c.isprintable() for c in url):
        raise Invalid(_("media: the URL has a blank or control character"))
    address = _address(host)
    private = host.split(".")[-1] in PRIVATE_NAMES or host.endswith(".home.arpa") or "." not in host
    if (address is not None and not address.is_global) or (address is None and private):
        raise Invalid(_("media: the host “%(host)s” is private") % {"host": host})
    return url


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The literal address that a resolver would take `host` for, in the old notations (0x7f.1) too."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        parts = host.split(".")
        if not all(re.fullmatch(r"0x[0-9a-f]*|\d+", part) for part in parts) or len(parts) > 4:
            return None
        try:
            numbers = [
                int(p, 16) if p.startswith("0x") else int(p, 8 if p[0] == "0" and p != "0" else 10) for p in parts
            ]
            value = sum(n << (24 - 8 * i) for i, n in enumerate(numbers[:-1])) + numbers[-1]
            return ipaddress.IPv4Address(value)
        except ValueError:  # out of range: nothing that resolves; refused like a private address
            return ipaddress.IPv4Address(0)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _take_media(item: Item, media: str, folder: Path | None) -> None:
    if not media:
        return
    if "://" in media:
        item.media, item.media_url = "url", check_url(media)
        return
    if ".." in PurePosixPath(media.replace("\\", "/")).parts or any(hidden(c) for c in media):
        raise Invalid(_("media: a path must not have .. or control characters"))
    path = str(folder.resolve() / media) if folder else media
    if len(path) > MAX_PATH or not storable(path):
        raise Invalid(_("media: the path is too long or not UTF-8"))
    item.media, item.media_path = "reference", path


def _inside_roots(path: str) -> bool:
    if not Path(path).is_absolute():  # looked for below each root when it is opened
        return bool(settings.MEDIA_IMPORT_ROOTS)
    return any(Path(path).is_relative_to(root) for root in settings.MEDIA_IMPORT_ROOTS)


def _text(row: dict[str, Any], field: str, limit: int, name: str, report: Report) -> str:
    value = row.get(field)
    if value is None or value == "":
        return ""
    if isinstance(value, float) and math.isnan(value):
        report.repair(name, field, "nan-is-missing")
        return ""
    if not isinstance(value, str):
        raise Invalid(_("%(field)s: text is needed, not %(kind)s") % {"field": field, "kind": type(value).__name__})
    if not storable(value):
        raise Invalid(_("%(field)s: a NUL character or half a character") % {"field": field})
    if len(value) > limit:
        raise Invalid(_("%(field)s: more than %(n)d characters") % {"field": field, "n": limit})
    if not present(value):
        if value.strip():
            report.repair(name, field, "nan-is-missing")
        return ""
    return value


def _sha256(row: dict[str, Any], name: str, report: Report) -> str | None:
    value = _text(row, "sha256", 200, name, report)
    if not value:
        return None
    if not SHA256.fullmatch(value.lower()):
        raise Invalid(_("sha256: 64 hexadecimal digits are needed"))
    if value != value.lower():
        report.repair(name, "sha256", "lower-case")
    return value.lower()


def _duration(row: dict[str, Any]) -> float | None:
    value = row.get("duration")
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= 1e7:
        raise Invalid(_("duration: seconds are needed, not “%(value)s”") % {"value": str(value)[:40]})
    return seconds


def _licence(row: dict[str, Any], name: str, report: Report) -> str:
    value = _text(row, "licence", 200, name, report)
    if value in ("", "open", "restricted"):
        return value
    report.repair(name, "licence", "unknown-is-restricted")
    return "restricted"


def _clues(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Clues as `[{modality, aspect, language, text, source}]`; a CSV cell holds them as JSON."""
    value = row.get("clues")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise Invalid(_("clues: not JSON: %(why)s") % {"why": str(error)[:100]}) from error
    if not isinstance(value, list) or not all(isinstance(clue, dict) for clue in value):
        raise Invalid(_("clues: a list of objects is needed"))
    return [_clue(index, clue) for index, clue in enumerate(value)]


def _clue(index: int, clue: dict[str, Any]) -> dict[str, Any]:
    allowed = {"modality": MODALITIES, "aspect": ASPECTS, "language": ("zh", "en")}
    checked: dict[str, Any] = {"aspect": clue.get("aspect") or ""}
    for field, values in allowed.items():
        value = checked.get(field, clue.get(field))
        if value not in values:
            text = _("clues[%(i)d].%(field)s: one of %(values)s is needed")
            raise Invalid(text % {"i": index, "field": field, "values": ", ".join(v for v in values if v)})
        checked[field] = value
    for field, limit in (("text", 20_000), ("source", 120)):
        value = clue.get(field)
        if not isinstance(value, str) or not value.strip() or len(value) > limit or not storable(value):
            raise Invalid(_("clues[%(i)d].%(field)s: text is needed") % {"i": index, "field": field})
        checked[field] = value
    return checked


def _no_constant(name: str) -> float:
    """JSON has no NaN; pandas writes it for a missing cell. Infinity is nothing that we take."""
    if name == "NaN":
        return math.nan
    raise ValueError(f"{name} is not JSON")


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise Invalid(
            _("Parquet needs the package pyarrow: pip install pyarrow, or write the manifest as JSONL.")
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise Invalid(
            _("%(file)s is not a Parquet file: %(why)s") % {"file": path.name, "why": str(error)[:150]}
        ) from error
    number = 0
    for batch in file.iter_batches(batch_size=BATCH):
        for row in batch.to_pylist():
            number += 1
            yield number, row
