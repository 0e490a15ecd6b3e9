"""Production settings: complete and strict, or one clear line and no start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
GOOD = {
    "WORKBENCH_ENV": "production",
    "SECRET_KEY": "Zk3-x_Qp9v0aLr7TnBw1mYc5Ue8Gd2Hs4JfIoKbVtXzRyAqWE6uM",
    "DATABASE_URL": "postgresql://workbench:secret@db.example/workbench",
    "BROKER_URL": "redis://broker.example/0",
    "ALLOWED_HOSTS": "workbench.example.org",
}


def manage(tmp_path: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` in an environment of these variables only; an empty value leaves one out."""
    environment = {key: value for key, value in {**GOOD, **changes}.items() if value}
    environment |= {"PATH": os.environ["PATH"], "WORKBENCH_VAR": str(tmp_path), "PYTHONUTF8": "1"}
    command = [sys.executable, str(REPOSITORY / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)


def test_the_deployment_check_has_nothing_to_say(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", DEBUG="1")
    assert (done.returncode, done.stdout.strip()) == (0, "System check identified no issues (0 silenced).")
    assert list(tmp_path.iterdir()) == []  # nothing embedded was started, no key was made


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": "too-short"}, "SECRET_KEY"),
        ({"SECRET_KEY": "k" * 60}, "SECRET_KEY"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, "PostgreSQL"),
        ({"BROKER_URL": ""}, "BROKER_URL"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": " , "}, "ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"LEASE_SECONDS": "half an hour"}, "LEASE_SECONDS"),
        ({"HSTS_SECONDS": "-1"}, "HSTS_SECONDS"),
        ({"LEASE_SECONDS": "0"}, "LEASE_SECONDS"),
        ({"PRELABEL_LEASE_SECONDS": "soon"}, "PRELABEL_LEASE_SECONDS"),
        ({"TRAINING_LEASE_SECONDS": "0"}, "TRAINING_LEASE_SECONDS"),
        ({"TRAINING_LAUNCH": "accelerate 'launch"}, "TRAINING_LAUNCH"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"TZ": "CST-8"}, "TZ"),
        ({"WORKBENCH_ENV": "prod"}, "WORKBENCH_ENV"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(tmp_path: Path, changes: dict[str, str], names: str) -> None:
    done = manage(tmp_path, "check", **changes)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert names in done.stderr
    assert "secret@db" not in done.stderr


def development_key(var: Path) -> subprocess.CompletedProcess[str]:
    code = "from django.conf import settings; print(settings.SECRET_KEY)"
    environment = {"PATH": os.environ["PATH"], "WORKBENCH_VAR": str(var), "PYTHONPATH": str(REPOSITORY)}
    environment |= {"DJANGO_SETTINGS_MODULE": "annotator.settings", "PYTHONUTF8": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


def test_the_key_of_development_is_made_once_and_never_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_bytes(b"")  # what a full disk left behind
    first = development_key(tmp_path).stdout.strip()
    assert len(first) > 50
    assert development_key(tmp_path).stdout.strip() == first
    assert [(path.name, oct(path.stat().st_mode)[-3:]) for path in tmp_path.iterdir()] == [("secret-key", "600")]


def test_a_folder_of_state_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = development_key(tmp_path / "file" / "var")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "secret-key" in done.stderr


def test_a_web_server_and_a_worker_say_the_same_line() -> None:
    for module in ("annotator.wsgi", "annotator.asgi"):
        code = f"import {module}"
        environment = {"PATH": os.environ["PATH"], "WORKBENCH_ENV": "production", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "SECRET_KEY" in done.stderr


ASK = """
import json
from django.conf import settings as s
from django.test import Client
import django; django.setup()
assert s.ALLOWED_HOSTS == ["workbench.example.org"]
def ask(path, **more):
    return Client(raise_request_exception=False).get(path, headers={"Host": "workbench.example.org", **more})
plain, tls = ask("/accounts/sign-in/"), {"X-Forwarded-Proto": "https"}
page, lost = ask("/accounts/sign-in/", **tls), ask("/nothing-here/", **tls)
print(json.dumps({
    "debug": [s.DEBUG, any("debug_toolbar" in app for app in s.INSTALLED_APPS)],
    "plain": [plain.status_code, plain["Location"]],
    "hsts": page["Strict-Transport-Security"],
    "cookies": [[c.key, bool(c["secure"]), c["samesite"]] for c in page.cookies.values()],
    "session": [s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY, s.CSRF_COOKIE_SECURE],
    "page": page.content.decode(),
    "lost": [lost.status_code, "urlconf" in lost.content.decode().lower()],
    "probe": ask("/livez").status_code,
}))
"""


def test_pages_in_production_are_hardened_and_their_files_hashed(tmp_path: Path) -> None:
    import json
    import re

    collected = manage(tmp_path, "collectstatic", "--noinput", "--verbosity", "0")
    assert collected.returncode == 0, collected.stderr
    done = manage(tmp_path, "shell", "--no-imports", "-c", ASK, DEBUG="1")
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["debug"] == [False, False]
    assert seen["plain"] == [301, "https://workbench.example.org/accounts/sign-in/"]
    assert "max-age=31536000" in seen["hsts"]
    assert seen["cookies"] == [["csrftoken", True, "Lax"]]
    assert seen["session"] == [True, True, True]
    assert seen["lost"] == [404, False]
    assert seen["probe"] == 200
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', seen["page"])
    assert len(files) >= 3
    for file in files:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", file), file
        assert (tmp_path / "static" / file.removeprefix("/static/")).is_file()
