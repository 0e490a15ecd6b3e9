"""A supervised child: started again when it dies, ended with everything it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from annotator.embedded.child import Child, last_line, open_log, tie_to_parent


def eventually(happens: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def child(tmp_path: Path, code: str) -> Child:
    return Child("sleeper", [sys.executable, "-c", code], tmp_path / "log")


def test_it_is_started_again_with_growing_pauses_and_a_line_each_time(tmp_path: Path) -> None:
    quick = child(tmp_path, "raise SystemExit(3)")
    lines: list[str] = []
    starts: list[float] = []

    def three() -> bool:
        before = quick.process
        line = quick.keep()
        if quick.process is not None and quick.process is not before:
            starts.append(time.monotonic())
        if line:
            lines.append(line)
        return len(lines) == 3

    assert eventually(three)
    assert all(line.startswith("sleeper ended with status 3; starting it again in ") for line in lines)
    assert starts[1] - starts[0] >= 0.2
    assert starts[2] - starts[1] >= 0.4


def test_a_signal_is_named(tmp_path: Path) -> None:
    sleeper = child(tmp_path, "import time; time.sleep(60)")
    sleeper.start()
    os.kill(sleeper.process.pid, signal.SIGKILL)
    sleeper.process.wait()
    assert "ended by SIGKILL" in sleeper.keep()


def test_what_a_dead_child_started_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "grand = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(grand.pid, flush=True); time.sleep(60)"
    )
    parent = child(tmp_path, code)
    parent.start()
    assert eventually(lambda: last_line(tmp_path / "log").isdigit())
    grandchild = int(last_line(tmp_path / "log"))
    os.kill(parent.process.pid, signal.SIGKILL)
    parent.process.wait()
    assert alive(grandchild)
    parent.keep()
    assert eventually(lambda: not alive(grandchild))


def test_one_that_ignores_its_stop_signal_is_ended_hard(tmp_path: Path) -> None:
    stubborn = child(
        tmp_path,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
    )
    stubborn.start()
    assert eventually(lambda: last_line(tmp_path / "log") == "up")
    pid = stubborn.process.pid
    stubborn.ask_to_stop()
    assert stubborn.wait(0.3) is False
    assert not alive(pid)


def test_a_long_log_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (10 * 2**20 + 1))
    with open_log(log) as file:
        file.write("新的一行\n\n".encode())
    assert last_line(log) == "新的一行"
    assert (tmp_path / "log.1").stat().st_size > 10 * 2**20
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_child_whose_parent_died_before_the_exec_does_not_start(tmp_path: Path) -> None:
    """The parent's own handler for the signal, which the forked child has until its exec, must not lose it."""
    started = tmp_path / "started"
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        process = subprocess.Popen(["touch", started], preexec_fn=lambda: tie_to_parent(signal.SIGTERM, parent=1))
    except OSError:
        pass  # it ended before it could be started
    else:
        assert process.wait() == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not started.exists()


def test_it_runs_while_it_is_wanted_and_no_longer(tmp_path: Path) -> None:
    wish = tmp_path / "wanted"
    sleeper = Child(
        "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", wanted=wish.exists
    )
    assert sleeper.keep() is None
    assert sleeper.process is None
    for _ in range(2):
        wish.touch()
        sleeper.keep()
        assert sleeper.running
        pid = sleeper.process.pid
        wish.unlink()
        assert eventually(lambda: sleeper.keep() is None and sleeper.process is None), "it ends without a line"
        assert not alive(pid)
