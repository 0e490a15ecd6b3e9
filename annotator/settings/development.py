"""`make run`: embedded servers on this machine, pages on loopback only."""

import contextlib
import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from .base import *


def _secret_key() -> str:
    """The key kept in var/secret-key (0600), made at first use."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = VAR / "secret-key"
    try:
        VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() or path.stat().st_size == 0:  # empty: the disk was full when it was made
            _make_key(path)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"The key in “{path}” cannot be kept: {error.strerror or error}.") from error


def _make_key(path: Path) -> None:
    """Whole or not at all, and the first of several processes wins: written beside, then linked."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and path.stat().st_size == 0:
            path.unlink()
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


DEBUG = os.environ.get("DEBUG", "") == "1"
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
METRICS_ON_LOOPBACK = True
