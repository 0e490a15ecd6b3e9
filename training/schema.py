"""What a config may say: one dataclass per section, every key with its unit and meaning. Read by config.py."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SourceConfig:
    """One more source of training samples beside ``--snapshot``."""

    path: str = ""  # KIND:PATH as for --snapshot, or cc_sbu:, llava:, videochat: (image and video instructions)
    media: str | None = None  # folder of its pictures or videos
    split: str | None = None  # null: train, else all
    weight: float = 1.0  # drawn in proportion; the snapshot's own weight is data.weight


@dataclass
class DataConfig:
    language: str = "en"  # language of subtitle and target; the other one stands in where it is missing
    target: str = "description"  # description | ov_labels | hybrid (either, drawn per visit)
    video: bool = True  # False: no pictures are read (modality ablation)
    audio: bool = True  # False: no sound is read
    subtitle: bool = True  # False: the subtitle slot stays empty
    frames: int = 8  # frames per clip, and audio windows
    seconds_per_frame: float | None = None  # null: always `frames`; else one per so many seconds, at most `frames`
    faces: str = "none"  # none | openface (FOLDER/openface_face/<clip>/<clip>.npy) | detect: where face crops come from
    face_order: str = "rgb"  # rgb | bgr: channel order of openface's .npy (MERTools packs BGR)
    window_seconds: float = 2.0  # length of one audio window (ImageBind: 2 s)
    sample_rate: int = 16000
    max_length: int = 512  # prompt + target, in tokens
    max_target: int = 320  # of which at most this many for the target
    crop_scale: list[float] | None = None  # [min, max] area of a random resized crop in training; null: none
    views: int = 1  # crops kept per clip in the cache when crop_scale is set; a visit takes one of them
    cache: str = "memory"  # disk | memory | none: keep the frozen encoders' features between epochs and runs
    cache_dir: str | None = None  # null: EMER_CACHE, else features/ beside the run
    cache_dtype: str = "float32"  # float32 | bfloat16 | float16, of the kept features
    cache_mb: int = 4096  # of cache: memory; least recently used clips leave above this
    workers: int | None = None  # processes that decode while the cache is built; null: one per core but one, at most 8
    bucket: int = 16  # batches per length bucket (samples of like length share a batch); 0: no bucketing
    drop_last: bool = False  # True: a pass leaves out what does not fill its last batch, as the published code does
    weight: float = 1.0  # of --snapshot among the sources
    one_source_per_batch: bool = False  # True: as the original mixes its datasets
    sources: list[SourceConfig] = field(default_factory=list)


@dataclass
class PromptConfig:
    template: str | None = None  # a name of training/prompts/*.yaml or a file; fills the keys below where not given
    clauses: list[str] = field(default_factory=list)  # a clause that names a missing modality is left out
    question: str = "From what clues can we infer the person's emotional state?"
    label_question: str = "What are the person's emotions? Answer with a list of words."  # of target ov_labels
    label_answer: str = "{labels}"  # e.g. "The character's emotional state is {labels}."
    image: list[str] = field(default_factory=list)  # clauses about a single picture (cc_sbu)
    image_turns: list[str] = field(default_factory=list)  # of a conversation about a picture, up to its first answer
    video_turns: list[str] = field(default_factory=list)  # of one about a video
    turn: str = "Human:{question}###Assistant:"  # a later turn; the answer before it ended in `end`
    end: str = "###"  # closes the target and stops generation


@dataclass
class VisionConfig:
    kind: str = "blip2"  # blip2 (EVA-CLIP ViT and image Q-Former) | clip | siglip
    pretrained: str | None = None  # a local folder or a hub id
    revision: str | None = None
    hidden_size: int = 1408
    layers: int = 39
    heads: int = 16
    intermediate_size: int = 6144
    image_size: int = 224
    patch_size: int = 14
    projection: int = 768  # clip with tokens 1: width of its image embedding
    tokens: int = 1  # clip, siglip: tokens per frame; 1: the pooled embedding, n*n: patches averaged on a n x n grid
    dtype: str = "float32"  # float32 | bfloat16 | float16, of the frozen weights
    init_std: float = 0.02  # of random weights; transformers' own 1e-10 would make every picture look alike


@dataclass
class ImageQFormerConfig:
    """BLIP-2's image Q-Former (kind blip2), and the geometry that the trainable Q-Formers take from it."""

    pretrained: str | None = None
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    cross_attention_frequency: int = 2
    queries: int = 32
    init_std: float = 0.02


@dataclass
class BranchConfig:
    """A trainable branch from a modality's features to tokens of the LLM. Q-Former: hidden size, heads and
    feed-forward follow ``image_qformer``."""

    kind: str = "qformer"  # qformer | attention (one token: a weighted sum over time)
    layers: int = 2
    queries: int = 32
    positions: int = 32  # more frames than positions: positions are interpolated
    dropout: float = 0.1


