"""Frozen encoders by kind: what they hear and see, several clips at once, and weights in the published layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    HubertConfig,
    HubertForCTC,
    SiglipConfig,
    SiglipModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)
from transformers.audio_utils import spectrogram

from training.affectgpt.inputs import _kaldi_tools, audio_inputs, log_mel, segment_spans, whisper_mel
from training.affectgpt.llm import random_llm
from training.affectgpt.model import AffectGPT, build_model
from training.affectgpt.slots import feature_shapes
from training.config import Config, load_config
from training.errors import UsageError
from training.weights import check_weights

RATE = 16000
SIZES = {"hidden_size": 32, "layers": 3, "heads": 4, "intermediate_size": 48}
TINY = [f"model.{part}.{key}={value}" for part in ("vision", "audio") for key, value in SIZES.items()]
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 99,
        "projection_dim": 24}  # fmt: skip
VISION = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
          "image_size": 56, "patch_size": 14}  # fmt: skip


def build(*more: str) -> tuple[Config, AffectGPT]:
    config = load_config("tiny", [*TINY, "model.vision.projection=24", *more])
    return config, build_model(config, random_llm(config.model.llm, 300))


def speech(seconds: float, seed: int = 0, loud: float = 0.05) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (noise * loud).astype(np.float32)


def heard(config: Config, wave: np.ndarray, count: int = 4) -> dict[str, torch.Tensor]:
    arrays = audio_inputs(wave, len(wave) / RATE, count, config)
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


# --- inputs ---------------------------------------------------------------------------------------------------------


def test_log_mel_is_kaldi_s_as_transformers_computes_it() -> None:
    waves = np.stack([speech(2), np.zeros(32000, np.float32), speech(2, 1, 0.001)])
    filters, window = _kaldi_tools(RATE, 128)
    for ours, wave in zip(log_mel(waves, RATE, 128, 204), waves, strict=True):
        theirs = spectrogram(
            wave, window, frame_length=400, hop_length=160, fft_length=512, power=2.0, center=False, preemphasis=0.97,
            mel_filters=filters, log_mel="log", mel_floor=1.192092955078125e-07, remove_dc_offset=True,
        ).T  # fmt: skip
        np.testing.assert_allclose(ours[:198], theirs, atol=1e-4)
        assert not ours[198:].any()


@pytest.mark.parametrize("bins", [80, 128])
def test_whisper_s_mel_is_its_feature_extractor_s(bins: int) -> None:
    wave = speech(7.3)
    theirs = WhisperFeatureExtractor(feature_size=bins)(wave, sampling_rate=RATE, return_tensors="np").input_features
    np.testing.assert_allclose(whisper_mel(wave, 1, RATE, bins), theirs, atol=1e-4)


def test_hubert_s_waves_are_normalised_over_the_utterance_not_over_the_windows() -> None:
    config = load_config("tiny", ["model.audio.kind=hubert"])
    quiet_then_loud = np.concatenate([speech(4, loud=0.001), speech(4, 1, loud=0.2)]) + 0.3
    inputs = audio_inputs(quiet_then_loud, 8.0, 4, config)
    assert inputs["waves"].shape == (4, 32000)
    assert inputs["segment"].tolist() == [0, 1, 2, 3]
    assert inputs["waves"].mean() == pytest.approx(0, abs=1e-3)
    assert inputs["waves"].std() == pytest.approx(1, abs=1e-3)
    assert inputs["waves"][0].std() < 0.1 < 1 < inputs["waves"][3].std()
    silent = audio_inputs(np.zeros(8000, np.float32), 0.5, 4, config)
    assert not silent["waves"].any()


@pytest.mark.parametrize(("seconds", "count"), [(0.005, 8), (3.0, 8), (30.0, 7), (65.0, 3), (200.0, 9)])
def test_whisper_s_spans_cover_the_utterance_to_its_end(seconds: float, count: int) -> None:
    chunks = max(1, -(-int(seconds) // 30))
    spans = segment_spans(seconds, count, chunks)
    assert spans.shape == (count, 2)
    assert (spans[:, 1] > spans[:, 0]).all()
    assert spans[0, 0] == 0
    assert spans[-1, 1] >= min(chunks * 1500, seconds * 50)
    assert (spans[1:, 0] <= spans[:-1, 1]).all()


# --- every kind -----------------------------------------------------------------------------------------------------

AUDIO = {"imagebind": 1024, "ast": 1024, "hubert": 32, "whisper": 32}


@pytest.mark.parametrize("kind", AUDIO)
def test_several_clips_at_once_are_heard_as_each_alone(kind: str) -> None:
    config, model = build(f"model.audio.kind={kind}", "model.audio.embedding=1024", "model.audio.last_layers=2")
    clips = [heard(config, speech(3)), heard(config, speech(11.0, 1), 3), heard(config, speech(0.4, 2), 6)]
    counts = [4, 3, 6]
    together = model.train().encode_many("audio", clips, counts)
    for features, inputs, count in zip(together, clips, counts, strict=True):
        alone = model.eval().encode("audio", inputs, count)
        assert alone.shape == (count, *feature_shapes(config.model)["audio"])
        assert alone.shape[-1] == AUDIO[kind]
        assert (alone.dtype, alone.device.type) == (torch.float32, "cpu")
        torch.testing.assert_close(features, alone, rtol=0, atol=1e-5)
        assert float(alone.std(0).mean()) > 0  # segments differ


@pytest.mark.parametrize(
    ("kind", "tokens", "width"),
    [("blip2", 32, 64), ("clip", 1, 24), ("clip", 4, 32), ("clip", 16, 32), ("siglip", 1, 32), ("siglip", 9, 32)],
)
def test_several_clips_at_once_are_seen_as_each_alone(kind: str, tokens: int, width: int) -> None:
    config, model = build(f"model.vision.kind={kind}", f"model.vision.tokens={1 if kind == 'blip2' else tokens}")
    torch.manual_seed(0)
    clips = [{"frames": torch.randint(0, 256, (count, 56, 56, 3), dtype=torch.uint8)} for count in (3, 1, 70)]
    together = model.encode_many("video", clips, 8)
    assert [tuple(features.shape) for features in together] == [(count, tokens, width) for count in (3, 1, 70)]
    assert feature_shapes(config.model)["face"] == (tokens, width)
    for features, inputs in zip(together, clips, strict=True):
        torch.testing.assert_close(features, model.encode("face", inputs, 8), rtol=0, atol=1e-5)


def test_spec_augment_and_dropout_of_a_frozen_hubert_stay_off() -> None:
    config, model = build("model.audio.kind=hubert", "model.audio.last_layers=2")
    settings = model.audio.encoder.config
    assert settings.apply_spec_augment
    assert settings.mask_time_prob > 0
    assert settings.hidden_dropout > 0
    inputs = heard(config, speech(6))
    still = [model.train().encode("audio", inputs, 4) for _ in range(2)]
    assert torch.equal(*still)
    # The same module by itself, in training mode, would change its features every time.
    model.audio.train()
    with torch.no_grad():
        moving = [model.audio(inputs, 4) for _ in range(2)]
    assert not torch.equal(*moving)


def test_a_long_utterance_is_heard_to_its_end_by_whisper() -> None:
    config, model = build("model.audio.kind=whisper", "model.audio.last_layers=1")
    wave = speech(41)
    inputs = heard(config, wave, 5)
    assert inputs["mel"].shape == (2, 128, 3000)
    before = model.encode("audio", inputs, 5)
    wave[-RATE:] = 0
    after = model.encode("audio", heard(config, wave, 5), 5)
    assert float((after[4] - before[4]).abs().max()) > 1e-3
    # The first 30 s are a piece of their own: what is said later does not reach them.
    assert torch.equal(after[:3], before[:3])


def test_half_precision_encoders_give_the_features_of_whole_ones_nearly() -> None:
    for kind in AUDIO:
        options = (f"model.audio.kind={kind}", "model.audio.last_layers=2")
        config, whole = build(*options)
        _, half = build(*options, "model.audio.dtype=bfloat16")
        inputs = heard(config, speech(3))
        ours, theirs = half.encode("audio", inputs, 4), whole.encode("audio", inputs, 4)
        assert float((ours - theirs).norm() / theirs.norm()) < 0.05, kind


def test_autocast_around_an_encoder_changes_nothing() -> None:
    config, model = build("model.vision.kind=clip")
    inputs = {"frames": torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8)}
    plain = model.encode("video", inputs, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.encode("video", inputs, 2), plain)


# --- pretrained folders and hub ids ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Whole models as they are published: two towers, a CTC head, a decoder beside what is used."""
    root = tmp_path_factory.mktemp("towers")
    torch.manual_seed(0)
    made: dict[str, Any] = {
        "clip": CLIPModel(CLIPConfig(text_config=TEXT, vision_config={**VISION, "projection_dim": 24},
                                     projection_dim=24)),
        "siglip": SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)),
        "hubert": HubertForCTC(HubertConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=48, vocab_size=20,
            conv_dim=(16,) * 7, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True,
            num_conv_pos_embedding_groups=4)),
        "whisper": WhisperModel(WhisperConfig(
            d_model=32, encoder_layers=3, encoder_attention_heads=4, encoder_ffn_dim=48, num_mel_bins=80,
            decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, vocab_size=99, pad_token_id=0,
            bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)),
    }  # fmt: skip
    for name, model in made.items():
        model.save_pretrained(root / name)
    (root / "siglip" / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}')
    return {name: root / name for name in made}


