"""Bring locale/*/LC_MESSAGES/django.po up to date with the msgids of templates and Python, without gettext.

`scripts/messages.py`: add new msgids (untranslated), drop those that are gone, keep translations.
`scripts/messages.py --check`: change nothing; exit 1 and name what is missing, untranslated or left over.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import polib

ROOT = Path(__file__).resolve().parents[1]
LOCALE = ROOT / "locale"
SINGULAR = {"_", "gettext", "gettext_lazy", "gettext_noop", "pgettext"}
PLURAL = {"ngettext", "ngettext_lazy"}
STRING = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
IN_TEMPLATE = re.compile(rf"\b(_|gettext|ngettext)\(\s*{STRING}(?:\s*,\s*{STRING})?", re.DOTALL)
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]")

Message = tuple[str, str]  # (msgid, msgid_plural or "")


def in_python(path: Path) -> Iterator[Message]:
    """Every literal given to gettext or ngettext, whatever name it was imported under (`_` by habit)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if name in SINGULAR and texts:
            yield texts[0], ""
        elif name in PLURAL and len(texts) >= 2:
            yield texts[0], texts[1]


def in_template(path: Path) -> Iterator[Message]:
    """Every `translate`, `blocktranslate` and `_("…")`, as Django itself reads them."""
    from django.utils.translation.template import templatize

    for name, first, second in IN_TEMPLATE.findall(templatize(path.read_text(encoding="utf-8"), origin=str(path))):
        yield ast.literal_eval(first), ast.literal_eval(second) if name == "ngettext" and second else ""


def found() -> dict[Message, list[str]]:
    """Message -> the files that say it, sorted."""
    if "DJANGO_SETTINGS_MODULE" not in os.environ:
        from django.conf import settings

        settings.configure(USE_I18N=False)
    messages: dict[Message, set[str]] = {}
    for path in sorted((ROOT / "annotator").rglob("*.py")):
        for message in in_python(path):
            messages.setdefault(message, set()).add(str(path.relative_to(ROOT)))
    for path in sorted([*(ROOT / "templates").rglob("*.html"), *(ROOT / "annotator").rglob("templates/**/*.html")]):
        for message in in_template(path):
            messages.setdefault(message, set()).add(str(path.relative_to(ROOT)))
    return {message: sorted(files) for message, files in messages.items() if message[0]}


def problems(catalogue: polib.POFile, messages: dict[Message, list[str]]) -> list[str]:
    """What is missing, untranslated, unsure, left over, or lost a placeholder; one line each."""
    lines = []
    entries = {(entry.msgid, entry.msgid_plural): entry for entry in catalogue if not entry.obsolete}
    for message, files in messages.items():
        entry = entries.get(message)
        if entry is None:
            lines.append(f"missing: {message[0]!r} ({files[0]})")
        elif not entry.translated() or entry.fuzzy:
            lines.append(f"untranslated: {message[0]!r} ({files[0]})")
        else:
            wanted = set(PLACEHOLDER.findall(message[1] or message[0]))
            for text in entry.msgstr_plural.values() if message[1] else [entry.msgstr]:
                if set(PLACEHOLDER.findall(text)) != wanted:
                    lines.append(f"placeholders differ: {message[0]!r} -> {text!r}")
    lines += [f"left over: {message[0]!r}" for message in entries if message not in messages]
    return lines


def update(catalogue: polib.POFile, messages: dict[Message, list[str]]) -> None:
    """Make the catalogue hold exactly `messages`, in the order of the files that say them."""
    known = {(entry.msgid, entry.msgid_plural): entry for entry in catalogue}
    catalogue.clear()
    for message in sorted(messages, key=lambda m: (messages[m][0], m)):
        msgid, plural = message
        entry = known.get(message) or polib.POEntry(msgid=msgid, msgid_plural=plural)
        if plural and not entry.msgstr_plural:
            entry.msgstr_plural = {0: ""}
        entry.occurrences = [(file, "") for file in messages[message]]
        entry.flags = ["python-format"] if PLACEHOLDER.search(msgid + plural) else []
        entry.obsolete = False
        catalogue.append(entry)


def main() -> None:
    messages = found()
    failed = False
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/django.po")):
        catalogue = polib.pofile(str(path), encoding="utf-8", wrapwidth=110)
        if "--check" in sys.argv:
            lines = problems(catalogue, messages)
        else:
            update(catalogue, messages)
            catalogue.save()
            lines = problems(catalogue, messages)
        for line in lines:
            print(f"{path.relative_to(ROOT)}: {line}")
        failed |= bool(lines)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
