"""Stands in for OpenFace's binary: takes its arguments, looks at the given file, writes its kind of CSV.

`MODE` (a file beside this one's copy) says how it behaves, so that failures can be played.
"""

import sys
import time
from pathlib import Path

arguments = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
video, out = Path(arguments["-f"]), Path(arguments["-out_dir"])
mode = Path(__file__).with_name("mode").read_text().strip()
assert {"-aus", "-2Dfp"} <= set(sys.argv)
if not video.read_bytes():
    sys.exit("Could not open the input file")
if mode == "crash":
    print("Loading the model\nCould not find the HAAR face detector location", file=sys.stderr)
    sys.exit(1)
if mode == "hang":
    time.sleep(600)
if mode == "flood":
    while True:
        sys.stdout.write("x" * 1_000_000)
out.mkdir(parents=True, exist_ok=True)
if mode == "nothing":
    sys.exit(0)
seen = int(mode != "noface")
rows = ["frame, face_id, timestamp, confidence, success, AU05_r, AU26_r, AU05_c, AU26_c"]
if mode == "corrupt":
    rows.append("1, 0, zero, 0.98, 1, 1, 1, 1, 1")
elif mode != "empty":
    for i in range(1, 6):
        rows.append(f"{i}, 0, {(i - 1) / 25:.3f}, {0.98 * seen:.2f}, {seen}, {i / 2:.2f}, {i / 3:.2f}, {seen}, {seen}")
(out / f"{arguments['-of']}.csv").write_text("\n".join(rows) + "\n")
print("seen as", video.name)
