"""The child that decodes is held to its limits and is given no secrets."""

from __future__ import annotations

import sys

import pytest

from models_ml.media import MediaError
from models_ml.media.child import run_limited


def test_the_child_cannot_take_more_memory_than_allowed():
    command = [sys.executable, "-c", "x = bytearray(900 << 20)"]
    status, _, err = run_limited(command, path="big.mp4", timeout_s=20, memory_bytes=600 << 20)
    assert status != 0
    assert b"MemoryError" in err


def test_the_child_cannot_fill_the_disk(tmp_path):
    command = [sys.executable, "-c", f"open({str(tmp_path / 'f')!r}, 'wb').write(b'0' * (2 << 20))"]
    status, _, _ = run_limited(command, path="big.mp4", timeout_s=20, file_bytes=1 << 20)
    assert status != 0
    assert (tmp_path / "f").stat().st_size <= 1 << 20


def test_a_child_that_only_waits_is_stopped_by_the_clock():
    with pytest.raises(MediaError) as caught:
        run_limited([sys.executable, "-c", "import time; time.sleep(30)"], path="slow.mp4", timeout_s=0.5)
    assert caught.value.code == "timeout"


def test_the_child_does_not_see_the_environments_secrets(monkeypatch):
    monkeypatch.setenv("LLM_API_KEY", "sk-secret")
    _, out, _ = run_limited([sys.executable, "-c", "import os; print(dict(os.environ))"], path="x", timeout_s=20)
    assert b"sk-secret" not in out
