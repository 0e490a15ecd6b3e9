"""Command line of training. Each command prints one JSON object as its last line on stdout; logs go to stderr.

Exit 0: done; 1: something failed while it ran; 2: the call, config or data cannot be used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Any

from .errors import MissingDependency, TrainingError

NEEDED = {"torch": "torch", "transformers": "transformers", "safetensors": "safetensors", "tokenizers": "tokenizers"}
INSTALL = "pip install -r requirements/ml.txt"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m training", description="AffectGPT, stage 1 and 2.")
    commands = top.add_subparsers(dest="command", required=True)

    fit = commands.add_parser("fit", help="train on a snapshot")
    fit.add_argument("--config", required=True, metavar="NAME|FILE", help="a preset, or a YAML file")
    fit.add_argument("--snapshot", required=True, metavar="DIR|URL")
    fit.add_argument("--media", metavar="DIR", help="<sha256>.* or <clip>.* files; else the paths in media.jsonl")
    fit.add_argument("--out", required=True, metavar="RUN", help="a new folder")
    fit.add_argument("--init", metavar="CKPT", help="start from this checkpoint or run (stage 2 from stage 1)")
    fit.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value", help="override config keys")
    fit.add_argument("--missing-media", choices=["text-only"], help="what to do with clips without readable media")
    fit.add_argument("--allow-leak", action="store_true", help="go on although clips under test were trained on")
    fit.add_argument("--resume", action="store_true", help="go on with the run in --out")
    fit.add_argument("--no-register", action="store_true", help="keep the run off the workbench's list")
    fit.add_argument("--token", help="for a snapshot by URL; default EMER_TOKEN")

    evaluate = commands.add_parser("evaluate", help="generate on a split and score the labels")
    evaluate.add_argument("--run", required=True)
    evaluate.add_argument("--snapshot", required=True, metavar="DIR")
    evaluate.add_argument("--split", default="test")
    evaluate.add_argument("--route", choices=["one-step", "two-step"], default="one-step")
    evaluate.add_argument("--media", metavar="DIR")
    evaluate.add_argument("--missing-media", choices=["text-only"])
    evaluate.add_argument("--extraction", choices=["llm", "lexicon", "direct"], help="default: what is configured")
    evaluate.add_argument("--grouping", choices=["lexicon", "none"], default="lexicon")
    evaluate.add_argument("--allow-leak", action="store_true")

    generate = commands.add_parser("generate", help="describe one media file")
    generate.add_argument("--run", required=True)
    generate.add_argument("--clip", required=True, metavar="MEDIA")
    generate.add_argument("--subtitle", metavar="TEXT")

    inspect = commands.add_parser("inspect", help="modules, shapes and trainable counts; needs no weights")
    inspect.add_argument("--config", required=True, metavar="NAME|FILE")
    inspect.add_argument("--set", action="extend", nargs="+", default=[], metavar="key=value")

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
    if options.command == "evaluate":
        from .evaluate import evaluate

        result, failed = evaluate(
            options.run, options.snapshot, options.split, options.route, options.media, options.missing_media,
            options.allow_leak, options.extraction, options.grouping,
        )  # fmt: skip
        return result, 1 if failed else 0
    if options.command == "generate":
        from .generate import generate

        return generate(options.run, options.clip, options.subtitle), 0
    from .inspection import inspect

    return inspect(options.config, options.set), 0


def _local(options: argparse.Namespace) -> str:
    """The snapshot's folder; a URL is fetched to ``<RUN>.snapshot`` beside the run first."""
    if not options.snapshot.startswith(("http://", "https://")):
        return options.snapshot
    from .fetch import fetch

    folder = Path(options.out).absolute()
    return fetch(options.snapshot, str(folder.with_name(folder.name + ".snapshot")), options.token)["path"]


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
    print(json.dumps(result, ensure_ascii=False), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
