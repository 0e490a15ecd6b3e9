"""PostgreSQL and Redis from pip wheels, supervised by us, for `make run`, `manage.py` and the tests.

`ensure()` is the whole interface: call it before anything reads DATABASE_URL or BROKER_URL. This package
never imports Django, so that it can run before the settings do.
"""

from .client import ensure, release, serving
from .errors import EmbeddedError

__all__ = ["EmbeddedError", "ensure", "release", "serving"]
