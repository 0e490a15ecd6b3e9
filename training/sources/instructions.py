"""The image and video instruction sets of the published recipe: MiniGPT-4's cc_sbu, LLaVA-150k, VideoChat-11k.

They teach to see, not to feel: questions and answers about a picture or a video, without sound or subtitle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from models_ml.formats import FormatError, Imported, body

#: The published loader draws one of these per visit; here each picture has its own, by its name.
CAPTION_QUESTIONS = (
    "Describe this image in detail.",
    "Take a look at this image and describe what you notice.",
    "Please provide a detailed description of the picture.",
    "Could you describe the contents of this image for me?",
)
Files = dict[str, dict[str, Any]]
Turns = list[tuple[str, str]]


def read_cc_sbu(path: Path) -> tuple[Imported, Files]:
    """``{"annotations": [{"image_id", "caption"}]}``; pictures are ``<image_id>.jpg``. Raises FormatError."""
    whole = _json(path)
    rows = whole.get("annotations") if isinstance(whole, dict) else None
    if not isinstance(rows, list):
        raise FormatError(f"{path}: no list of annotations")
    made = _Made("cc_sbu")
    for number, row in enumerate(rows):
        name, caption = _text(row, "image_id"), _text(row, "caption")
        if not name or not caption:
            made.leave_out(number, "no image_id or no caption")
            continue
        question = CAPTION_QUESTIONS[hashlib.sha256(name.encode()).digest()[0] % len(CAPTION_QUESTIONS)]
        made.add(number, name, f"{name}.jpg", [(question, caption)])
    return made.done()


def read_llava(path: Path) -> tuple[Imported, Files]:
    """``[{"id", "image", "conversations": [{"from": "human"|"gpt", "value"}]}]``. Raises FormatError."""
    made = _Made("llava")
    for number, row in enumerate(_list(path)):
        name, file, said = _text(row, "id"), _text(row, "image"), row.get("conversations")
        if not name or not file or not isinstance(said, list):
            made.leave_out(number, "no id, image or conversations")
            continue
        values = [_text(part, "value") for part in said if isinstance(part, dict)]
        speakers = [part.get("from") for part in said if isinstance(part, dict)]
        if speakers != ["human", "gpt"] * (len(said) // 2) or not said or not all(values):
            made.leave_out(number, f"{name}: not questions and answers in turn")
            continue
        first = values[0].replace("\n<image>", "").replace("<image>\n", "").replace("<image>", "").strip()
        made.add(number, name, file, list(zip([first, *values[2::2]], values[1::2], strict=True)))
    return made.done()


def read_videochat(path: Path) -> tuple[Imported, Files]:
    """``[{"video", "QA": [{"q", "a"}]}]``; ``video`` is a path below the media folder. Raises FormatError."""
    made = _Made("videochat")
    for number, row in enumerate(_list(path)):
        file, said = _text(row, "video"), row.get("QA")
        turns = [(_text(part, "q"), _text(part, "a")) for part in said] if isinstance(said, list) else []
        if not file or not turns or not all(question and answer for question, answer in turns):
            made.leave_out(number, f"{file or 'no video'}: not questions and answers")
            continue
        made.add(number, str(PurePosixPath(file).with_suffix("")), file, turns)
    return made.done()


INSTRUCTIONS: dict[str, Callable[[Path], tuple[Imported, Files]]] = {
    "cc_sbu": read_cc_sbu,
    "llava": read_llava,
    "videochat": read_videochat,
}


class _Made:
    """Records of one set; the same picture may come several times, with another conversation each."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.imported = Imported()
        self.files: Files = {}

    def add(self, number: int, name: str, file: str, turns: Turns) -> None:
        clip = f"{self.kind}/{name}"
        if clip in self.files:
            clip = f"{clip}#{number}"
        row = body(clip, grade="")
        row["licence"] = "other"
        row["file"], row["turns"] = file, [list(turn) for turn in turns]  # so that the digest covers them
        self.imported.rows.append(row)
        self.files[clip] = {"file": file, "turns": turns}

    def leave_out(self, number: int, reason: str) -> None:
        self.imported.warn(f"{self.kind}[{number}]", f"{reason}; left out")

    def done(self) -> tuple[Imported, Files]:
        return self.imported.sorted(), self.files


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FormatError(f"{path}: not JSON in UTF-8 ({error})") from error


def _list(path: Path) -> list[dict[str, Any]]:
    whole = _json(path)
    if not isinstance(whole, list) or not all(isinstance(row, dict) for row in whole):
        raise FormatError(f"{path}: not a list of objects")
    return whole


def _text(row: Any, key: str) -> str:
    value = row.get(key) if isinstance(row, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.strip() if isinstance(value, str) else ""
