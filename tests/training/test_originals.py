"""Published checkpoints under our names: every key accounted for, and outputs equal to the definitions written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import definitions, published
from training.affectgpt import keys
from training.affectgpt.batch import Placed
from training.affectgpt.imagebind import ImageBindAudio, load_imagebind
from training.affectgpt.llm import random_llm, train_tokenizer
from training.affectgpt.model import AffectGPT, build_model
from training.affectgpt.vision import Blip2Encoder, visual_encoder
from training.config import Config, load_config
from training.errors import UsageError
from training.generate import load_trained
from training.originals import convert, overlay
from training.weights import assemble, identities, meta_model

CLOSE = {"rtol": 0.0, "atol": 1e-5}


def save(path: Path, state: dict[str, Any], **more: Any) -> Path:
    torch.save({"model": state, **more}, path)
    return path


def close(ours: torch.Tensor, definition: torch.Tensor) -> None:
    torch.testing.assert_close(ours.double(), definition, **CLOSE)


# --- outputs equal the definitions, with the original geometry of a block -------------------------------------------


def test_a_vit_block_with_its_biases_and_the_image_q_former_are_the_definition(tmp_path: Path) -> None:
    # EVA-CLIP-g's width, heads and MLP; one block and four patches instead of 39 and 256. Two Q-Former layers: one with
    # cross-attention, one without.
    config = load_config("affectgpt-2024-stage2", [
        "model.vision.layers=1", "model.vision.image_size=28", "model.vision.dtype=float32",
        "model.image_qformer.layers=2",
        f"model.vision.pretrained={tmp_path / 'eva_vit_g.pth'}",
        f"model.image_qformer.pretrained={tmp_path / 'blip2.pth'}",
    ]).model  # fmt: skip
    vit = published.make(published.eva(1408, 2, 6144, 28), seed=1)
    shapes = published.qformer("Qformer.bert.", 768, 2, 3072, 1408, 2)
    shapes |= {"query_tokens": (1, 32, 768), "ln_vision.weight": (1408,), "ln_vision.bias": (1408,),
               "t5_proj.weight": (8, 768), "Qformer.cls.predictions.bias": (30523,)}  # fmt: skip
    lavis = published.make(shapes, seed=2)
    torch.save(vit, tmp_path / "eva_vit_g.pth")  # no "model" around it
    save(tmp_path / "blip2.pth", lavis)
    encoder = visual_encoder(config)
    assert isinstance(encoder, Blip2Encoder)
    encoder.load(config)
    encoder.eval()
    frames = torch.randint(0, 256, (2, 28, 28, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((frames / 255 - mean) / std).permute(0, 3, 1, 2)
    raw = definitions.eva(pixels, vit, layers=1, heads=16, patch=14)
    patches = definitions.norm(raw, lavis, "ln_vision", 1e-5)
    queries = lavis["query_tokens"].expand(2, -1, -1)
    with torch.no_grad():
        close(encoder.vision_model(pixel_values=pixels).last_hidden_state, patches)
        close(encoder(frames), definitions.qformer(queries, patches, lavis, "Qformer.bert.", 2, 12, 2))


def test_imagebind_with_its_learned_key_and_value_is_the_definition(tmp_path: Path) -> None:
    config = load_config("affectgpt-2024-stage2", ["model.audio.layers=1"]).model.audio
    state = published.make(published.imagebind(layers=1), seed=3)
    torch.save(state, tmp_path / "imagebind_huge.pth")
    encoder = ImageBindAudio(config).eval()
    report = load_imagebind(str(tmp_path / "imagebind_huge.pth"), encoder)
    assert (report.missing, report.unexpected) == ([], [])
    assert sorted(report.ignored) == sorted(key for key in state if ".audio." not in key)
    mel = torch.randn(3, 204, 128)
    with torch.no_grad():
        ours = encoder(mel)
    close(ours, definitions.imagebind(mel, state, layers=1, heads=12))
    close(ours.norm(dim=-1), torch.full((3,), 20.0, dtype=torch.float64))
    # In training mode as well: nothing is dropped.
    with torch.no_grad():
        assert torch.equal(encoder.train()(mel), ours)


@pytest.fixture(scope="module")
def small() -> Config:
    return load_config("tiny")


def test_both_branches_of_2024_are_the_definition(tmp_path: Path) -> None:
    # Both Q-Formers in their real geometry; around them a small ViT and a small language model.
    config = load_config("affectgpt-2024-stage2", [
        "model.vision.layers=1", "model.vision.hidden_size=32", "model.vision.heads=2", "model.image_qformer.layers=1",
        "model.vision.intermediate_size=32", "model.audio.layers=1", "model.llm.hidden_size=64", "model.llm.layers=1",
        "model.llm.intermediate_size=64", "model.llm.heads=4", "model.llm.dtype=float32",
    ])  # fmt: skip
    state = published.make(published.affectgpt_2024(llm=64), seed=4)
    model = in_memory(config)
    report = overlay(save(tmp_path / "both.pth", state, epoch=3, config={"run": {"lr": 1e-5}}), model)
    assert (report.missing, report.unexpected) == ([], [])
    assert set(report.loaded) == set(model.trainable())
    model.eval()
    video, audio, rows = torch.randn(2, 8, 32, 768), torch.randn(2, 8, 1024), torch.arange(2)
    media = {"video": Placed(video, None, rows, rows), "audio": Placed(audio, None, rows, rows)}
    seen = video.double() + state["video_frame_position_embedding.weight"][:8, None].double()
    heard = audio.double() + state["audio_position_embedding.weight"].double()
    for modality, hidden, project in (
        ("video", seen.flatten(1, 2), "llama_proj"),
        ("audio", heard, "audio_llama_proj"),
    ):
        queries = state[f"{modality}_query_tokens"].expand(2, -1, -1)
        out = definitions.qformer(queries, hidden, state, f"{modality}_Qformer.bert.", 2, 12, 1)
        with torch.no_grad():
            close(model.tokens_of(modality, media), definitions.linear(out, state, project))


SMALL_2025 = [
    "model.random_weights=true", "model.vision.hidden_size=32", "model.vision.layers=1", "model.vision.heads=2",
    "model.vision.intermediate_size=32", "model.vision.projection=24", "model.audio.hidden_size=32",
    "model.audio.layers=4", "model.audio.heads=2", "model.audio.intermediate_size=32", "model.llm.hidden_size=64",
    "model.llm.layers=2", "model.llm.heads=4", "model.llm.kv_heads=2", "model.llm.intermediate_size=96",
    "model.llm.vocab_size=300", "model.vision.pretrained=null", "model.audio.pretrained=null",
    "model.llm.pretrained=null", "model.vision.dtype=float32", "model.llm.dtype=float32",
]  # fmt: skip
SIZES_2025 = {"layers": 2, "seen": 24, "heard": 32, "llm": 64, "keys": 32, "inner": 96}


def test_attention_pooling_and_pre_fusion_of_2025_are_the_definition(tmp_path: Path) -> None:
    state = published.make(published.affectgpt_2025(**SIZES_2025), seed=5)
    model = in_memory(load_config("affectgpt-2025-stage2", SMALL_2025)).eval()
    report = overlay(save(tmp_path / "g2.pth", state), model)
    assert (report.missing, report.unexpected, report.ignored) == ([], [], [])
    rows = torch.arange(2)
    face, audio = torch.randn(2, 5, 1, 24), torch.randn(2, 7, 32)
    media = {"face": Placed(face, None, rows, rows), "audio": Placed(audio, None, rows, rows),
             "multi": Placed(None, None, rows, rows)}  # fmt: skip
    sound, faces = audio.double(), face.double().squeeze(2)

    def pooled(hidden: torch.Tensor, score: str, project: str) -> torch.Tensor:
        scores = definitions.linear(hidden, state, score)  # (2, time, 1), no softmax
        return definitions.linear((hidden.transpose(1, 2) @ scores).squeeze(2), state, project)

    both = [
        definitions.linear(faces.mean(1), state, "multi_video_embs"),
        definitions.linear(sound.mean(1), state, "multi_audio_embs"),
    ]
    mixed = definitions.linear(torch.cat(both, 1), state, "attention_mlp")
    weights = definitions.linear(mixed, state, "fc_att")
    fused = (torch.stack(both, 2) @ weights.unsqueeze(2)).squeeze(2)
    with torch.no_grad():
        close(model.tokens_of("audio", media)[:, 0], pooled(sound, "audio_attention_mlp", "audio_llama_proj"))
        close(model.tokens_of("face", media)[:, 0], pooled(faces, "video_attention_mlp", "affectgpt_proj"))
        close(model.tokens_of("multi", media)[:, 0], definitions.linear(fused, state, "multi_llama_proj"))


def test_an_adapted_layer_is_its_weight_plus_the_scaled_product_of_its_two(tmp_path: Path) -> None:
    state = published.make(published.affectgpt_2025(**SIZES_2025), seed=6)
    model = in_memory(load_config("affectgpt-2025-stage2", SMALL_2025)).eval()
    overlay(save(tmp_path / "g2.pth", state), model)
    hidden = torch.randn(3, 64)
    layer = model.llm.model.layers[1].mlp.gate_proj
    name = "llama_model.base_model.model.model.layers.1.mlp.gate_proj"
    low, high = (state[f"{name}.lora_{one}.default.weight"].double() for one in "AB")
    merged = layer.base_layer.weight.double() + 32 / 16 * high @ low
    with torch.no_grad():
        close(layer(hidden), hidden.double() @ merged.T)


# --- every key of the full geometry, on the meta device -------------------------------------------------------------


def test_the_2024_checkpoint_s_keys_fill_what_trains_and_nothing_else() -> None:
    model = meta_model(load_config("affectgpt-2024-stage2"))
    shapes = published.affectgpt_2024()
    report = keys.fill(dict(model.named_parameters()), _renamed(shapes, 39), "test", needed=model.trainable())
    assert (report.missing, report.unexpected) == ([], [])
    assert set(report.loaded) == set(model.trainable())
    assert sum(model.get_parameter(name).numel() for name in report.loaded) == 44_959_744
    assert sorted(report.ignored) == [
        "audio_Qformer.bert.embeddings.position_ids", "llama_model.model.layers.0.self_attn.rotary_emb.inv_freq",
        "video_Qformer.bert.embeddings.position_ids",
    ]  # fmt: skip


def test_the_2025_checkpoint_s_keys_fill_what_trains_and_nothing_else() -> None:
    model = meta_model(load_config("affectgpt-2025-stage2"))
    report = keys.fill(
        dict(model.named_parameters()), _renamed(published.affectgpt_2025(), 24), "test", needed=model.trainable()
    )
    assert (report.missing, report.unexpected, report.ignored) == ([], [], [])
    assert sum(model.get_parameter(name).numel() for name in report.loaded) == 57_168_644
    # 28 layers of 7 adapted matrices, two tensors each.
    assert sum(".lora_" in name for name in report.loaded) == 28 * 7 * 2


def test_lavis_file_fills_vit_norm_q_former_and_queries_and_leaves_the_text_half() -> None:
    shapes = {f"visual_encoder.{name}": shape for name, shape in published.eva(1408, 40, 6144, 224).items()}
    shapes |= published.qformer("Qformer.bert.", 768, 12, 3072, 1408, 2)
    shapes |= {"query_tokens": (1, 32, 768), "ln_vision.weight": (1408,), "ln_vision.bias": (1408,), "temp": ()}
    with torch.device("meta"):
        encoder = visual_encoder(load_config("affectgpt-2024-stage2").model)
    report = keys.fill(dict(encoder.named_parameters()), keys.lavis(published.make(shapes, "meta"), 39), "test")
    assert (report.missing, report.unexpected) == ([], [])
    left = {key.split(".")[2 if key.startswith("visual") else 0] for key in report.ignored}
    assert {key for key in report.ignored if key.startswith("visual_encoder.blocks.39.")}
    assert not {key for key in report.ignored if "blocks.38." in key}
    assert "temp" in left
    text = [key for key in report.ignored if key.startswith("Qformer.bert.encoder.layer.11.")]
    assert all(".intermediate." in key or ".output.dense" in key or ".output.LayerNorm" in key for key in text)
    assert len(text) == 6


def test_imagebind_s_file_fills_the_audio_branch() -> None:
    with torch.device("meta"):
        encoder = ImageBindAudio(load_config("affectgpt-2024-stage2").model.audio)
    renamed = keys.imagebind(published.make(published.imagebind(), "meta"))
    report = keys.fill(dict(encoder.named_parameters()), renamed, "test")
    assert (report.missing, report.unexpected, len(report.ignored)) == ([], [], 4)


# --- convert, and files that are not what they should be ------------------------------------------------------------


def test_convert_writes_our_names_and_a_report_of_every_key(tmp_path: Path, command: Any) -> None:
    state = published.make(published.affectgpt_2024(64, 128, 64, 128), seed=7) | {"odd.weight": torch.ones(2)}
    file = save(tmp_path / "old.pth", state)
    code, said, _ = command("convert", file, "--config", "tiny", "--out", tmp_path / "new")
    assert code == 0
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert said["unexpected"] == 1
    assert report["unexpected"] == ["odd.weight"]
    assert report["missing"] == []
    assert len(report["loaded"]) + len(report["ignored"]) + 1 == len(state)
    # What was written is read again by model.original, as the .pth is.
    one, two = in_memory(load_config("tiny")), in_memory(load_config("tiny"))
    overlay(file, one)
    overlay(tmp_path / "new" / "trainable.safetensors", two)
    assert all(torch.equal(value, two.trainable()[name]) for name, value in one.trainable().items())
    assert command("convert", file, "--config", "tiny", "--out", tmp_path / "new")[0] == 2


def test_a_converted_checkpoint_answers_and_says_that_its_data_are_not_known(
    tmp_path: Path, command: Any, media: Path
) -> None:
    state = published.make(published.affectgpt_2024(64, 128, 64, 128), seed=9)
    file = save(tmp_path / "published.pth", state)
    assert command("convert", file, "--config", "tiny", "--out", tmp_path / "run", "--set",
                   "generate.max_new_tokens=4")[1]["run"]  # fmt: skip
    lineage = json.loads((tmp_path / "run/checkpoints/step-00000000/lineage.json").read_text())
    assert "not known" in lineage[0]["name"]
    trained = load_trained(tmp_path / "run")
    assert torch.equal(trained.model.llama_proj.weight, state["llama_proj.weight"])
    code, said, _ = command("generate", "--run", tmp_path / "run", "--clip", media / "clip_00.mp4")
    assert (code, said["checkpoint"], said["media"]) == (0, "step-00000000", {"video": True, "audio": True})


def test_one_branch_fills_one_branch_and_the_other_is_reported_missing(small: Config, tmp_path: Path) -> None:
    whole = published.make(published.affectgpt_2024(64, 128, 64, 128))
    video = {key: value for key, value in whole.items() if not key.startswith("audio")}
    model = in_memory(small)
    before = {name: value.clone() for name, value in model.trainable().items()}
    report = overlay(save(tmp_path / "video.pth", video), model)
    assert {name.split("_")[0] for name in report.missing} == {"audio"}
    for name, value in model.trainable().items():
        assert torch.equal(value, before[name]) == (name in report.missing)


def test_a_file_of_another_arrangement_or_size_is_refused(small: Config, tmp_path: Path) -> None:
    model = in_memory(small)
    other = save(tmp_path / "2025.pth", published.make({"fc_att.weight": (2, 4)}))
    with pytest.raises(UsageError, match="nothing that trains"):
        overlay(other, model)
    wide = save(tmp_path / "wide.pth", {"llama_proj.weight": torch.zeros(4096, 768)})
    with pytest.raises(UsageError, match=r"llama_proj.weight is \(4096, 768\), the config makes it \(128, 64\)"):
        overlay(wide, model)
    with pytest.raises(UsageError, match="no file"):
        overlay(tmp_path / "nowhere.pth", model)
    (tmp_path / "damaged.pth").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(UsageError, match="cannot be read"):
        overlay(tmp_path / "damaged.pth", model)


class Payload:
    """What a hostile file would run while it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("this must never be printed",)


