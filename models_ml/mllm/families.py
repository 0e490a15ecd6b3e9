"""How each family of transformers models is loaded and asked: chat messages in, tensors for ``generate`` out.

Only tokenizer, image processor and feature extractor are loaded: the library's video processors need torchvision, which
is kept out of this environment. Frames are sampled before they come here (they are parts of the message) and
normalised by the model's own image processor; Video-LLaVA takes them as one video, the others as pictures in a row,
as a server takes them.

``trust_remote_code`` is always off and weights are read from safetensors only. A checkpoint that lacks weights is
refused: the library would fill them with random numbers and answer all the same.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import io
import os
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models_ml.llm.errors import ModelFailure, NotConfigured, excerpt

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """Classes of transformers by name, the media that the model takes and the placeholders in its text."""

    model: str
    processor: str
    takes: tuple[str, ...]  # image, audio
    as_video: bool = False  # several pictures are one video


FAMILIES = {
    "qwen2_audio": Family("Qwen2AudioForConditionalGeneration", "Qwen2AudioProcessor", ("audio",)),
    "video_llava": Family("VideoLlavaForConditionalGeneration", "VideoLlavaProcessor", ("image",), as_video=True),
    "llava": Family("LlavaForConditionalGeneration", "LlavaProcessor", ("image",)),
    "llava_onevision": Family("LlavaOnevisionForConditionalGeneration", "LlavaOnevisionProcessor", ("image",)),
    "qwen2_5_vl": Family("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLProcessor", ("image",)),
    "qwen2_5_omni": Family("Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniProcessor", ("image", "audio")),
    "text": Family("AutoModelForCausalLM", "", ()),
}
# model_type of config.json, where it is not the family's own name
ALIASES = {"qwen2_5_omni_thinker": "qwen2_5_omni"}
LEAST_S = 0.1  # of sound: less makes no token; so long a rest after the pieces of a long sound is left out
# Families whose checkpoints were published before chat templates: the turns that their papers' code used.
PLAIN_TURNS = ("llava", "video_llava")


@dataclass
class Loaded:
    """A model in memory. ``processor`` is the tokenizer itself for a text model."""

    family: str
    model: Any
    processor: Any
    tokenizer: Any
    device: Any
    template: str | None


@dataclass
class Asked:
    """Messages taken apart: turns for the chat template, pictures and sound in their order."""

    turns: Messages = field(default_factory=list)
    images: list[Any] = field(default_factory=list)  # PIL, RGB
    audio: list[Any] = field(default_factory=list)  # float32 mono at the model's rate, none longer than it hears


def load(path: str, family: str, device: str, dtype: str) -> Loaded:
    """Read a checkpoint from a folder, or by its id on the hub where HF_HUB_OFFLINE is not set.

    Raises NotConfigured: libraries are missing, there is no such checkpoint, its kind is not known here, weights are
    missing or not safetensors, the device is not there.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise NotConfigured(
            f"not configured: a local model needs torch and transformers ({error}); "
            "install with: pip install -r requirements/ml.txt"
        ) from error
    transformers.logging.set_verbosity_error()
    where: dict[str, Any] = {"local_files_only": offline(), "trust_remote_code": False}
    if (path.startswith((os.sep, "./", "../", "~")) or offline()) and not Path(path).expanduser().is_dir():
        raise NotConfigured(f"not configured: there is no model folder {path}")
    path = str(Path(path).expanduser()) if Path(path).expanduser().is_dir() else path
    try:
        kind = family if family != "auto" else family_of(transformers.AutoConfig.from_pretrained(path, **where), path)
        known = FAMILIES[kind]
        target = pick_device(device)
        weights = getattr(transformers, known.model)
        number: Any = getattr(torch, dtype) if dtype != "auto" else "auto" if target.type == "cuda" else torch.float32
        model, report = weights.from_pretrained(
            path, dtype=number, use_safetensors=True, output_loading_info=True, **where
        )
        processor = _processor(transformers, known, path, where)
        tokenizer = getattr(processor, "tokenizer", processor)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        # The library raises any of these for a folder that lacks a file or holds another model.
        raise NotConfigured(f"not configured: {path} cannot be loaded: {excerpt(str(error))}") from error
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise NotConfigured(f"not configured: {path} lacks {len(names)} weights of {known.model}, {names[0]} first")
    template = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    if not template and kind not in PLAIN_TURNS:
        raise NotConfigured(f"not configured: {path} has no chat template; take the chat or instruct variant")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return Loaded(kind, model.to(target).eval(), processor, tokenizer, target, template)


