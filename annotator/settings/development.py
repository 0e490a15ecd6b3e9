"""`make run`: embedded servers on this machine, pages on loopback only."""

import os
import secrets

from .base import *


def _secret_key() -> str:
    """The key kept in var/secret-key (0600), made at first use."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    path = VAR / "secret-key"
    VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()


DEBUG = os.environ.get("DEBUG", "") == "1"
SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
METRICS_ON_LOOPBACK = True
