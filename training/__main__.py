"""Command line of training. Each command prints one JSON object as its last line on stdout; logs go to stderr.

Exit 0: done; 1: something failed while it ran; 2: the call, config or data cannot be used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from .cli_evaluate import COMMANDS, add_commands, run_command
from .errors import MissingDependency, TrainingError, UsageError

NEEDED = {"torch": "torch", "transformers": "transformers", "safetensors": "safetensors", "tokenizers": "tokenizers"}
INSTALL = "pip install -r requirements/ml.txt"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m training", description="AffectGPT, stage 1 and 2.")
    commands = top.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="train on a snapshot")
    fit.add_argument("--config", required=True, metavar="NAME|FILE", help="a preset, or a YAML file")
    fit.add_argument("--snapshot", required=True, metavar="DIR|URL|KIND:PATH", help="KIND:PATH: training/sources")
    fit.add_argument("--media", metavar="DIR", help="<sha256>.* or <clip>.* files; else the paths in media.jsonl")
    fit.add_argument("--out", required=True, metavar="RUN", help="a new folder")
    fit.add_argument("--init", metavar="CKPT", help="start from this checkpoint or run (stage 2 from stage 1)")
    fit.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value", help="override config keys")
    fit.add_argument("--missing-media", choices=["text-only"], help="what to do with clips without readable media")
    fit.add_argument("--allow-leak", action="store_true", help="go on although clips under test were trained on")
    fit.add_argument("--resume", action="store_true", help="go on with the run in --out")
    fit.add_argument("--no-register", action="store_true", help="keep the run off the workbench's list")
    fit.add_argument("--token", help="for a snapshot by URL; default EMER_TOKEN")

    add_commands(commands)

    inspect = commands.add_parser("inspect", help="modules, shapes and trainable counts; needs no weights")
    inspect.add_argument("--config", required=True, metavar="NAME|FILE")
    inspect.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value")

    estimate = commands.add_parser("estimate", help="memory, time and disk of a run, before it is started")
    estimate.add_argument("--config", required=True, metavar="NAME|FILE")
    estimate.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value")
    estimate.add_argument("--clips", required=True, type=int, metavar="N", help="clips to train on")
    estimate.add_argument("--gpu", metavar="NAME", help="e.g. A100, H100, 'RTX 4090'; default: this host's device")

    scan = commands.add_parser("scan", help="what a run would meet: unreadable media, over-long texts, duplicates")
    scan.add_argument("--config", required=True, metavar="NAME|FILE")
    scan.add_argument("--snapshot", required=True, metavar="DIR|KIND:PATH")
    scan.add_argument("--media", metavar="DIR")
    scan.add_argument("--split", help="default: the one that is trained on")
    scan.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value")

    cache = commands.add_parser("cache", help="make the frozen encoders' features ahead of a run; verify or prune them")
    cache.add_argument("--config", required=True, metavar="NAME|FILE")
    cache.add_argument("--snapshot", required=True, metavar="DIR|KIND:PATH")
    cache.add_argument("--media", metavar="DIR")
    cache.add_argument("--dir", metavar="DIR", help="where features lie; default data.cache_dir, EMER_CACHE")
    cache.add_argument("--workers", type=int, help="processes that decode; default data.workers")
    cache.add_argument("--verify", action="store_true", help="hash every entry again; damaged ones are made anew")
    cache.add_argument("--prune", action="store_true", help="remove leftovers and what other encoders made")
    cache.add_argument("--missing-media", choices=["text-only"])
    cache.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value")

    convert = commands.add_parser("convert", help="a published .pth under our names, with a report of every key")
    convert.add_argument("original", metavar="ORIGINAL.pth")
    convert.add_argument("--config", required=True, metavar="NAME|FILE")
    convert.add_argument("--out", required=True, metavar="DIR")
    convert.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value")

    fetch = commands.add_parser("fetch", help="a snapshot by REST, digest verified")
    fetch.add_argument("url", metavar="URL", help="http://host/api/v1/snapshots/<id>/")
    fetch.add_argument("--out", required=True, metavar="DIR")
    fetch.add_argument("--token", help="default: the environment's EMER_TOKEN")
    return top


def require_libraries() -> None:
    """Raises MissingDependency that names what is not installed and how to install it."""
    absent = [name for module, name in NEEDED.items() if not installed(module)]
    if absent:
        raise MissingDependency(f"training needs {', '.join(absent)}, not installed here; install with: {INSTALL}")


def installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    return sys.modules.get(module) is not None or (
        module not in sys.modules and importlib.util.find_spec(module) is not None
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Do what the command line says; returns its JSON object and the exit code."""
    if options.command == "fetch":
        from .fetch import fetch

        return fetch(options.url, options.out, options.token), 0
    require_libraries()
    if options.command == "fit":
        from .fit import fit

        fitted = fit(
            options.config, _local(options), options.out, options.media, options.init, options.set,
            options.missing_media, options.allow_leak, options.resume, not options.no_register,
        )  # fmt: skip
        return fitted, 0
    if options.command in COMMANDS:
        return run_command(options)
    if options.command == "scan":
        from .scan import scan_command

        return scan_command(options.config, options.snapshot, options.media, options.set, options.split)
    if options.command == "cache":
        from .caching import cache_command

        return cache_command(
            options.config, options.snapshot, options.media, options.set, options.workers, options.dir,
            verify=options.verify, prune=options.prune, missing_media=options.missing_media,
        )  # fmt: skip
    if options.command == "estimate":
        from .estimate import command

        return command(options.config, options.set, options.clips, options.gpu), 0
    if options.command == "convert":
        from .originals import convert

        return convert(options.original, options.config, options.out, options.set), 0
    from .inspection import inspect

    return inspect(options.config, options.set), 0


def _local(options: argparse.Namespace) -> str:
    """The snapshot's folder. A URL is fetched to ``<RUN>.snapshot`` beside the run first, and a KIND:PATH (see
    training/sources) written there, so that its split stays on the disk."""
    from .sources import parse_spec, stored
    from .sources.instructions import INSTRUCTIONS

    folder = Path(options.out).absolute()
    place = str(folder.with_name(folder.name + ".snapshot"))
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not options.snapshot.startswith(("http://", "https://")):
        spec = parse_spec(options.snapshot)
        if spec is None or spec.kind in INSTRUCTIONS or several:
            return options.snapshot
        return stored(options.snapshot, place)
    if several:
        raise UsageError("--snapshot URL in several processes: fetch it first (python -m training fetch), then name it")
    from .fetch import fetch

    return fetch(options.snapshot, place, options.token)["path"]


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = parser().parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("training").setLevel(logging.INFO)
    try:
        result, code = run(options)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # a disk that is full or may not be written
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"error: {error}; install with: {INSTALL}", file=sys.stderr)
        return 2
    finally:
        logging.getLogger().removeHandler(handler)
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes one speaks
        print(json.dumps(result, ensure_ascii=False), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
