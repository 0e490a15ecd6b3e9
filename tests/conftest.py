"""Shared by every test: a PostgreSQL (and Redis) of our own, started before Django reads its settings.

They live in a throw-away folder and end with the test run, however it ends. Set DATABASE_URL and BROKER_URL to
use others. pytest-xdist's workers inherit the controller's servers; pytest-django gives each a database.
"""

import os
import tempfile
import time

import pytest

from annotator import embedded

STARTED = time.time()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several workers share few cores
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Not in pyproject.toml: pytest-django would read the settings before this file is loaded.
    os.environ["DJANGO_SETTINGS_MODULE"] = "annotator.settings.test"
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        if "WORKBENCH_TEST_VAR" not in os.environ:
            os.environ["WORKBENCH_TEST_VAR"] = tempfile.mkdtemp(prefix="workbench-test-")
        os.environ["WORKBENCH_VAR"] = os.environ["WORKBENCH_TEST_VAR"]
        embedded.ensure(throw_away=True)
    from django.conf import settings

    assert settings.DATABASES  # read them now, with the servers' addresses in the environment


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        embedded.release()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if group := os.environ.get("TEST_GROUP"):
        name, target = group.split()
        terminalreporter.write_line(f"group {name}: {time.time() - STARTED:.0f} s of {target} s")
