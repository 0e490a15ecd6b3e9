"""The frozen language model and its tokenizer.

With ``model.llm.pretrained`` both come from there. Without it the tokenizer is a byte-level BPE trained
on the spot (every byte has a token, so any text, Chinese included, comes back as it was) and the model is a
Llama, Qwen2 or Qwen3 of the config's size with random weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from ..config import LlmConfig, ModelConfig
from ..errors import UsageError
from .pretrained import load_model, locate, read_config

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
TURN = "<|im_start|>"  # Qwen has no BOS; AffectGPT 2025 begins with this
KINDS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most ``vocab_size`` tokens, the same for the same texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def load_tokenizer(folder: str | Path) -> Any:
    """A tokenizer from a local folder. Where it has no BOS, ``<|im_start|>`` or its end sign begins the prompt.

    Raises:
        UsageError: there is no usable tokenizer in the folder.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"tokenizer: no folder {folder}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # tokenizers raises bare Exceptions on a damaged file
        raise UsageError(f"tokenizer: {folder} cannot be read: {' '.join(str(error).split())[:300]}") from error
    if tokenizer.bos_token_id is None:
        first = next((token for token in (TURN, tokenizer.eos_token) if token in tokenizer.get_vocab()), None)
        if first is None:
            raise UsageError(f"tokenizer: {folder} has no BOS token, and the prompt starts with one")
        tokenizer.bos_token = first
    return tokenizer


def random_llm(config: LlmConfig, vocab_size: int) -> Any:
    """A causal LM of the config's kind, size and dtype; weights from torch's current generator."""
    own: dict[str, Any] = {"head_dim": config.hidden_size // config.heads} if config.kind == "qwen3" else {}
    sizes = KINDS[config.kind](
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads or config.heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_positions,
        initializer_range=config.init_std,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        **own,
    )
    return _from_sizes(sizes, config)


def meta_llm(config: ModelConfig) -> Any:
    """The shapes of the causal LM: those of ``llm.pretrained`` where it is a folder here, else the config's sizes."""
    folder = Path(str(config.llm.pretrained)).expanduser()
    if config.llm.pretrained and folder.is_dir():
        return _from_sizes(read_config(folder, "model.llm.pretrained"), config.llm)
    return random_llm(config.llm, config.llm.vocab_size)


def _from_sizes(sizes: Any, config: LlmConfig) -> Any:
    return AutoModelForCausalLM.from_config(
        sizes, dtype=getattr(torch, config.dtype), attn_implementation=config.attention
    )


def pretrained_llm(config: ModelConfig) -> Any:
    """The causal LM of ``llm.pretrained``, a folder or an id of the hub; no remote code.

    Raises:
        UsageError: it is not there, or holds no such model.
    """
    folder = locate(config, "llm")
    return load_model(
        AutoModelForCausalLM, folder, "model.llm.pretrained", config.llm.dtype, attention=config.llm.attention
    )
