"""Where media stand in a prompt: slot markers, their modalities, and how many tokens of the LLM each takes."""

from __future__ import annotations

from ..schema import BranchConfig, ModelConfig

SLOTS = {
    "<AudioHere>": "audio",
    "<ImageHere>": "video",
    "<FrameHere>": "video",
    "<FaceHere>": "face",
    "<MultiHere>": "multi",
}
PICTURES = ("video", "face")


def slot_lengths(model: ModelConfig) -> dict[str, int]:
    """Modality -> number of LLM tokens, for the modalities that this arrangement has a branch for.

    ``image`` (a single picture of the instruction sets) has a projection of its own in AffectGPT 2025's arrangement;
    elsewhere a picture is a video of one frame.
    """
    lengths = {"video": _tokens(model.video), "audio": _tokens(model.audio_branch)}
    if model.video.kind == "attention":
        lengths["image"] = 1
    if model.face:
        lengths["face"] = lengths["video"]
    if model.prefusion:
        lengths["multi"] = 1
    return lengths


def feature_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Modality -> what its frozen encoder makes of one frame (tokens, width), or of one segment of sound (width,)."""
    vision, audio = model.vision, model.audio
    if vision.kind == "blip2":
        picture = (model.image_qformer.queries, model.image_qformer.hidden_size)
    elif vision.kind == "clip" and vision.tokens == 1:
        picture = (1, vision.projection)
    else:
        picture = (vision.tokens, vision.hidden_size)
    sound = (audio.embedding if audio.kind in ("imagebind", "ast") else audio.hidden_size,)
    return {"video": picture, "face": picture, "audio": sound}


def present(model: ModelConfig, modalities: set[str]) -> set[str]:
    """The modalities that a clip with these streams has, ``multi`` included where it has sound and pictures."""
    found = modalities & set(slot_lengths(model))
    if model.prefusion and "audio" in found and found & set(PICTURES):
        found.add("multi")
    return found


def _tokens(branch: BranchConfig) -> int:
    return branch.queries if branch.kind == "qformer" else 1
