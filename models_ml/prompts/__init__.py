"""Versioned prompts: one file per step and language, ``<step>.<language>.md``.

A file has a YAML header (``step, version, language, inputs, source``) and the sections ``## system`` and ``## user``;
``{{name}}`` is a slot, ``{{=name}}`` one inside a sentence, whose delimiters the prompt writes itself. Subtitles, clues
and everything else that comes from outside enters as a delimited data block which the system part declares to be
material, never an instruction; what looks like our delimiter inside the data is neutralised, so no subtitle can close
its own block.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_SLOT = re.compile(r"\{\{(=?)(\w+)\}\}")
_SECTION = re.compile(r"^## (system|user)\s*$", re.MULTILINE)
# Of this module's blocks, and the tags that prompts write around a value inside a sentence.
_DELIMITER = re.compile(
    r"<(?=[\s\u200b-\u200f\u2060\ufeff]*/?[\s\u200b-\u200f\u2060\ufeff]*(?:data|subtitle|(?:visual|audio)\s+clues)\b)",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class PromptError(ValueError):
    """A prompt file is malformed, or was rendered without what it needs; names the file."""


@dataclass(frozen=True)
class Prompt:
    """One prompt file; ``sha256`` is that of its bytes, so that a record can tell which wording it came from."""

    step: str
    version: str
    language: str
    sha256: str
    file: str
    inputs: tuple[str, ...]
    source: str
    sections: tuple[tuple[str, str], ...]

    def render(self, **values: str | None) -> list[dict[str, Any]]:
        """Chat messages with every slot filled by a data block; None and "" become an empty block.

        Raises PromptError when a value is missing or unknown.
        """
        missing, unknown = set(self.inputs) - set(values), set(values) - set(self.inputs)
        if missing or unknown:
            raise PromptError(f"{self.file}: missing {sorted(missing)}, unknown {sorted(unknown)}")
        return [
            {"role": role, "content": _SLOT.sub(lambda slot: _filled(slot, values), text)}
            for role, text in self.sections
        ]

    @property
    def reference(self) -> dict[str, str]:
        """What provenance keeps of a prompt."""
        return {"file": self.file, "version": self.version, "sha256": self.sha256}


def data_block(name: str, value: str | None) -> str:
    """``<data name="…">…</data>`` with anything inside that could end the block made harmless."""
    text = _CONTROL.sub(" ", value or "").strip()
    return f'<data name="{name}">\n{_DELIMITER.sub("＜", text)}\n</data>'


def inline(value: str | None) -> str:
    """A value inside a sentence, between tags that the prompt writes: no tag of its own can end them."""
    return _CONTROL.sub(" ", value or "").strip().replace("<", "＜")


def _filled(slot: re.Match[str], values: dict[str, str | None]) -> str:
    return inline(values[slot[2]]) if slot[1] else data_block(slot[2], values[slot[2]])


@functools.cache
def load(step: str, language: str) -> Prompt:
    """The prompt of a step in a language. Raises PromptError when there is none or it is malformed."""
    path = FOLDER / f"{step}.{language}.md"
    if not re.fullmatch(r"\w+", step) or not re.fullmatch(r"\w+", language) or not path.is_file():
        raise PromptError(f"there is no prompt {path.name}")
    return parse(path)


def parse(path: Path) -> Prompt:
    """Read and check one prompt file."""
    import yaml

    raw = path.read_bytes()
    head, found, body = raw.decode("utf-8").removeprefix("---\n").partition("\n---\n")
    if not found:
        raise PromptError(f"{path.name}: no YAML header between --- lines")
    header = yaml.safe_load(head)
    absent = {"step", "version", "language", "inputs", "source"} - set(header or {})
    if absent:
        raise PromptError(f"{path.name}: header lacks {sorted(absent)}")
    pieces = _SECTION.split(body)[1:]
    sections = tuple((role, text.strip()) for role, text in zip(pieces[::2], pieces[1::2], strict=True))
    slots = {slot for _, text in sections for _, slot in _SLOT.findall(text)}
    if [role for role, _ in sections] != ["system", "user"] or slots != set(header["inputs"]):
        raise PromptError(f"{path.name}: wants one system and one user section using exactly {header['inputs']}")
    if f"{header['step']}.{header['language']}.md" != path.name:
        raise PromptError(f"{path.name}: its header names {header['step']}.{header['language']}")
    return Prompt(
        step=header["step"],
        version=str(header["version"]),
        language=header["language"],
        sha256=hashlib.sha256(raw).hexdigest(),
        file=path.name,
        inputs=tuple(header["inputs"]),
        source=header["source"],
        sections=sections,
    )


def available() -> list[Prompt]:
    """Every prompt of the library, for the page that lists them."""
    return [load(*path.name.removesuffix(".md").rsplit(".", 1)) for path in sorted(FOLDER.glob("*.md"))]


__all__ = ["FOLDER", "Prompt", "PromptError", "available", "data_block", "inline", "load", "parse"]
