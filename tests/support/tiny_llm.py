"""A tiny chat model made on the spot, and ``transformers serve`` around it: a real server that nobody here wrote.

No weights can be downloaded where the tests run, so the model is a two-layer Qwen2 with a tokenizer trained on a few
sentences; its random weights are fitted for some seconds to say one given answer whatever it is asked
(without an answer they stay random, and the model babbles until it is cut off). ``make_vision_model`` and
``make_audio_model`` put the same language model behind a random CLIP encoder (LLaVA) and a random Whisper
encoder (Qwen2-Audio). All are saved as safetensors and loaded by the server through ``from_pretrained``, as
real ones are.

    with serving(make_chat_model(folder, "The person smiles."), cache) as base_url: ...
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models_ml import prompts
from tests.support.ports import free_port

SENTENCE = "The person smiles and speaks with a bright voice, which suggests happiness."
CORPUS = (
    "The person in the video smiles with raised cheeks and looks into the camera. The voice is bright and quick.",
    "Describe the facial expression, gaze, posture and gestures. Answer in English, in one paragraph.",
    "画面中的人物面带微笑，脸颊上扬，目光看向镜头。说话人声音明亮，语速较快，语调上扬。",
    "请描述与主要人物情绪状态有关的内容。请用中文回答，写成一段。高兴、愤怒、悲伤、惊讶、害怕、担心。",
    SENTENCE,
)
PIECES = 4
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
_PARTS = (
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% elif part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}" + _PARTS + "{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(extra: str = "") -> Any:
    """A byte-level BPE tokenizer trained on CORPUS and the answer (``extra``), with the ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([*CORPUS, extra], trainer)
    if extra:
        # In a few large pieces the answer is learned in seconds, however long it is.
        size = -(-len(extra) // PIECES)
        raw.add_tokens([extra[start : start + size] for start in range(0, len(extra), size)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        extra_special_tokens={"image_token": "<image>"},
    )


def _language_config(tokenizer: Any) -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=False,
    )


def _fit(model: Any, tokenizer: Any, answer: str, steps: int = 120) -> None:
    """Teach a causal LM to give ``answer`` after the assistant's header, whatever and however much stands before it.

    What stands before is noise one time, a piece of the project's own prompts the other.
    """
    import torch

    def ids_of(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    texts = [path.read_text("utf-8") for path in sorted(prompts.FOLDER.glob("*.md"))]
    prose = torch.tensor(ids_of("\n".join([*CORPUS, *texts])))
    tail = torch.tensor(ids_of("<|im_end|>\n<|im_start|>assistant\n" + answer + "<|im_end|>"))
    head = len(ids_of("<|im_end|>\n<|im_start|>assistant\n"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=5e-4)
    generator = torch.Generator().manual_seed(0)

    def some(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    model.train()
    for step in range(steps):
        length = some(4, 1200) if step % 4 == 3 else some(4, 120)
        rows = max(1, 480 // length)
        if step % 2:
            start = some(0, len(prose) - length)
            asked = prose[start : start + length].expand(rows, -1)
        else:
            asked = torch.randint(len(SPECIAL), len(tokenizer), (rows, length), generator=generator)
        ids = torch.cat([asked, tail.expand(rows, -1)], dim=1)
        labels = ids.clone()
        labels[:, : length + head] = -100
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def make_chat_model(folder: Path, answer: str | None = SENTENCE) -> Path:
    """A Qwen2 chat model that says ``answer``; None leaves its weights random."""
    import torch
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(0)
    tokenizer = make_tokenizer(answer or "")
    model = Qwen2ForCausalLM(_language_config(tokenizer))
    if answer is not None:
        _fit(model, tokenizer, answer)
    model.generation_config.do_sample = False
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def make_vision_model(folder: Path, answer: str = SENTENCE) -> Path:
    """A LLaVA: random CLIP encoder and projection in front of the fitted language model."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2ForCausalLM,
    )

    torch.manual_seed(0)
    tokenizer = make_tokenizer(answer)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    text = _language_config(tokenizer)
    model = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_id=image_id))
    _graft(model, Qwen2ForCausalLM(text), tokenizer, answer)
    model.save_pretrained(folder, safe_serialization=True)
    size = {"height": 56, "width": 56}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 56}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder


def make_audio_model(folder: Path, answer: str = SENTENCE) -> Path:
    """A Qwen2-Audio: random Whisper-like encoder in front of the fitted language model."""
    import torch
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioEncoderConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        Qwen2ForCausalLM,
        WhisperFeatureExtractor,
    )

    torch.manual_seed(0)
    tokenizer = make_tokenizer(answer)
    hearing = Qwen2AudioEncoderConfig(
        num_mel_bins=32, d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=64
    )
    audio_id = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    text = _language_config(tokenizer)
    model = Qwen2AudioForConditionalGeneration(
        Qwen2AudioConfig(audio_config=hearing, text_config=text, audio_token_id=audio_id)
    )
    _graft(model, Qwen2ForCausalLM(text), tokenizer, answer)
    model.save_pretrained(folder, safe_serialization=True)
    Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=32), tokenizer=tokenizer, chat_template=TEMPLATE
    ).save_pretrained(folder)
    return folder


def _graft(model: Any, language: Any, tokenizer: Any, answer: str) -> None:
    """Fit a language model and put its weights into the multimodal one (whose inner names differ by a prefix)."""
    _fit(language, tokenizer, answer)
    learned, state = language.state_dict(), model.state_dict()
    placed = 0
    for name in state:
        tail = name.split("language_model.", 1)[-1]
        for candidate in (tail, f"model.{tail}", tail.removeprefix("model.")):
            if candidate in learned and learned[candidate].shape == state[name].shape:
                state[name].copy_(learned[candidate])
                placed += 1
                break
    assert placed == len(learned), f"{placed} of {len(learned)} tensors found their place"
    model.generation_config.do_sample = False
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id


@contextlib.contextmanager
def serving(model: Path, cache: Path, wait_s: float = 90.0) -> Iterator[str]:
    """Run ``transformers serve`` for one model folder; gives the base URL.

    The model's name in requests is its path.
    """
    (cache / "hub").mkdir(parents=True, exist_ok=True)  # /v1/models is 500 until it exists
    port = free_port()
    env = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log_path = cache / "serve.log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with log_path.open("wb") as log:
        process = subprocess.Popen([*command, "--device", "cpu", str(model)], env=env, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process, log_path, wait_s)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log_path: Path, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"transformers serve did not come up:\n{log_path.read_text('utf-8', 'replace')[-3000:]}")
