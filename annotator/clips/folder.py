"""The files of a folder that want to become clips, each with the name that it would get."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

from .names import clean_name
from .reports import Report
from .storage import MEDIA_SUFFIXES


@dataclass(frozen=True)
class Found:
    """A media file and the clip name made of its stem."""

    path: Path
    name: str


def find_media(root: Path, report: Report) -> list[Found]:
    """Every media file below `root` (or `root` itself), in path order; what cannot be taken is in the report.

    Refused by name: hostile names, links that lead out of the folder, a stem that an earlier file has.
    Raises Invalid when there is no such folder.
    """
    try:
        os.stat(root)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            raise Invalid(f"{root}: {error.strerror or error}") from error
        raise Invalid(_("There is no “%(path)s”.") % {"path": root}) from error
    base = root.resolve()
    files = [root] if root.is_file() else list(_walk(root, report))
    taken: dict[str, Path] = {}
    found = []
    for path in files:
        shown = str(path.relative_to(root)) if path != root else path.name
        if path.name.startswith("."):
            report.warn(shown, _("a hidden file is left out"))
            continue
        if path.is_symlink() and root.is_dir() and not _leads_inside(path, base):
            report.fail(_("a link that leads out of the folder is not followed"), name=shown)
            continue
        try:
            name = clean_name(path.stem)
        except Invalid as error:
            report.fail(error.message, name=shown)
            continue
        if name != path.stem:
            report.repair(name, "name", "unicode-nfc")
        if name in taken:
            text = _("the name “%(name)s” is used twice: “%(first)s” has it") % {"name": name, "first": taken[name]}
            report.fail(text, name=shown)
            continue
        taken[name] = path.relative_to(root) if path != root else Path(path.name)
        found.append(Found(path, name))
    if not files:
        report.warn(str(root), _("there is no media file (%(kinds)s)") % {"kinds": " ".join(MEDIA_SUFFIXES)})
    return found


def _walk(root: Path, report: Report) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        report.fail(error.strerror or str(error), name=str(error.filename))

    for folder, folders, files in os.walk(root, onerror=unreadable):
        for name in [f for f in folders if (Path(folder) / f).is_symlink()]:
            report.warn(str((Path(folder) / name).relative_to(root)), _("a linked folder is not followed"))
        folders.sort()
        yield from (Path(folder) / f for f in sorted(files) if Path(f).suffix.lower() in MEDIA_SUFFIXES)


def _leads_inside(path: Path, base: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(base)
    except (OSError, RuntimeError):
        return False
