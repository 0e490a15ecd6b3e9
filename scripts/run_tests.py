"""Run the groups of tests in order and print what each took. Called by `make test` through scripts/test.

A failing group does not keep the next from running; the exit status is 1 when any failed. Each group's output goes
to build/test-<group>.log too. The last line counts the tests of all groups as pytest does.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"
APART = ("services", "kill", "e2e", "learning")  # folders that are groups of their own
TARGETS = {"install": 300, "lint": 180, "unit": 300, "services": 480, "kill": 240, "browser": 480, "learning": 240}
PYTEST = [str(BIN / "python"), "-m", "pytest", "--color=no"]
COMMANDS: dict[str, list[list[str]]] = {
    "install": [[str(BIN / "python"), "-m", "pip", "check", "--disable-pip-version-check"]],
    "lint": [
        [str(BIN / "ruff"), "check", "."],
        [str(BIN / "ruff"), "format", "--check", "."],
        [str(BIN / "mypy")],
        [str(BIN / "lint-imports")],
    ],
    "unit": [[*PYTEST, "-q", "-n", "2", "tests", *(f"--ignore=tests/{name}" for name in APART)]],
    "services": [[*PYTEST, "-n", "2", "--dist", "loadfile", "tests/services"]],
    "kill": [[*PYTEST, "tests/kill"]],
    "browser": [[*PYTEST, "tests/e2e"]],
    "learning": [[*PYTEST, "tests/learning"]],
}
SUMMARY = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?)")


@dataclass
class Outcome:
    """What a group took and said."""

    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    summary: str = ""


def run(command: list[str], log: Path) -> tuple[int, str]:
    """Run a command, show and keep its output; its status and last line."""
    last = ""
    with log.open("a", encoding="utf-8") as kept:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            kept.write(line)
            last = line.strip() or last
        return process.wait(), last


def run_group(name: str, already: float) -> Outcome:
    outcome = Outcome()
    log = ROOT / "build" / f"test-{name}.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    started = time.monotonic()
    os.environ["TEST_GROUP"] = f"{name} {TARGETS[name]}"  # for the line that tests/conftest.py prints
    for command in COMMANDS[name]:
        status, outcome.summary = run(command, log)
        if status != 0:
            outcome.failed.append(" ".join(Path(part).name for part in command[:2]))
    outcome.seconds = time.monotonic() - started + already
    return outcome


def report(outcomes: dict[str, Outcome]) -> None:
    """A table of the groups, then one line in pytest's manner for all of them."""
    print(f"\n{'group':<10}{'seconds':>8}{'target':>8}  outcome")
    counts: dict[str, int] = {}
    for name, outcome in outcomes.items():
        said = "failed: " + ", ".join(outcome.failed) if outcome.failed else "ok"
        print(f"{name:<10}{outcome.seconds:>8.0f}{TARGETS[name]:>8}  {said}; {outcome.summary.strip('= ')}")
        if "pytest" in COMMANDS[name][0]:
            for number, word in SUMMARY.findall(outcome.summary):
                counts[word] = counts.get(word, 0) + int(number)
    if any(outcome.failed for outcome in outcomes.values()) and not counts.get("failed"):
        counts["failed"] = sum(len(outcome.failed) for outcome in outcomes.values())
    total = ", ".join(f"{number} {word}" for word, number in sorted(counts.items())) or "no tests"
    print(f"===== {total} in {sum(outcome.seconds for outcome in outcomes.values()):.2f}s =====")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=["all", *COMMANDS])
    parser.add_argument("--install-seconds", type=float, default=0.0, help="what the set-up took already")
    chosen = parser.parse_args()
    names = list(COMMANDS) if chosen.group == "all" else [chosen.group]
    outcomes: dict[str, Outcome] = {}
    for name in names:
        print(f"\n----- {name} -----", flush=True)
        outcomes[name] = run_group(name, chosen.install_seconds if name == "install" else 0.0)
    if chosen.group == "all":
        report(outcomes)
    elif "pytest" not in COMMANDS[chosen.group][0]:  # pytest has printed its own
        print(f"{chosen.group}: {outcomes[chosen.group].seconds:.0f} s of {TARGETS[chosen.group]} s")
    return 1 if any(outcome.failed for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