def loaded(*options: str) -> tuple[Config, AffectGPT]:
    """A model with the sizes of its folders, and their weights."""
    config = load_config("tiny", ["model.random_weights=true", *options])
    check_weights(config)
    model = build_model(config, random_llm(config.model.llm, 300))
    for part, encoder in (("vision", model.visual), ("audio", model.audio)):
        if getattr(config.model, part).pretrained:
            encoder.load(config.model)
    return config, model.eval()


def test_clip_s_token_is_its_image_embedding_and_its_sizes_are_the_folder_s(folders: dict[str, Path]) -> None:
    config, model = loaded("model.vision.kind=clip", f"model.vision.pretrained={folders['clip']}")
    vision = config.model.vision
    assert (vision.hidden_size, vision.layers, vision.image_size, vision.projection) == (32, 3, 56, 24)
    frames = torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8)
    whole = CLIPModel.from_pretrained(folders["clip"]).eval()
    pixels = model.visual.pixels(frames)
    with torch.no_grad():
        theirs = whole.get_image_features(pixel_values=pixels)
    theirs = theirs if isinstance(theirs, torch.Tensor) else theirs.pooler_output
    torch.testing.assert_close(model.encode("video", {"frames": frames}, 2)[:, 0], theirs, rtol=0, atol=1e-5)


