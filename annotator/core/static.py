"""Static files under names that hold their content's hash, imported modules included; which files a page loads."""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import structlog
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import HashedFilesMixin
from django.templatetags.static import static
from whitenoise.storage import CompressedManifestStaticFilesStorage

MADE_FROM = "js/bundles/made-from.json"  # written by scripts/front_end.py
_IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?\bfrom ["'](\.[^"']+)["'];""", re.MULTILINE)
logger = structlog.get_logger("annotator.static")


class ModuleStorage(CompressedManifestStaticFilesStorage):
    """A page's scripts are of one version, whatever a browser kept of an earlier one, and may be kept for good.

    Only our own scripts and jsdiff are read for imports: the other libraries come whole, in files that import nothing.
    """

    max_post_process_passes = 40  # as long as the longest chain of imports; a circle of them fails
    keep_intermediate_files = False
    support_js_module_import_aggregation = True
    _imports = HashedFilesMixin._js_module_import_aggregation_patterns[1]  # type: ignore[attr-defined] # stubs lack it
    _js_module_import_aggregation_patterns = ("js/*.js", _imports)
    patterns = (*HashedFilesMixin.patterns, ("vendor/diff/*.js", _imports))


class Script(NamedTuple):
    """Addresses: of the module that a page runs, and of those that it imports, to be fetched beside it."""

    address: str
    modules: tuple[str, ...]


def _read(name: str) -> bytes | None:
    found = finders.find(name)
    return Path(str(found)).read_bytes() if found else None


def bundled(bundle: str, sources: Iterable[str]) -> str | None:
    """The address of `bundle` (its name below static/) if it was made of the sources as they are now, and collected."""
    listed = _read(MADE_FROM)
    made_from = json.loads(listed).get(bundle) if listed else None
    if made_from is None or not set(sources) <= set(made_from):
        return None
    for name, digest in made_from.items():
        content = _read(name)
        if content is None or hashlib.sha256(content).hexdigest() != digest:
            logger.warning("bundle not used, make set-up makes it anew", bundle=bundle, changed=name)
            return None
    try:
        return static(bundle)
    except ValueError:  # made since the last collectstatic
        return None


@cache
def script(name: str, bundle: str) -> Script:
    """The bundle of a module (both named below static/), or the module itself where there is none of these sources."""
    address = bundled(bundle, [name])
    return Script(address, ()) if address else Script(static(name), modules(name))


@cache
def sheets(names: tuple[str, ...], bundle: str) -> tuple[str, ...]:
    """Addresses of the style sheets: of their bundle, or of each where there is none of these sources."""
    address = bundled(bundle, names)
    return (address,) if address else tuple(static(name) for name in names)


def modules(entry: str) -> tuple[str, ...]:
    """Every module that a script of static/ imports, however far down, as the browser will ask for it.

    Named in the page's head they are fetched at once instead of one after the other as each is found in another.
    """
    seen: dict[str, None] = {}
    todo = [entry]
    while todo:
        name = todo.pop(0)
        for address in _IMPORT.findall((_read(name) or b"").decode()):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            if path not in seen:
                seen[path] = None
                todo.append(path)
    return tuple(static(path) for path in seen)
