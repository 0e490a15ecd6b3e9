"""Where weights come from, what tells them apart, and what a config takes over from them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from training.affectgpt import pretrained
from training.affectgpt.llm import load_tokenizer, meta_llm, random_llm, train_tokenizer
from training.affectgpt.pretrained import content_hash, file_hash, locate, weight_files
from training.config import Config, load_config
from training.errors import UsageError
from training.prompt import build_prompt
from training.weights import assemble, check_weights, identities, make_tokenizer, meta_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 of 2 layers whose tokenizer, as Qwen's, has no BOS, in shards."""
    folder = tmp_path_factory.mktemp("models") / "qwen"
    trained = train_tokenizer(["The person is 高兴."], 400)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained.backend_tokenizer, eos_token="</s>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    torch.manual_seed(0)
    sizes = Qwen2Config(vocab_size=len(tokenizer), hidden_size=48, num_hidden_layers=2, num_attention_heads=6,
                        num_key_value_heads=2, intermediate_size=64, max_position_embeddings=512)  # fmt: skip
    Qwen2ForCausalLM(sizes).save_pretrained(folder, max_shard_size="40KB")
    tokenizer.save_pretrained(folder)
    return folder


def with_llm(folder: Path | str, *more: str) -> Config:
    return load_config("tiny", [f"model.llm.pretrained={folder}", *more])


def test_a_config_takes_the_language_model_s_sizes_over(qwen: Path) -> None:
    config = with_llm(qwen)
    check_weights(config)
    llm = config.model.llm
    assert (llm.kind, llm.hidden_size, llm.layers, llm.heads, llm.kv_heads) == ("qwen2", 48, 2, 6, 2)
    assert (llm.intermediate_size, llm.max_positions) == (64, 512)
    # Written into the config: a run that is stored and read again has them.
    again = Config(**{**vars(config)})
    check_weights(again)
    assert again.model.llm == llm
    # inspect takes them from a folder that is here, and asks no hub.
    assert meta_model(with_llm(qwen)).llama_proj.weight.shape == (48, 64)
    assert meta_model(with_llm("someone/model")).llama_proj.weight.shape == (128, 64)
    assert type(meta_llm(config.model)).__name__ == "Qwen2ForCausalLM"


def test_qwen_s_prompt_begins_with_its_turn_sign(qwen: Path, tmp_path: Path) -> None:
    config = with_llm(qwen)
    tokenizer = make_tokenizer(config, [])
    first = build_prompt(config, tokenizer, "", set()).ids[0]
    assert tokenizer.convert_ids_to_tokens(first) == "<|im_start|>"
    # Kept with a checkpoint and read again, it is the same.
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).bos_token_id == first


def test_a_tokenizer_without_any_sign_to_begin_with_is_refused(tmp_path: Path) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(["x"], 300).backend_tokenizer)
    bare.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="no BOS"):
        load_tokenizer(tmp_path)