def test_siglip_s_token_is_its_pooled_output_by_the_folder_s_normalisation(folders: dict[str, Path]) -> None:
    _, model = loaded("model.vision.kind=siglip", f"model.vision.pretrained={folders['siglip']}")
    frames = torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8)
    pixels = (frames / 255 - torch.tensor([0.1, 0.2, 0.3])).permute(0, 3, 1, 2)
    whole = SiglipModel.from_pretrained(folders["siglip"]).eval()
    with torch.no_grad():
        theirs = whole.vision_model(pixel_values=pixels).pooler_output
    torch.testing.assert_close(model.encode("video", {"frames": frames}, 2)[:, 0], theirs, rtol=0, atol=1e-5)


def test_a_grid_of_tokens_is_the_mean_of_its_patches(folders: dict[str, Path]) -> None:
    options = ["model.vision.kind=clip", f"model.vision.pretrained={folders['clip']}", "model.vision.tokens=4"]
    _, model = loaded(*options)
    frames = torch.randint(0, 256, (1, 56, 56, 3), dtype=torch.uint8)
    with torch.no_grad():
        patches = model.visual.encoder(pixel_values=model.visual.pixels(frames)).last_hidden_state[:, 1:]
    quarters = patches.view(1, 2, 2, 2, 2, 32).permute(0, 1, 3, 2, 4, 5).reshape(4, 4, 32).mean(1)
    torch.testing.assert_close(model.encode("video", {"frames": frames}, 1)[0], quarters, rtol=0, atol=1e-5)