def offline() -> bool:
    """Whether nothing may be asked of the model hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")


def family_of(config: Any, path: str) -> str:
    """The family of a checkpoint by its config. Raises NotConfigured for a kind that is not known here."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kind = ALIASES.get(config.model_type, config.model_type)
    if kind in FAMILIES:
        return kind
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "text"
    known = ", ".join(name for name in FAMILIES if name != "text")
    raise NotConfigured(
        f"not configured: {path} is a {config.model_type}; a worker loads {known} and causal text models. "
        "Serve others with vLLM or `transformers serve` and register the server"
    )


def pick_device(device: str) -> Any:
    """``auto`` is the first GPU where there is one, else the processor. Raises NotConfigured."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise NotConfigured(f"not configured: there is no device {device!r}") from error
    if target.type == "cuda" and (target.index or 0) >= torch.cuda.device_count():
        raise NotConfigured(f"not configured: {device} was asked for; torch sees {torch.cuda.device_count()} GPUs")
    return target


def _processor(transformers: Any, known: Family, path: str, where: dict[str, Any]) -> Any:
    """The family's processor put together from its parts, without a video processor."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, **where)
    if not known.processor:
        return tokenizer
    cls = getattr(transformers, known.processor)
    described, _rest = cls.get_processor_dict(path, local_files_only=where["local_files_only"])
    wanted = inspect.signature(cls.__init__).parameters
    values = {key: value for key, value in described.items() if key in wanted and not isinstance(value, dict)}
    values["tokenizer"] = tokenizer
    if "image_processor" in wanted:
        values["image_processor"] = transformers.AutoImageProcessor.from_pretrained(path, **where)
    if "feature_extractor" in wanted:
        values["feature_extractor"] = transformers.AutoFeatureExtractor.from_pretrained(path, **where)
    if "video_processor" not in wanted:
        return cls(**values)

    class WithoutVideo(cls):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return type(None) if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    return WithoutVideo(**values, video_processor=None)


def take_apart(messages: Messages, loaded: Loaded, path: str) -> Asked:
    """OpenAI messages → turns with typed placeholders, and the media.

    Raises NotConfigured for media that the model does not take, ModelFailure ``bad_request`` for media that cannot be
    read.
    """
    known, asked = FAMILIES[loaded.family], Asked()
    for message in messages:
        parts = message["content"]
        if isinstance(parts, str):
            parts = [{"type": "text", "text": parts}]
        content: list[dict[str, Any]] = []
        for part in parts:
            kind = {"image_url": "image", "input_audio": "audio", "video_url": "video"}.get(part["type"], part["type"])
            if kind == "text":
                content.append({"type": "text", "text": harmless(part["text"], loaded.tokenizer)})
                continue
            if kind not in known.takes:
                takes = " and ".join(("text", *known.takes))
                raise NotConfigured(f"not configured: {path} is a {loaded.family} model: it takes {takes}, not {kind}")
            if kind == "image":
                asked.images.append(_picture(part["image_url"]["url"]))
                content.append({"type": kind})
            else:
                pieces = _pieces(loaded, *_sound(part["input_audio"]["data"]))
                asked.audio += pieces
                content += [{"type": kind} for _piece in pieces]
        asked.turns.append({"role": message["role"], "content": content})
    if known.as_video and len(asked.images) > 1:
        _gather_video(asked.turns)
    return asked


