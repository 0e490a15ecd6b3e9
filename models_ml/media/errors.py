"""The one error of media handling: a code for programs, a message that names the file for people."""

from __future__ import annotations

from pathlib import Path

#: code -> sentence; the file's name is put in front of it.
CODES: dict[str, str] = {
    "missing": "there is no such file",
    "empty": "the file is empty (0 bytes)",
    "unreadable": "the file is not a media file that can be read",
    "truncated": "the file ends before its declared end",
    "no_streams": "the file has neither a video nor an audio stream",
    "no_video": "the file has no video stream",
    "no_audio": "the file has no audio stream",
    "zero_length": "the file has zero length: no frame and no sample",
    "too_long": "the clip is too long",
    "timeout": "decoding took too long and was stopped",
    "too_big": "decoding needs more memory or disk than allowed and was stopped",
    "not_encoded": "the derived files could not be written",
}


class MediaError(Exception):
    """A media file that cannot be used, with `code` (a key of CODES), `name` and `detail`."""

    def __init__(self, code: str, path: str | Path, detail: str = "") -> None:
        if code not in CODES:
            raise ValueError(f"unknown media error code {code!r}")
        self.code = code
        self.name = Path(path).name
        self.detail = detail
        super().__init__(f"{self.name}: {CODES[code]}" + (f" ({detail})" if detail else ""))
