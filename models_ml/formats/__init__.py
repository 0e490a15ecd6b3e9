"""Readers of published annotation files: EMER-V1, EMER-V2, MERR, MER2025. Each gives records and what it repaired."""

from models_ml.formats.bodies import Body, FormatError, Imported, body, canonical_line
from models_ml.formats.emer import read_emer_v1, read_emer_v2
from models_ml.formats.mer2025 import read_mer2025, read_subtitles
from models_ml.formats.merr import read_merr

__all__ = [
    "Body",
    "FormatError",
    "Imported",
    "body",
    "canonical_line",
    "read_emer_v1",
    "read_emer_v2",
    "read_mer2025",
    "read_merr",
    "read_subtitles",
]
