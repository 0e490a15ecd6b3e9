"""ASGI entry point: the streams below /stream/. Pages and API are served by wsgi.py."""

import importlib
import os
import signal
from typing import Any

import django
from django.core.handlers.asgi import ASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

if os.environ.get("WORKBENCH_SUPERVISED"):
    from annotator.embedded.child import die_with_parent

    die_with_parent(signal.SIGKILL, os.getppid())  # as in wsgi.py

django.setup(set_prefix=False)
importlib.import_module("annotator.stream_urls")  # now: the first reader waits only some seconds for a stream


class Streams(ASGIHandler):
    """Django with all its middleware, over the addresses of the streams only."""

    def create_request(self, scope: Any, body_file: Any) -> Any:
        request, refused = super().create_request(scope, body_file)
        if request is not None:
            request.urlconf = "annotator.stream_urls"
        return request, refused


application = Streams()
