"""The settings in use: `development` (embedded servers, loopback) unless WORKBENCH_ENV=production.

What is missing or malformed ends the process with one line on stderr and exit code 1, whichever process it is.
"""

import os
import sys

from django.core.exceptions import ImproperlyConfigured

_env = os.environ.get("WORKBENCH_ENV") or "development"
try:
    if _env == "production":
        from .production import *
    elif _env == "development":
        from .development import *
    else:
        raise ImproperlyConfigured(f"WORKBENCH_ENV is “development” or “production”, not “{_env}”.")
except ImproperlyConfigured as error:
    sys.exit(f"workbench: {error}")
