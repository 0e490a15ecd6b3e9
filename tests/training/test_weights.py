"""Pretrained parts are loaded from local folders by the code that would load the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import ASTConfig, ASTForAudioClassification, ASTModel, Blip2Config, Blip2ForConditionalGeneration

from training.affectgpt.llm import random_llm, train_tokenizer
from training.config import Config, load_config
from training.errors import UsageError
from training.weights import assemble, check_weights, identities, make_tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small random weights in the published layouts: BLIP-2 (in shards), an AST classifier, a Llama."""
    root = tmp_path_factory.mktemp("weights")
    config = load_config("tiny", ["model.weights_seed=77"])
    tokenizer = train_tokenizer(["The person is 高兴."], 400)
    model = assemble(config, tokenizer)
    blip2, ast, llm = root / "blip2", root / "ast", root / "llm"
    blip2.mkdir()
    whole = Blip2ForConditionalGeneration(
        Blip2Config(
            vision_config=model.visual.vision_model.config.to_dict(),
            qformer_config=model.visual.qformer.config.to_dict(),
            text_config={"model_type": "opt", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                         "ffn_dim": 16, "vocab_size": 20, "word_embed_proj_dim": 16},
        )
    )  # fmt: skip
    whole.vision_model.load_state_dict(model.visual.vision_model.state_dict())
    whole.qformer.load_state_dict(model.visual.qformer.state_dict())
    whole.query_tokens.data.copy_(model.visual.query_tokens.data)
    whole.save_pretrained(blip2, max_shard_size="300KB")
    assert len(list(blip2.glob("*.safetensors"))) > 1
    # AudioSet's hears longer windows than ours.
    model = assemble(load_config("tiny", ["model.audio.kind=ast"]), tokenizer)
    longer = model.audio.encoder.config.to_dict() | {"max_length": 404, "num_labels": 3}
    torch.manual_seed(5)
    ASTForAudioClassification(ASTConfig(**longer)).save_pretrained(ast)
    torch.manual_seed(3)
    random_llm(config.model.llm, len(tokenizer)).save_pretrained(llm)
    tokenizer.save_pretrained(llm)
    return {"vision": blip2, "image_qformer": blip2, "audio": ast, "llm": llm}


def _config(folders: dict[str, Path], *more: str) -> Config:
    chosen = [f"model.{part}.pretrained={folder}" for part, folder in folders.items()]
    return load_config("tiny", ["model.random_weights=false", "model.audio.kind=ast", *chosen, *more])


def test_every_pretrained_tensor_arrives_where_it_belongs(folders: dict[str, Path]) -> None:
    config = _config(folders)
    tokenizer = make_tokenizer(config, [])
    model = assemble(config, tokenizer)
    original = assemble(load_config("tiny", ["model.weights_seed=77"]), tokenizer)
    ours, theirs = model.visual.state_dict(), original.visual.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    heard = ASTModel.from_pretrained(folders["audio"]).state_dict()
    for name, value in model.audio.encoder.state_dict().items():
        if name == "embeddings.position_embeddings":
            # 12 x 19 of 12 x 39 patches, the middle in time, behind the two leading tokens.
            grid = heard[name][0, 2:].view(12, 39, -1)[:, 10:29]
            assert torch.equal(value[0, 2:].view(12, 19, -1), grid)
            assert torch.equal(value[0, :2], heard[name][0, :2])
        else:
            assert torch.equal(value, heard[name])
    torch.manual_seed(3)
    expected = random_llm(config.model.llm, len(tokenizer)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.llm.state_dict().items())
    assert tokenizer.decode(tokenizer("你好", add_special_tokens=False)["input_ids"]) == "你好"
    found = identities(config, model)
    assert found["visual"].startswith("files:")
    assert found["llm"].startswith("files:")


def test_a_folder_that_lacks_a_tensor_or_has_another_shape_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    tokenizer: Any = make_tokenizer(_config(folders), [])
    empty = tmp_path / "empty"
    empty.mkdir()
    save_file({"other": torch.ones(1)}, empty / "model.safetensors")
    with pytest.raises(UsageError, match=r"model.vision.pretrained: .* lacks"):
        assemble(_config({**folders, "vision": empty}), tokenizer)
    with pytest.raises(UsageError, match="the config makes it"):
        assemble(_config(folders, "model.vision.image_size=28"), tokenizer)
    with pytest.raises(UsageError, match="model.audio.pretrained"):
        assemble(_config({**folders, "audio": empty}), tokenizer)
    with pytest.raises(UsageError, match=r"model.audio.pretrained: .* the config makes it"):
        assemble(_config(folders, "model.audio.hidden_size=32"), tokenizer)
    (empty / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UsageError, match="model.vision.pretrained"):
        assemble(_config({**folders, "vision": empty}), tokenizer)


def test_what_is_not_set_is_listed(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="not set: model.audio.pretrained, model.llm.pretrained"):
        check_weights(_config({part: folders[part] for part in ("vision", "image_qformer")}))


def test_a_folder_without_a_language_model_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tokenizer"):
        make_tokenizer(_config({**folders, "llm": tmp_path}), [])
