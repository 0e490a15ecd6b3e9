"""Compile locale/*/LC_MESSAGES/*.po to .mo with polib, so that no gettext binary is needed.

`--only-if-older` compiles nothing and ends with 1 when some .mo is missing or older than its .po.
"""

import sys
from pathlib import Path

LOCALE = Path(__file__).resolve().parents[1] / "locale"


def outdated() -> list[Path]:
    """The .po files whose .mo is missing or older."""
    return [
        po
        for po in sorted(LOCALE.glob("*/LC_MESSAGES/*.po"))
        if not po.with_suffix(".mo").exists() or po.with_suffix(".mo").stat().st_mtime_ns < po.stat().st_mtime_ns
    ]


def main() -> None:
    stale = outdated()
    if "--only-if-older" in sys.argv:
        sys.exit(1 if stale else 0)
    if stale:
        import polib

        for po in stale:
            polib.pofile(str(po), encoding="utf-8").save_as_mofile(str(po.with_suffix(".mo")))


if __name__ == "__main__":
    main()
