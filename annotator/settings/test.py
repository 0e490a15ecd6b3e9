"""The test suite: real PostgreSQL (started by tests/conftest.py), media in a folder of its own."""

import os
import tempfile

if "WORKBENCH_VAR" not in os.environ:
    os.environ["WORKBENCH_VAR"] = tempfile.mkdtemp(prefix="workbench-test-")

from .base import *

DEBUG = False
SECRET_KEY = "a-key-for-tests-only-that-signs-nothing-of-value-0123456789"  # noqa: S105
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Flushing between tests truncates append-only tables; nobody else's session carries this flag.
DATABASES["default"].setdefault("OPTIONS", {})["options"] = "-c workbench.allow_truncate=on"