def test_a_pretrained_model_answers_as_the_library_s_own_does(qwen: Path) -> None:
    config = with_llm(qwen)
    model = assemble(config, make_tokenizer(config, []))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        theirs = Qwen2ForCausalLM.from_pretrained(qwen).eval()(ids).logits
        assert torch.equal(model.llm(ids).logits, theirs)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_random_language_models_of_each_kind_have_the_config_s_sizes(kind: str) -> None:
    config = load_config("tiny", [f"model.llm.kind={kind}", "model.llm.kv_heads=2", "model.llm.dtype=bfloat16"])
    llm = random_llm(config.model.llm, 300)
    assert llm.config.model_type == kind
    assert llm.model.layers[0].self_attn.k_proj.weight.shape == (64, 128)
    assert {value.dtype for value in llm.parameters()} == {torch.bfloat16}
    assert llm(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


# --- identities -----------------------------------------------------------------------------------------------------


def test_the_identity_of_weights_is_their_content_wherever_they_lie(qwen: Path, tmp_path: Path, cache: Path) -> None:
    config = with_llm(qwen)
    model = assemble(config, make_tokenizer(config, []))
    here = identities(config, model)
    assert here["llm"].startswith("files:")
    assert here["visual"].startswith("weights:")
    shutil.copytree(qwen, tmp_path / "copy")
    assert identities(with_llm(tmp_path / "copy"), model) == here
    # One bit of one tensor: another model, whatever the size of its files.
    file = weight_files(tmp_path / "copy")[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert identities(with_llm(tmp_path / "copy"), model)["llm"] != here["llm"]
    # Words beside the weights do not matter, what decides the features does.
    assert identities(with_llm(qwen, "model.audio.scale=10"), model)["audio"] != here["audio"]


def test_a_file_is_hashed_once_per_version(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    first = file_hash(file)
    kept = json.loads((cache / "weights.json").read_text())
    assert list(kept.values()) == [first]
    # The remembered hash is what is given while path, size and time are the same.
    (cache / "weights.json").write_text(json.dumps(dict.fromkeys(kept, "remembered")))
    assert file_hash(file) == "remembered"
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert file_hash(file) not in (first, "remembered")
    (cache / "weights.json").write_text("not json")
    assert file_hash(file) == content_hash_of(b"two")


def content_hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_of_a_sharded_model_only_the_files_that_are_used_count(tmp_path: Path, cache: Path) -> None:
    for name in ("vision", "text"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    index = {"weight_map": {"vision_model.a": "vision.safetensors", "language_model.b": "text.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [file.name for file in weight_files(tmp_path, ("vision_model.",))] == ["vision.safetensors"]
    before = content_hash(tmp_path, ("vision_model.",))
    (tmp_path / "text.safetensors").write_bytes(b"another language model")
    assert content_hash(tmp_path, ("vision_model.",)) == before
    assert content_hash(tmp_path) != before
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UsageError, match="damaged"):
        weight_files(tmp_path)


# --- what is not there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("/nowhere/model", "model.llm.pretrained: no folder /nowhere/model"),
        ("./model", "no folder ./model"),
        (
            "someone/model",
            r"no folder someone/model here, and the model hub gives no such model: HF_HUB_OFFLINE is set",
        ),
        ("a/b/c", "no folder a/b/c"),
    ],
)
def test_weights_that_are_not_there_are_named(value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=words):
        check_weights(with_llm(value))


def test_a_hub_that_cannot_be_reached_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[Any] = []

    def unreachable(name: str, **options: Any) -> str:
        asked.append((name, options["revision"], options["local_files_only"]))
        raise ConnectionError("no route to host")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(UsageError, match="gives no such model: no route to host"):
        check_weights(with_llm("someone/model", "model.llm.revision=v2"))
    assert asked == [("someone/model", "v2", False)]


def test_of_the_hub_only_what_is_used_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    patterns: list[str] = []
    index = {"weight_map": {"vision_model.a": "model-1.safetensors", "qformer.b": "model-2.safetensors",
                            "language_model.c": "model-3.safetensors"}}  # fmt: skip

    def fetch(name: str, **options: Any) -> str:
        patterns.extend(options["allow_patterns"])
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        for file in options["allow_patterns"]:
            if file.startswith("model-"):
                (tmp_path / file).write_bytes(b"")
        return str(tmp_path)

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    config = load_config("tiny", ["model.vision.pretrained=a/blip2", "model.image_qformer.pretrained=a/blip2"])
    assert locate(config.model, "vision") == tmp_path
    assert {name for name in patterns if name.startswith("model-")} == {"model-1.safetensors"}
    locate(config.model, "image_qformer")
    assert {name for name in patterns if name.startswith("model-")} == {"model-1.safetensors", "model-2.safetensors"}


def test_a_folder_of_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model.llm.pretrained"):
        check_weights(with_llm(tmp_path))
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match="neither a folder nor one of .pth, .pt"):
        check_weights(with_llm(tmp_path / "weights.bin"))
    with pytest.raises(UsageError, match="holds no weights"):
        content_hash(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"model.original: no file"):
        check_weights(load_config("tiny", ["model.original=/nowhere.pth"]))


def test_offline_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("1", True), ("true", True), ("ON", True), ("0", False), ("", False)):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert pretrained.offline() is expected
