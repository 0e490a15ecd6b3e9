"""Faces as action units: OpenFace tracks, the peak frame, words and pseudo-labels."""

from models_ml.face.peak import peak, pseudo_labels
from models_ml.face.track import AuTrack, AuTrackError, read_openface
from models_ml.face.words import AU_WORDS, render_face

__all__ = ["AU_WORDS", "AuTrack", "AuTrackError", "peak", "pseudo_labels", "read_openface", "render_face"]