def _gather_video(turns: Messages) -> None:
    """The pictures of a turn become one video, where the first of them stood."""
    for turn in turns:
        at = [place for place, part in enumerate(turn["content"]) if part["type"] == "image"]
        if at:
            turn["content"] = [part for part in turn["content"] if part["type"] != "image"]
            turn["content"].insert(at[0], {"type": "video"})


def harmless(text: str, tokenizer: Any) -> str:
    """Text in which no control token of the model is left: a subtitle must not end its turn or pass for a picture."""
    for token in {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}:
        if len(token) > 2 and token[0] == "<" and token[-1] == ">" and token in text:
            text = text.replace(token, "＜" + token[1:])
    return text


def _picture(url: str) -> Any:
    from PIL import Image

    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma:
        raise ModelFailure("bad_request", "a local model takes pictures as data URLs only")
    try:
        return Image.open(io.BytesIO(base64.b64decode(data, validate=True))).convert("RGB")
    except (binascii.Error, OSError, ValueError, SyntaxError) as error:
        raise ModelFailure("bad_request", f"a picture cannot be read: {excerpt(str(error))}") from error


def _sound(data: str) -> tuple[Any, int]:
    """A 16-bit WAV file as base64 → (float32 mono, rate in Hz)."""
    import numpy as np

    try:
        with wave.open(io.BytesIO(base64.b64decode(data, validate=True))) as file:
            if file.getsampwidth() != 2:
                raise ModelFailure("bad_request", "sound must be 16-bit PCM in a WAV file")
            raw, channels, rate = file.readframes(file.getnframes()), file.getnchannels(), file.getframerate()
    except (binascii.Error, wave.Error, EOFError, ValueError) as error:
        raise ModelFailure("bad_request", f"the WAV file cannot be read: {excerpt(str(error))}") from error
    return np.frombuffer(raw, "<i2").reshape(-1, channels).mean(axis=1).astype(np.float32) / 32768.0, rate


def _pieces(loaded: Loaded, samples: Any, rate: int) -> list[Any]:
    """The sound in pieces as long as the model hears at a time (Qwen2-Audio: 30 s). It would cut off the rest and
    answer all the same."""
    hearing = loaded.processor.feature_extractor
    if rate != hearing.sampling_rate:
        raise ModelFailure("bad_request", f"the sound has {rate} Hz; this model takes {hearing.sampling_rate} Hz")
    if len(samples) < LEAST_S * rate:
        raise ModelFailure(
            "bad_request", f"the sound lasts {len(samples) / rate:g} s; {LEAST_S} s is the least to hear"
        )
    pieces = [samples[start : start + hearing.n_samples] for start in range(0, len(samples), hearing.n_samples)]
    return [piece for piece in pieces if len(piece) >= LEAST_S * rate]


def inputs(loaded: Loaded, batch: list[Asked], path: str) -> Any:
    """Tensors for ``generate``: left-padded ids, mask and the features of all media, on the model's device.

    Raises NotConfigured where the chat template does not place the media.
    """
    known = FAMILIES[loaded.family]
    texts = [_prompt(loaded, asked) for asked in batch]
    if not known.takes:
        return loaded.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(loaded.device)
    if known.as_video:
        return _with_videos(loaded, batch, texts).to(loaded.device, loaded.model.dtype)
    images = [asked.images for asked in batch if asked.images]
    sounds = [one for asked in batch for one in asked.audio]
    media: dict[str, Any] = {}
    if images:
        # One list a text: how many pictures of a batch belong to which matters to some models.
        media["images"] = [asked.images for asked in batch] if len(images) == len(batch) else sum(images, [])
    if sounds:
        media["audio"] = sounds
        media["audio_kwargs"] = {"sampling_rate": loaded.processor.feature_extractor.sampling_rate}
    try:
        found = loaded.processor(text=texts, return_tensors="pt", padding=True, add_special_tokens=False, **media)
    except (ValueError, IndexError, TypeError) as error:  # the template's placeholders and the media do not agree
        raise NotConfigured(
            f"not configured: {path} cannot be asked with {len(sum(images, []))} pictures and {len(sounds)} sounds: "
            f"{excerpt(str(error))}"
        ) from error
    return found.to(loaded.device, loaded.model.dtype)


