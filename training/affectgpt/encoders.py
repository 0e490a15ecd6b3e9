"""The frozen encoders by the kind that a config names: pictures in vision.py, sound in hearing.py."""

from __future__ import annotations

from .hearing import AstEncoder as AudioEncoder
from .hearing import SoundEncoder, audio_encoder
from .vision import Blip2Encoder as VisualEncoder
from .vision import TowerEncoder, visual_encoder

__all__ = ["AudioEncoder", "SoundEncoder", "TowerEncoder", "VisualEncoder", "audio_encoder", "visual_encoder"]
