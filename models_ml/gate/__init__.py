"""The evidence gate: what a clue claims, held against measurements before a person sees it (docs/gate.md)."""

from models_ml.gate.finder import Claim, find
from models_ml.gate.judge import VERSION, judge
from models_ml.gate.lexicon import LexiconError, load
from models_ml.gate.measures import CODES, FACE_UNITS, VOICE_CODES
from models_ml.gate.propose import propose
from models_ml.gate.render import render

__all__ = [
    "CODES", "FACE_UNITS", "VERSION", "VOICE_CODES", "Claim", "LexiconError", "find", "judge", "load",
    "propose", "render",
]  # fmt: skip
