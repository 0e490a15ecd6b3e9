"""What can be wrong before the start is one line that says what to do."""

import socket
import sys
from pathlib import Path

import pytest

from annotator.embedded import checks
from annotator.embedded.errors import EmbeddedError


def test_a_port_in_use_names_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"^Port {number} is in use. Choose another: make run PORT=8001$"):
            checks.port("127.0.0.1", number)
    checks.port("127.0.0.1", number)


@pytest.mark.parametrize("number", [-1, 70000])
def test_a_number_that_is_no_port_is_refused(number: int) -> None:
    with pytest.raises(EmbeddedError, match=f"^Port {number} cannot be used"):
        checks.port("127.0.0.1", number)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks.disk(tmp_path)
    monkeypatch.setenv("WORKBENCH_MIN_FREE_MB", str(10**12))
    with pytest.raises(EmbeddedError, match=r"^Only \d+ MB are free at .*; at least 1000000000000 MB are needed\.$"):
        checks.disk(tmp_path)


def test_a_broken_environment_names_the_library_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks.environment()
    (tmp_path / "half_installed.py").write_text("raise ImportError('libfoo.so.1: cannot open shared object file')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(checks, "NEEDED_MODULES", ("half_installed",))
    with pytest.raises(EmbeddedError, match=r"broken \(half_installed: libfoo.*make clean run"):
        checks.environment()
