"""Prompt templates: YAML files of ``training/prompts``, or one's own, that fill a config's ``prompt`` section."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from .errors import UsageError
from .schema import PromptConfig

FOLDER = Path(__file__).parent / "prompts"
KEYS = {field.name for field in dataclasses.fields(PromptConfig)} - {"template"}


def template_names() -> list[str]:
    """The templates that come with the module, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_template(name_or_file: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keys of ``prompt`` that a template gives; ``base: NAME`` in it inherits from another one.

    Raises UsageError: no such template, bad YAML, a key that is none of the prompt's.
    """
    if name_or_file in seen:
        raise UsageError(f"prompt template {name_or_file!r} inherits from itself: {' -> '.join((*seen, name_or_file))}")
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name_or_file}.yaml"
    if path.parent == FOLDER and not path.is_file():
        raise UsageError(
            f"no prompt template {name_or_file!r}; there are: {', '.join(template_names())}; or give a .yaml file"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"prompt template {path}: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"prompt template {path}: expected a mapping at the top")
    base = values.pop("base", None)
    unknown = sorted(map(str, set(values) - KEYS))
    if unknown:
        raise UsageError(f"prompt template {path}: no key {unknown[0]}; known here: base, {', '.join(sorted(KEYS))}")
    if base is None:
        return values
    neighbour = path.parent / f"{base}.yaml"
    return {**read_template(str(neighbour) if neighbour.is_file() else str(base), (*seen, name_or_file)), **values}


def with_template(values: dict[str, Any]) -> dict[str, Any]:
    """A config's plain values with ``prompt.template`` filled in; keys that stand beside it win. Raises UsageError."""
    prompt = values.get("prompt")
    name = prompt.get("template") if isinstance(prompt, dict) else None
    if not isinstance(prompt, dict) or not isinstance(name, str) or not name:
        return values
    given = {key: value for key, value in prompt.items() if value is not None}
    if set(given) >= KEYS:  # of a run or checkpoint: filled in already, and the file may be gone
        return values
    return {**values, "prompt": {**read_template(name), **given}}