def _with_videos(loaded: Loaded, batch: list[Asked], texts: list[str]) -> Any:
    """Video-LLaVA: a clip's frames as one video tensor, or one picture; its placeholder once per patch (and frame)."""
    import torch

    processor = loaded.processor
    media: dict[str, list[Any]] = {"image": [], "video": []}
    for place, asked in enumerate(batch):
        if not asked.images:
            continue
        found = processor.image_processor(images=asked.images, return_tensors="pt")
        frames = found["pixel_values"] if "pixel_values" in found else found["pixel_values_images"]
        patches = (frames.shape[-2] // processor.patch_size) * (frames.shape[-1] // processor.patch_size)
        tokens = patches + processor.num_additional_image_tokens  # of a frame; of a picture the class token is left out
        kind, sign = ("video", processor.video_token) if len(frames) > 1 else ("image", processor.image_token)
        if kind == "image" and processor.vision_feature_select_strategy == "default":
            tokens -= 1
        if texts[place].count(sign) != 1:
            raise NotConfigured(f"not configured: the chat template of a {loaded.family} model does not place {sign}")
        texts[place] = texts[place].replace(sign, sign * (tokens * len(frames)))
        media[kind].append(frames)
    if len({clip.shape for clip in media["video"]}) > 1:
        raise ValueError("clips of one batch must have the same number of frames")
    given = loaded.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    if media["video"]:
        given["pixel_values_videos"] = torch.stack(media["video"])
    if media["image"]:
        forward = inspect.signature(type(loaded.model).forward).parameters
        name = "pixel_values_images" if "pixel_values_images" in forward else "pixel_values"  # by the library's age
        given[name] = torch.cat(media["image"])
    return _Tensors(given)


class _Tensors(dict[str, Any]):
    """What a processor's answer can do here: move to a device, numbers to a dtype."""

    def to(self, device: Any, dtype: Any) -> _Tensors:
        return _Tensors(
            (name, value.to(device, dtype) if value.is_floating_point() else value.to(device))
            for name, value in self.items()
        )


def _prompt(loaded: Loaded, asked: Asked) -> str:
    turns = asked.turns
    if loaded.template is None:
        return _plain_turns(loaded, turns)
    if not FAMILIES[loaded.family].takes:
        turns = [{**turn, "content": "\n\n".join(part["text"] for part in turn["content"])} for turn in turns]
    return loaded.tokenizer.apply_chat_template(
        turns, chat_template=loaded.template, tokenize=False, add_generation_prompt=True
    )


def _plain_turns(loaded: Loaded, turns: Messages) -> str:
    """``USER: <image>\\n… ASSISTANT:``, the turns that LLaVA-1.5 and Video-LLaVA were tuned on."""
    signs = {"image": loaded.processor.image_token, "video": getattr(loaded.processor, "video_token", "")}
    said = []
    for turn in turns:
        media = "".join(f"{signs[part['type']]}\n" for part in turn["content"] if part["type"] in signs)
        text = "\n".join(part["text"] for part in turn["content"] if part["type"] == "text")
        who = {"user": "USER: ", "assistant": "ASSISTANT: "}.get(turn["role"], "")
        said.append(f"{who}{media}{text}")
    bos = loaded.tokenizer.bos_token or ""
    return f"{bos}{' '.join(said)} ASSISTANT:"