def test_hubert_is_the_mean_of_its_last_four_hidden_states_over_time(folders: dict[str, Path]) -> None:
    config, model = loaded("model.audio.kind=hubert", f"model.audio.pretrained={folders['hubert']}")
    assert (config.model.audio.layers, feature_shapes(config.model)["audio"]) == (4, (32,))
    inputs = heard(config, speech(8))
    whole = HubertForCTC.from_pretrained(folders["hubert"]).eval().hubert
    layers: list[torch.Tensor] = []
    for layer in whole.encoder.layers:
        layer.register_forward_hook(lambda _, __, out: layers.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        last = whole(inputs["waves"]).last_hidden_state  # the last layer's, normalised
    theirs = torch.stack([*layers[:3], last]).mean(0).mean(1)
    torch.testing.assert_close(model.encode("audio", inputs, 4), theirs, rtol=0, atol=1e-5)


def test_whisper_is_the_mean_of_its_hidden_states_over_each_segment(folders: dict[str, Path]) -> None:
    options = ["model.audio.kind=whisper", f"model.audio.pretrained={folders['whisper']}", "model.audio.last_layers=1"]
    config, model = loaded(*options)
    assert config.model.audio.mel_bins == 80
    wave = speech(8)
    features = WhisperFeatureExtractor(feature_size=80)(wave, sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        states = WhisperModel.from_pretrained(folders["whisper"]).eval().encoder(features).last_hidden_state[0]
    theirs = torch.stack([states[start : start + 100].mean(0) for start in (0, 100, 200, 300)])
    torch.testing.assert_close(model.encode("audio", heard(config, wave), 4), theirs, rtol=0, atol=1e-4)


def test_pickled_weights_are_read_with_weights_only(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = HubertForCTC.from_pretrained(folders["hubert"])
    (tmp_path / "config.json").write_text((folders["hubert"] / "config.json").read_text())
    # Weight norm under its names of before torch 2.1, as the published chinese-hubert-large has it.
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for key, value in whole.state_dict().items():
        head, _, tail = key.partition("pos_conv_embed.conv.")
        state[f"{head}pos_conv_embed.conv.{old.get(tail, tail)}" if tail else key] = value
    assert "hubert.encoder.pos_conv_embed.conv.weight_g" in state
    torch.save(state, tmp_path / "pytorch_model.bin")
    config, model = loaded("model.audio.kind=hubert", f"model.audio.pretrained={tmp_path}")
    _, other = loaded("model.audio.kind=hubert", f"model.audio.pretrained={folders['hubert']}")
    inputs = heard(config, speech(3))
    assert torch.equal(model.encode("audio", inputs, 4), other.encode("audio", inputs, 4))


def test_a_folder_of_another_kind_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    for kind, folder, words in (
        ("imagebind", folders["hubert"], "model.audio.kind=ast"),
        ("hubert", folders["clip"], "does not take a raw wave"),
        ("whisper", folders["hubert"], "model.audio.pretrained"),
        ("hubert", tmp_path, "model.audio.pretrained"),
    ):
        with pytest.raises(UsageError, match=words):
            loaded(f"model.audio.kind={kind}", f"model.audio.pretrained={folder}")


def test_an_id_of_the_hub_is_found_in_its_cache(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--someone--clip"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("a" * 40)
    (kept / "snapshots").mkdir()
    (kept / "snapshots" / ("a" * 40)).symlink_to(folders["clip"])
    config, model = loaded("model.vision.kind=clip", "model.vision.pretrained=someone/clip")
    assert config.model.vision.pretrained == "someone/clip"
    _, other = loaded("model.vision.kind=clip", f"model.vision.pretrained={folders['clip']}")
    frames = {"frames": torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8)}
    assert torch.equal(model.encode("video", frames, 2), other.encode("video", frames, 2))
    words = r"vision.pretrained: no folder someone/else here, and .*HF_HUB_OFFLINE is set"
    with pytest.raises(UsageError, match=words):
        loaded("model.vision.kind=clip", "model.vision.pretrained=someone/else")
