"""The table of models on the terminal: ``python -m models_ml.registry [--modality audio] [--way transformers]``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from models_ml.registry import MODALITIES, WAYS, ModelRow, RegistryError, load
from models_ml.registry.markdown import document, licence


def main(argv: list[str] | None = None) -> int:
    """Print the models asked for. Exit 2: the call or the table is wrong."""
    parser = argparse.ArgumentParser(prog="python -m models_ml.registry", description="Models that can pre-label.")
    parser.add_argument("--modality", choices=MODALITIES)
    parser.add_argument("--way", choices=WAYS)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="one JSON list")
    how.add_argument("--markdown", action="store_true", help="docs/models.md, all models")
    options = parser.parse_args(argv)
    try:
        rows = load()
    except RegistryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.markdown:
        print(document(rows), end="")
        return 0
    rows = [row for row in rows if options.modality in (None, row.modality) and options.way in (None, row.way)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
        return 0
    cells = [["model", "for", "way", "run here", "licence of the weights", "en", "zh"], *map(_cells, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _cells(row: ModelRow) -> list[str]:
    scores = [row.score(language) for language in ("english", "chinese")]
    shown = [f"{one.mean:.2f}" if one else "" for one in scores]
    return [row.name, row.modality, row.way, row.run_here, licence(row, "weights"), *shown]


if __name__ == "__main__":
    sys.exit(main())