@dataclass
class AudioConfig:
    kind: str = "imagebind"  # imagebind (weights: non-commercial licence) | ast (free substitute) | hubert | whisper
    pretrained: str | None = None
    revision: str | None = None
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    mel_bins: int = 128
    mel_frames: int = 204
    patch_size: int = 16
    stride: int = 10
    embedding: int = 1024  # width of a window's embedding (imagebind, ast)
    scale: float = 20.0  # length of an embedding after normalisation (imagebind, ast)
    last_layers: int = 4  # hubert, whisper: mean of so many last hidden states, then over time
    dtype: str = "float32"
    init_std: float = 0.02


@dataclass
class LoraConfig:
    """Low-rank adapters on the LLM's linear layers (peft); rank 0: none."""

    rank: int = 0
    alpha: int = 32
    dropout: float = 0.05
    targets: list[str] = field(
        default_factory=lambda: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )


@dataclass
class LlmConfig:
    kind: str = "llama"  # llama | qwen2 | qwen3: of random weights; a pretrained folder says it itself
    pretrained: str | None = None
    revision: str | None = None
    hidden_size: int = 4096
    layers: int = 32
    heads: int = 32
    kv_heads: int | None = None  # null: as many as heads
    intermediate_size: int = 11008
    vocab_size: int = 32000  # upper bound when the tokenizer is trained on the spot
    max_positions: int = 2048
    dtype: str = "float32"  # float32 | bfloat16 | float16, of the frozen weights
    attention: str = "sdpa"  # sdpa | eager
    checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third more time
    init_std: float = 0.02
    lora: LoraConfig = field(default_factory=LoraConfig)


@dataclass
class ModelConfig:
    random_weights: bool = False  # True: frozen parts are made on the spot from weights_seed
    weights_seed: int = 0
    prefusion: bool = False  # True: one more token from audio and video together (AffectGPT 2025)
    face: bool = False  # True: a branch for face crops beside the one for frames
    original: str | None = None  # a checkpoint of the published code (.pth) whose trainable part is loaded first
    vision: VisionConfig = field(default_factory=VisionConfig)
    image_qformer: ImageQFormerConfig = field(default_factory=ImageQFormerConfig)
    video: BranchConfig = field(default_factory=BranchConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    audio_branch: BranchConfig = field(default_factory=lambda: BranchConfig(queries=8, positions=8))
    llm: LlmConfig = field(default_factory=LlmConfig)


@dataclass
class TrainConfig:
    epochs: int = 1  # 0: the model is kept as it is before training
    iters_per_epoch: int | None = None  # null: as many as one pass over the split takes
    batch_size: int = 3  # samples per device and forward pass
    accumulate: int = 1  # batches per optimiser step
    lr: float = 3e-5
    min_lr: float = 1e-5
    warmup_lr: float = 1e-6
    warmup_steps: int = 0  # counted in optimiser steps over the whole run
    schedule: str = "cosine"  # cosine | original (the published code's, saw-tooth included)
    weight_decay: float = 0.05
    decay: str = "matrices"  # matrices | original (by parts of the name, as the published code)
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    clip_norm: float = 1.0  # 0: no clipping
    precision: str = "fp32"  # fp32 | bf16 (autocast) | fp16 (autocast, loss scaling)
    device: str = "auto"  # auto | cpu | cuda
    threads: int | None = None  # torch CPU threads; null leaves torch's choice
    log_every: int = 1
    save_every: int = 200  # optimiser steps between checkpoints
    keep: int = 2  # of them, the last so many are kept
    keep_every: int | None = None  # epochs whose checkpoint is kept for good, e.g. 10; null: none
    tensorboard: bool = True


@dataclass
class EvaluateConfig:
    """Evaluation while a run trains, and which checkpoint counts as the best."""

    every: int | None = None  # epochs; null: never
    splits: list[str] = field(default_factory=lambda: ["test"])  # train | test | whole | val | any of the snapshot
    limit: int | None = None  # clips per split, the same ones each time; null: all
    validation: float = 0.0  # share of train set apart (grouped like the splits) to choose the best epoch by
    select: str = "last"  # last | validation | test-curve (the paper's way: the best epoch of the smoothed test curve)
    smoothing: float = 0.6  # weight of the past in the exponential moving average of a curve
    grouping: str = "lexicon"  # lexicon | none | llm
    extraction: str | None = None  # llm | lexicon | direct; null: what is configured


@dataclass
class GenerateConfig:
    max_new_tokens: int = 300
    batch_size: int = 8
    sample: bool = False  # False: greedy
    temperature: float = 1.0  # of sampling
    top_p: float = 0.9
    seed: int = 0


@dataclass
class Config:
    name: str = "custom"
    stage: int = 2
    seed: int = 42
    data: DataConfig = field(default_factory=DataConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)

    @property
    def grade(self) -> str:
        """The grade of records this stage trains on (stage 1 coarse, stage 2 fine)."""
        return "coarse" if self.stage == 1 else "fine"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
