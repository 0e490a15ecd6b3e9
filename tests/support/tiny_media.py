"""Tiny multimodal checkpoints made on the spot, in the layout in which the real ones are published.

Without an ``answer`` their weights are random: what they say is nonsense, and depends on the media that they are given.
With one, the language model inside is fitted to say it (``tiny_llm``).
"""

import base64
import io
import json
import wave
from pathlib import Path
from typing import Any

from tests.support import tiny_llm

VIDEO_TOKEN = "<video>"
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
# What Qwen2.5-Omni's tokenizer calls its signs; each is named for the processor, which asks for it by name.
OMNI = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
QWEN_VL = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
PARTS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'audio' %}SOUND"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _settled(model: Any, tokenizer: Any, answer: str | None, folder: Path) -> Path:
    """Random as it is, or fitted to the answer; then saved."""
    import torch
    from transformers import Qwen2ForCausalLM

    if answer is not None:
        with torch.no_grad():
            language = Qwen2ForCausalLM(tiny_llm._language_config(tokenizer))
        tiny_llm._graft(model, language, tokenizer, answer)
    else:
        # Random layers of this width hardly move what the last token says: without this, any media gives one answer.
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                with torch.no_grad():
                    weight.mul_(4.0)
    model.generation_config.do_sample = False
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def _named(signs: dict[str, str], answer: str | None) -> Any:
    """The tokenizer with more signs, each known by its name."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = tiny_llm.make_tokenizer(answer or "")
    tokenizer.add_tokens(list(signs.values()), special_tokens=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=signs,
    )


def make_qwen2_audio(folder: Path, answer: str | None = None) -> Path:
    import torch
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioEncoderConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    torch.manual_seed(0)
    tokenizer = tiny_llm.make_tokenizer(answer or "")
    hearing = Qwen2AudioEncoderConfig(
        num_mel_bins=32, d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=64
    )
    config = Qwen2AudioConfig(
        audio_config=hearing,
        text_config=tiny_llm._language_config(tokenizer),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=32),
        tokenizer=tokenizer,
        chat_template=tiny_llm.TEMPLATE,
    ).save_pretrained(folder)
    return _settled(Qwen2AudioForConditionalGeneration(config), tokenizer, answer, folder)


def _published(folder: Path, tokenizer: Any, template: str | None, **parts: Any) -> None:
    """Tokenizer, ``preprocessor_config.json`` and ``chat_template.json``, as on the hub."""
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    merged: dict[str, Any] = {}
    for part in parts.values():
        merged |= json.loads(part.to_json_string())
    merged["image_processor_type"] = type(parts["image_processor"]).__name__.removesuffix("Pil")
    (folder / "preprocessor_config.json").write_text(json.dumps(merged), "utf-8")
    if template:
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), "utf-8")


def make_video_llava(folder: Path, answer: str | None = None) -> Path:
    import torch
    from transformers import (
        CLIPVisionConfig,
        VideoLlavaConfig,
        VideoLlavaForConditionalGeneration,
        VideoLlavaImageProcessor,
    )

    torch.manual_seed(0)
    tokenizer = tiny_llm.make_tokenizer(answer or "")
    tokenizer.add_tokens([VIDEO_TOKEN], special_tokens=True)
    config = VideoLlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=56, patch_size=14),
        text_config=tiny_llm._language_config(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
    )
    size = {"height": 56, "width": 56}
    pictures = VideoLlavaImageProcessor(size={"shortest_edge": 56}, crop_size=size)
    # Random, it is asked in the plain turns of its paper; fitted, in those that the language model was fitted to.
    audio = "{% elif part['type'] == 'audio' %}"
    template = tiny_llm.TEMPLATE.replace(audio, "{% elif part['type'] == 'video' %}" + VIDEO_TOKEN + audio)
    _published(folder, tokenizer, template if answer else None, image_processor=pictures)
    return _settled(VideoLlavaForConditionalGeneration(config), tokenizer, answer, folder)


def make_llava(folder: Path, answer: str | None = None) -> Path:
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(0)
    tokenizer = tiny_llm.make_tokenizer(answer or "")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=56, patch_size=14),
        text_config=tiny_llm._language_config(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tiny_llm.TEMPLATE,
    ).save_pretrained(folder)
    return _settled(LlavaForConditionalGeneration(config), tokenizer, answer, folder)


def make_llava_onevision(folder: Path, answer: str | None = None) -> Path:
    import torch
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        SiglipVisionConfig,
    )

    torch.manual_seed(0)
    tokenizer = tiny_llm.make_tokenizer(answer or "")
    tokenizer.add_tokens([VIDEO_TOKEN], special_tokens=True)
    grid = [[56, 56], [56, 112], [112, 56]]
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=56, patch_size=14, vision_use_head=False),
        text_config=tiny_llm._language_config(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids(VIDEO_TOKEN),
        image_grid_pinpoints=grid,
    )
    pictures = LlavaOnevisionImageProcessor(size={"height": 56, "width": 56}, image_grid_pinpoints=grid)
    _published(folder, tokenizer, tiny_llm.TEMPLATE, image_processor=pictures)
    (folder / "processor_config.json").write_text(
        json.dumps({"num_image_tokens": 16, "vision_feature_select_strategy": "full"}), "utf-8"
    )
    return _settled(LlavaOnevisionForConditionalGeneration(config), tokenizer, answer, folder)


def make_qwen2_5_vl(folder: Path, answer: str | None = None) -> Path:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

    torch.manual_seed(0)
    tokenizer = _named(QWEN_VL | {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}, answer)
    text = tiny_llm._language_config(tokenizer).to_dict() | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    }
    text.pop("model_type")
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56,
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )  # fmt: skip
    pictures = Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    template = PARTS.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    _published(folder, tokenizer, template, image_processor=pictures)
    return _settled(Qwen2_5_VLForConditionalGeneration(config), tokenizer, answer, folder)


def make_qwen2_5_omni(folder: Path, answer: str | None = None) -> Path:
    """The thinker alone, as the published checkpoint holds it: under ``thinker.`` in a config with more parts."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import (
        Qwen2_5OmniThinkerConfig,
        Qwen2_5OmniThinkerForConditionalGeneration,
        Qwen2VLImageProcessor,
        WhisperFeatureExtractor,
    )

    torch.manual_seed(0)
    tokenizer = _named(OMNI, answer)
    text = tiny_llm._language_config(tokenizer).to_dict() | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    }
    text.pop("model_type")
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "num_mel_bins": 32, "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64, "output_dim": 64, "n_window": 20,
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
            "patch_size": 14, "fullatt_block_indexes": [1], "window_size": 56,
        },
        text_config=text,
        image_token_index=ids("<|IMAGE|>"),
        audio_token_index=ids("<|AUDIO|>"),
        video_token_index=ids("<|VIDEO|>"),
        audio_start_token_id=ids("<|audio_bos|>"),
        audio_end_token_id=ids("<|audio_eos|>"),
        vision_start_token_id=ids("<|vision_bos|>"),
    )  # fmt: skip
    template = PARTS.replace("IMAGE", "<|vision_bos|><|IMAGE|><|vision_eos|>")
    template = template.replace("SOUND", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    pictures = Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56})
    hearing = WhisperFeatureExtractor(feature_size=32)
    _published(folder, tokenizer, template, image_processor=pictures, feature_extractor=hearing)
    _settled(Qwen2_5OmniThinkerForConditionalGeneration(config), tokenizer, answer, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({f"thinker.{name}": weight for name, weight in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    thinker = json.loads((folder / "config.json").read_text("utf-8"))
    whole = {"model_type": "qwen2_5_omni", "architectures": ["Qwen2_5OmniModel"], "thinker_config": thinker}
    (folder / "config.json").write_text(json.dumps(whole), "utf-8")
    return folder


def picture(color: tuple[int, int, int] = (200, 40, 40), size: tuple[int, int] = (96, 64)) -> bytes:
    """A JPEG with a bright block that makes left and right differ."""
    from PIL import Image

    image = Image.new("RGB", size, color)
    image.paste((250, 250, 250), (0, 0, size[0] // 3, size[1]))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def tone(hertz: float, seconds: float = 1.0, rate: int = 16000) -> bytes:
    """A WAV file with one sine tone."""
    import numpy as np

    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue()


def image_part(jpeg: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()}}


def audio_part(wav: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}
