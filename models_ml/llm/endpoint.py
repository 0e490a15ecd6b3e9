"""Where a model is served: an OpenAI-compatible base URL, a model name and the manners of calling it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from models_ml.llm.errors import NotConfigured

Prefix = Literal["LLM", "PRELABEL"]
TRUST = ("inside", "outside")
_EXAMPLE = {"LLM": "Qwen/Qwen2.5-7B-Instruct", "PRELABEL": "Qwen/Qwen2.5-Omni-7B"}
_PURPOSE = {
    "LLM": "the text model that disambiguates subtitles, merges clues and groups labels",
    "PRELABEL": "the audio/video model that drafts clues",
}


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.

    ``timeout_s`` bounds one attempt in all, not just the silence between two bytes. ``trust`` is ``inside`` (may see
    restricted clips) or ``outside``. The key is never part of the repr.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 120.0
    max_retries: int = 3
    trust: str = "outside"
    stream: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url must be an http(s) URL such as http://localhost:8001/v1, not {self.base_url!r}")
        if parts.username or parts.password:
            raise ValueError("base_url must not carry a user name or password; use the API key")
        if not self.model:
            raise ValueError("model must not be empty")
        if self.timeout_s <= 0 or self.max_retries < 0:
            raise ValueError("timeout_s must be above 0 and max_retries at least 0")
        if self.trust not in TRUST:
            raise ValueError(f"trust must be one of {', '.join(TRUST)}, not {self.trust!r}")


def how_to_configure(prefix: Prefix) -> str:
    """The sentence that tells how to set up an endpoint."""
    return (
        f"not configured: set {prefix}_BASE_URL and {prefix}_MODEL (and {prefix}_API_KEY where the server wants one) "
        f"to an OpenAI-compatible server for {_PURPOSE[prefix]}, for example "
        f"{prefix}_BASE_URL=http://localhost:8001/v1 {prefix}_MODEL={_EXAMPLE[prefix]}"
    )


def require(endpoint: Endpoint | None, prefix: Prefix) -> Endpoint:
    """The endpoint, or NotConfigured with the how-to."""
    if endpoint is None:
        raise NotConfigured(how_to_configure(prefix))
    return endpoint


def endpoint_from_env(prefix: Prefix, environ: Mapping[str, str] | None = None) -> Endpoint | None:
    """The endpoint described by ``<PREFIX>_BASE_URL, _MODEL, _API_KEY, _TIMEOUT, _MAX_RETRIES, _TRUST, _STREAM``.

    None when no base URL is set. Without ``_TRUST`` a loopback or private address counts as ``inside``, any other as
    ``outside``. Raises NotConfigured when the description is incomplete or a value cannot be read.
    """
    env = os.environ if environ is None else environ

    def get(name: str) -> str:
        return env.get(f"{prefix}_{name}", "").strip()

    base_url = get("BASE_URL")
    if not base_url:
        return None
    if not get("MODEL"):
        raise NotConfigured(f"{prefix}_BASE_URL is set but {prefix}_MODEL is not; {how_to_configure(prefix)}")
    try:
        return Endpoint(
            base_url=base_url.rstrip("/"),
            model=get("MODEL"),
            api_key=get("API_KEY"),
            timeout_s=float(get("TIMEOUT") or 120),
            max_retries=int(get("MAX_RETRIES") or 3),
            trust=get("TRUST").lower() or _default_trust(base_url),
            stream=get("STREAM").lower() in ("1", "true", "yes"),
        )
    except ValueError as error:
        raise NotConfigured(f"the {prefix}_* variables cannot be used: {error}") from error


def _default_trust(base_url: str) -> str:
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return "inside"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "outside"
    return "inside" if address.is_loopback or address.is_private else "outside"