def test_a_pickle_that_would_run_code_is_refused(small: Config, tmp_path: Path, capsys: Any) -> None:
    file = save(tmp_path / "hostile.pth", {"llama_proj.bias": torch.zeros(128)}, config=Payload())
    with pytest.raises(UsageError, match="weights_only"):
        overlay(file, in_memory(small))
    assert "never" not in capsys.readouterr().out


def test_a_run_begins_from_the_original_s_weights(tmp_path: Path) -> None:
    state = published.make(published.affectgpt_2024(64, 128, 64, 128), seed=8)
    file = save(tmp_path / "both.pth", state | {"query_tokens": torch.full((1, 32, 64), 0.5)})
    tokenizer = train_tokenizer(["happy"], 300)
    plain = assemble(load_config("tiny"), tokenizer)
    config = load_config("tiny", [f"model.original={file}"])
    model = assemble(config, tokenizer)
    assert torch.equal(model.llama_proj.bias, state["llama_proj.bias"])
    # The frozen queries came with it: these are other frozen weights, and their features are others.
    assert float(model.visual.query_tokens.mean()) == 0.5
    ours, theirs = identities(config, model), identities(load_config("tiny"), plain)
    assert ours["visual"] != theirs["visual"]
    assert (ours["audio"], ours["llm"]) == (theirs["audio"], theirs["llm"])


def _renamed(shapes: published.Shapes, layers: int) -> keys.Renamed:
    return keys.affectgpt(published.make(shapes, "meta"), layers)


def in_memory(config: Config) -> AffectGPT:
    """A small model of random weights in memory."""
    return build_model(config, random_llm(config.model.llm, 300))


def test_convert_as_a_function_names_what_it_did(tmp_path: Path) -> None:
    file = save(tmp_path / "old.pth", published.make(published.affectgpt_2025(**SIZES_2025)))
    said = convert(file, "affectgpt-2025-stage2", tmp_path / "new", SMALL_2025)
    assert (said["missing"], said["unexpected"], said["loaded"]) == (0, 0, 2 * 7 * 2 + 20)
