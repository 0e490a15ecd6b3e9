"""Faces as action units: OpenFace tracks, the peak frame, words and pseudo-labels; and whose faces they are."""

from models_ml.face.labels import label, pseudo_labels
from models_ml.face.peak import peak
from models_ml.face.rows import AuTrackError
from models_ml.face.track import AuTrack, openface_faces, read_openface, read_person
from models_ml.face.words import AU_WORDS, render_face

__all__ = [
    "AU_WORDS",
    "AuTrack",
    "AuTrackError",
    "label",
    "openface_faces",
    "peak",
    "pseudo_labels",
    "read_openface",
    "read_person",
    "render_face",
]
