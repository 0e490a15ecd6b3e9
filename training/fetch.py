"""A snapshot by REST: every file of the folder, hashes and digest verified, interrupted downloads continued."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from .errors import TrainingError, UsageError
from .snapshot import read_sums, safe_path

log = logging.getLogger("training")
TRIES = 4
CHUNK = 1 << 20


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never carries the token to another host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            made.remove_header("Authorization")
        return made


def fetch(url: str, out: str, token: str | None = None) -> dict[str, Any]:
    """Download the snapshot at ``…/api/v1/snapshots/<id>/`` into the folder ``out``.

    ``token`` defaults to the environment's EMER_TOKEN. Files already there with the right hash are kept, a ``.part``
    file is continued with Range. Returns ``{path, digest, name, files, bytes, downloaded}``.

    Raises:
        UsageError: not a URL, no access, no such snapshot, or ``out`` holds another snapshot.
        TrainingError: the server fails or a file's hash is wrong.
    """
    base = url.rstrip("/")
    if not _is_address(base):
        raise UsageError(f"fetch takes an http(s) URL such as http://host/api/v1/snapshots/7/, got {url!r}")
    token = (token or os.environ.get("EMER_TOKEN") or "").strip() or None
    if token and not (token.isascii() and token.isprintable()):
        raise UsageError("the token (EMER_TOKEN or --token) holds characters that no token has")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: not a folder")
    sums_bytes = _small(f"{base}/files/SHA256SUMS", token)
    sums = read_sums(sums_bytes.decode("utf-8", "replace"), "SHA256SUMS")
    digest = hashlib.sha256(sums_bytes).hexdigest()
    manifest_bytes = _small(f"{base}/files/manifest.json", token)
    try:
        manifest = json.loads(manifest_bytes)
    except ValueError as error:
        raise TrainingError(f"{base}: manifest.json is not JSON: {error}") from error
    if not isinstance(manifest, dict) or not all(isinstance(item, dict) for item in manifest.get("files", [])):
        raise TrainingError(f"{base}: manifest.json is not a snapshot's")
    if manifest.get("digest") != digest:
        raise TrainingError(f"{base}: manifest.json names digest {manifest.get('digest')}, SHA256SUMS gives {digest}")
    present, begun = folder / "SHA256SUMS", folder / "SHA256SUMS.part"
    if any(file.is_file() and file.read_bytes() != sums_bytes for file in (present, begun)):
        raise UsageError(f"--out {folder} holds another snapshot")
    if not present.is_file() and folder.is_dir() and any(folder.iterdir()) and not any(folder.rglob("*.part")):
        raise UsageError(f"--out {folder} is not empty and holds no snapshot")
    wanted: dict[str, str | None] = dict(sums)
    for item in manifest.get("files", []):
        if not safe_path(str(item.get("path"))):
            raise TrainingError(f"{base}: manifest.json lists an unsafe path {item.get('path')!r}")
        wanted.setdefault(item["path"], item.get("sha256"))
    for handled in ("SHA256SUMS", "manifest.json"):
        wanted.pop(handled, None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not present.is_file():
            begun.write_bytes(sums_bytes)  # says which snapshot a fetch that was stopped between two files was after
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}") from error
    downloaded = sum(_file(base, path, expected, folder, token) for path, expected in sorted(wanted.items()))
    # Last, so that a folder with these two is a whole snapshot.
    (folder / "manifest.json").write_bytes(manifest_bytes)
    if begun.is_file():
        os.replace(begun, present)
    return {
        "path": str(folder.absolute()), "digest": digest, "name": manifest.get("name"), "files": len(wanted) + 2,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), "downloaded": downloaded,
    }  # fmt: skip


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return (
            parts.scheme in ("http", "https")
            and bool(host)
            and parts.port != 0
            and url.isprintable()
            and " " not in url
        )
    except ValueError:  # UnicodeError too
        return False


def _open(url: str, token: str | None, start: int = 0) -> http.client.HTTPResponse:
    """GET with the token. Raises UsageError on 401, 403, 404, 410; urllib's and OSError else."""
    request = urllib.request.Request(url)  # noqa: S310 - the scheme was checked
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        return urllib.request.build_opener(_SameHost).open(request, timeout=60)
    except urllib.error.HTTPError as error:
        reasons = {
            401: "the server wants a token: set EMER_TOKEN or give --token",
            403: "this token may not read the snapshot",
            404: "there is no such snapshot or file",
            410: "the file was withdrawn",
        }
        if error.code in reasons:
            raise UsageError(f"{url}: {error.code}, {reasons[error.code]}") from error
        raise


def _small(url: str, token: str | None) -> bytes:
    def read() -> bytes:
        with _open(url, token) as answer:
            return answer.read()

    return _patiently(url, read)


def _file(base: str, path: str, expected: str | None, folder: Path, token: str | None) -> int:
    """Bring one file; returns the bytes downloaded."""
    target = folder / path
    if target.is_file() and _sha256(target) == expected:
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    count = 0

    def read() -> None:
        nonlocal count
        start = part.stat().st_size if part.is_file() else 0
        try:
            answer = _open(f"{base}/files/{urllib.parse.quote(path)}", token, start)
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
            part.unlink()  # longer than the file itself: begin anew
            answer = _open(f"{base}/files/{urllib.parse.quote(path)}", token)
        with answer, open(part, "ab" if answer.status == 206 else "wb") as file:
            promised, came = answer.headers.get("Content-Length"), 0
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                came += len(chunk)
            count += came
            if promised is not None and came < int(promised):
                # http.client ends a read silently when the connection breaks.
                raise ConnectionError(f"the connection broke after {came} of {promised} bytes")
            file.flush()
            os.fsync(file.fileno())

    for attempt in (1, 2):
        _patiently(path, read)
        if expected is None or _sha256(part) == expected:
            os.replace(part, target)
            return count
        part.unlink()  # a stale beginning, perhaps; once more from the start
        log.warning("%s: wrong hash%s", path, ", downloading it again" if attempt == 1 else "")
    raise TrainingError(f"{base}: {path} does not match its sha256, twice")


def _patiently(what: str, act: Any) -> Any:
    """Call again after a lost connection or a 5xx, with growing pauses. Raises TrainingError in the end."""
    for attempt in range(1, TRIES + 1):
        try:
            return act()
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == TRIES:
                raise TrainingError(f"{what}: the server answers {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES:
                raise TrainingError(f"{what}: {error}") from error
        time.sleep(0.2 * 2**attempt)
    return None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
