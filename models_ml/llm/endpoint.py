"""Where a model is served: an OpenAI-compatible base URL, a model name and the manners of calling it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal
from urllib.parse import urlsplit

from models_ml.llm.errors import NotConfigured

Prefix = Literal["LLM", "PRELABEL"]
TRUST = ("inside", "outside")
VIDEO = ("frames", "video_url")
AUDIO = ("base64", "data_url")
# Where clouds hand out the keys of a machine (AWS, GCP, Azure, Oracle: link-local; AWS and GCP by IPv6; Alibaba).
_METADATA = tuple(
    ipaddress.ip_network(net)
    for net in ("169.254.0.0/16", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32")
)
_EXAMPLE = {"LLM": "Qwen/Qwen2.5-7B-Instruct", "PRELABEL": "Qwen/Qwen2.5-Omni-7B"}
_PURPOSE = {
    "LLM": "the text model that disambiguates subtitles, merges clues and groups labels",
    "PRELABEL": "the audio/video model that drafts clues",
}


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.

    ``timeout_s`` bounds one attempt in all, from connecting to the last byte. ``trust`` is ``inside`` (may see
    restricted clips) or ``outside``. The key is never part of the repr.

    ``concurrency`` and ``rate_per_minute`` hold over all processes that share a traffic; None: no limit. ``price_in``
    and ``price_out`` are money per million tokens; ``gpus`` is how many GPUs one call keeps busy. ``video``: whether
    the server wants moving pictures as single ``frames`` or takes a whole file as ``video_url``. ``audio``: sound as
    plain ``base64``, as OpenAI and vLLM want it, or as a ``data_url``, as DashScope does.

    The address may be private, for model servers mostly are; whoever registers it vouches for it. Addresses of cloud
    metadata never are model servers. Raises ValueError naming the field.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 120.0
    max_retries: int = 3
    trust: str = "outside"
    stream: bool = False
    concurrency: int | None = None
    rate_per_minute: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    gpus: float = 0.0
    video: str = "frames"
    audio: str = "base64"

    def __post_init__(self) -> None:
        check_url(self.base_url)
        if not self.model:
            raise ValueError("model must not be empty")
        if not self.api_key.isprintable() or not self.api_key.isascii():
            raise ValueError(
                "the API key holds characters that no HTTP header may hold; was a line break copied with it?"
            )
        _number("timeout_s", self.timeout_s, above=0)
        _number("max_retries", self.max_retries, least=0, whole=True)
        for name in ("concurrency", "rate_per_minute"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), least=1, whole=True)
        for name in ("price_in", "price_out", "gpus"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), least=0)
        for name, allowed in (("trust", TRUST), ("video", VIDEO), ("audio", AUDIO)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Money for these tokens: tokens × price / 1,000,000."""
        return (prompt_tokens * (self.price_in or 0.0) + completion_tokens * (self.price_out or 0.0)) / 1e6


def check_url(base_url: str) -> None:
    """Raises ValueError for what cannot be the base URL of a model server."""
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"base_url is not a URL ({error}): {base_url!r}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"base_url must be an http(s) URL such as http://localhost:8001/v1, not {base_url!r}")
    if parts.username or parts.password:
        raise ValueError("base_url must not carry a user name or password; use the API key")
    if parts.query or parts.fragment:
        raise ValueError("base_url must end with its path, such as /v1, without ? or #")
    if not base_url.isascii() or any(sign.isspace() for sign in base_url):
        raise ValueError(f"base_url holds characters that a URL cannot hold: {base_url!r}")
    if is_metadata_address(host):
        raise ValueError(f"base_url must not lead to {host}, where a cloud hands out the keys of a machine")


def is_metadata_address(host: str) -> bool:
    """Whether a host written as an address, in any of its spellings, is one of cloud metadata. Names are looked at
    when they have been resolved."""
    try:
        # inet_aton reads what browsers and resolvers read: 169.254.43518, 0xA9FEA9FE, 2852039166.
        address = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (ValueError, OSError):
        return host.rstrip(".").lower() in ("metadata.google.internal", "metadata")
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is not None:
            address = embedded
    return any(address in network for network in _METADATA)


def _number(
    name: str, value: Any, *, least: float | None = None, above: float | None = None, whole: bool = False
) -> None:
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    bound = f"above {above:g}" if above is not None else f"at least {least:g}"
    number: Any = value if isinstance(value, kinds) and not isinstance(value, bool) else None
    if number is None or not isfinite(number):
        raise ValueError(f"{name} must be a {'whole ' if whole else ''}number {bound}, not {value!r}")
    if (above is not None and number <= above) or (least is not None and number < least):
        raise ValueError(f"{name} must be {bound}, not {value!r}")


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
    """The endpoint described by ``<PREFIX>_BASE_URL, _MODEL, _API_KEY, _TIMEOUT, _MAX_RETRIES, _TRUST, _STREAM,
    _CONCURRENCY, _RATE, _PRICE_IN, _PRICE_OUT, _GPUS, _VIDEO, _AUDIO``.

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
            concurrency=int(get("CONCURRENCY")) if get("CONCURRENCY") else None,
            rate_per_minute=int(get("RATE")) if get("RATE") else None,
            price_in=float(get("PRICE_IN")) if get("PRICE_IN") else None,
            price_out=float(get("PRICE_OUT")) if get("PRICE_OUT") else None,
            gpus=float(get("GPUS") or 0),
            video=get("VIDEO").lower() or "frames",
            audio=get("AUDIO").lower() or "base64",
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
