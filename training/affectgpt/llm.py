"""The frozen language model and its tokenizer.

With ``model.llm.pretrained`` both come from that folder. Without it the tokenizer is a byte-level BPE trained
on the spot (every byte has a token, so any text, Chinese included, comes back as it was) and the model is a
Llama of the config's size with random weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..config import LlmConfig
from ..errors import UsageError

PAD, BOS, EOS = "<pad>", "<s>", "</s>"


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
    """A tokenizer from a local folder.

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
        raise UsageError(f"tokenizer: {folder} has no BOS token, and the prompt starts with one")
    return tokenizer


def random_llm(config: LlmConfig, vocab_size: int) -> LlamaForCausalLM:
    """A Llama of the config's size; weights from torch's current generator."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_positions,
            initializer_range=config.init_std,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            tie_word_embeddings=False,
        )
    )


def pretrained_llm(config: LlmConfig) -> Any:
    """The causal LM in ``config.pretrained`` (safetensors only, no remote code).

    Raises:
        UsageError: the folder is missing or holds no such model.
    """
    folder = Path(str(config.pretrained))
    if not folder.is_dir():
        raise UsageError(f"model.llm.pretrained: no folder {folder}")
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=getattr(torch, config.dtype), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"model.llm.pretrained: {folder}: {str(error).splitlines()[0]}") from error
