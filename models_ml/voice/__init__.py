"""Voices as measured prosody: Praat's numbers, and words that each stand on one of them."""

from models_ml.voice.catalogue import CATALOGUE, codes, render_voice
from models_ml.voice.measure import UNITS, against, baseline, count_syllables, measure

__all__ = ["CATALOGUE", "UNITS", "against", "baseline", "codes", "count_syllables", "measure", "render_voice"]
