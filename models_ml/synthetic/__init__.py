"""Synthetic clips: drawn faces whose action units are known, speech whose prosody follows the emotion."""

from models_ml.synthetic.corpus import make_clip, make_corpus

__all__ = ["make_clip", "make_corpus"]
