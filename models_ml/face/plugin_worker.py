"""Calls a plug-in tracker: `PYTHON plugin_worker.py MODULE:FUNCTION VIDEO`; what it returns goes to stdout.

A script of its own, so that it runs with any interpreter and imports nothing of this repository. What the function
prints goes to stderr: stdout is the CSV's.
"""

import importlib
import sys


def main(target: str, video: str) -> int:
    stdout, sys.stdout = sys.stdout, sys.stderr
    module, _colon, name = target.partition(":")
    text = getattr(importlib.import_module(module), name)(video)
    if not isinstance(text, str):
        print(f"{target} returned {type(text).__name__}, not the text of a CSV", file=sys.stderr)
        return 1
    stdout.buffer.write(text.encode())
    return 0


if __name__ == "__main__":
    sys.path.insert(0, "")  # the folder it runs in is empty; PYTHONPATH says where the module is
    sys.exit(main(*sys.argv[1:3]))
