"""WSGI entry point for pages and API: `granian --interface wsgi annotator.wsgi:application`."""

import gc
import os
import signal

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
os.environ.setdefault("DATABASE_POOL", "8")

if os.environ.get("WORKBENCH_SUPERVISED"):
    from annotator.embedded.child import die_with_parent

    # A web process whose server was killed would keep the port and answer from a database that is gone.
    die_with_parent(signal.SIGKILL, os.getppid())

application = get_wsgi_application()

# What was loaded stays for good, and a request leaves few circles: looking for garbage less often costs a request less.
gc.freeze()
gc.set_threshold(10_000, 20, 20)
