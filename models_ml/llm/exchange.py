"""What a failed job keeps of its call: the request without its media and keys, and the response as it came."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models_ml.llm.endpoint import Endpoint

MAX_TEXT = 20_000  # characters of one text of the request
MAX_RESPONSE = 8_000  # characters of the response
_DATA_URL = re.compile(r"^data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,")


def exchange_of(endpoint: Endpoint, request: dict[str, Any], response: str, status: int | None = 200) -> dict[str, Any]:
    """``{"request": {…, "base_url"}, "response": text, "status": n | None}``.

    Media parts become ``{"sha256", "bytes", "type"}``; texts are bounded. The key and headers are never part of it.
    """
    told = {"base_url": endpoint.base_url} | {name: _bounded(value) for name, value in request.items()}
    return {"request": told, "response": _clip(response.replace("\x00", "\ufffd"), MAX_RESPONSE), "status": status}


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) >= {"data", "format"} and isinstance(value["data"], str):  # input_audio
            return media_digest(value["data"], f"audio/{value['format']}")
        return {name: _bounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, str):
        if found := _DATA_URL.match(value):
            return media_digest(value[found.end() :], found.group(1) or "")
        return _clip(value.replace("\x00", "\ufffd"), MAX_TEXT)
    return value


def media_digest(data: str, kind: str) -> dict[str, Any]:
    """Hash, size and type of base64 media."""
    _prefix, _comma, encoded = data.rpartition(",")
    try:
        content = base64.b64decode(encoded, validate=False)
    except (binascii.Error, ValueError):
        content = encoded.encode()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "type": kind}


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
