"""What can be read already of a JSON answer that is still coming."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_SIGN = r'[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
_STRING = re.compile(rf'"((?:{_SIGN})*)("?)', re.DOTALL)  # as far as whole signs have come
_HIGH_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")


def texts(answer: str, field: str, names: Iterable[str]) -> dict[str, str]:
    """The strings under ``names`` in the object ``field`` of an unfinished JSON text, as far as they have come.

    ``texts('{"description": {"zh": "他皱', "description", ("zh", "en"))`` is ``{"zh": "他皱"}``. An escape of which
    half has come is left out. What is no JSON gives nothing: the whole answer is judged at its end.
    """
    found: dict[str, str] = {}
    opening = re.search(rf'"{re.escape(field)}"\s*:\s*\{{', answer)
    if opening is None:
        return found
    rest, wanted = answer[opening.end() :], set(names)
    while key := re.match(r'\s*,?\s*"(\w+)"\s*:\s*', rest):
        value = _STRING.match(rest, key.end())
        if value is None:
            break
        if key[1] in wanted:
            found[key[1]] = _unescaped(value[1], whole=bool(value[2]))
        if not value[2]:
            break
        rest = rest[value.end() :]
    return found


def _unescaped(raw: str, *, whole: bool) -> str:
    signs = re.findall(_SIGN, raw, re.DOTALL)
    if not whole and signs and _HIGH_HALF.fullmatch(signs[-1]):
        signs.pop()  # its other half is still to come
    try:
        return str(json.loads(f'"{"".join(signs)}"', strict=False))
    except ValueError:
        return ""
