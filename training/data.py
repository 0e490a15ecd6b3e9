"""From records and media to batches: texts chosen, features encoded, sequences padded.

Order of samples is a function of (seed, position) alone, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .affectgpt.model import AffectGPT, Batch, Placed
from .cache import FeatureCache
from .config import Config
from .errors import TrainingError, UsageError
from .evidence import Evidence, MediaFile, MediaReport, load_evidence
from .prompt import IGNORED, Example, Prompt, build_example, build_prompt
from .snapshot import Record

log = logging.getLogger("training")
OTHER = {"en": "zh", "zh": "en"}


@dataclass
class Sample:
    """A clip ready for the model: texts in the config's language, or in the other one where it is missing."""

    clip: str
    subtitle: str
    target: str
    media: MediaFile | None


@dataclass
class Selection:
    samples: list[Sample]
    without_target: list[str] = field(default_factory=list)
    other_language: int = 0


@dataclass
class Features:
    """What the frozen encoders made of one clip: video (frames, queries, hidden), audio (windows, embedding)."""

    video: torch.Tensor | None
    audio: torch.Tensor | None


def in_language(texts: dict[str, str | None], language: str) -> tuple[str, bool]:
    """The text in this language, else in the other; and whether it is the other one."""
    own = (texts.get(language) or "").strip()
    other = (texts.get(OTHER[language]) or "").strip()
    return (own, False) if own or not other else (other, True)


def target_of(record: Record, config: Config) -> tuple[str, bool]:
    """What the model shall answer for this record ("" when the record does not say), and whether in the other
    language."""
    if config.data.target == "description":
        return in_language(record.description, config.data.language)
    joined: dict[str, str | None] = {language: ", ".join(labels) for language, labels in record.ov_labels.items()}
    return in_language(joined, config.data.language)


def select(config: Config, records: list[Record], media: dict[str, MediaFile]) -> Selection:
    """Samples with a target, in the records' order."""
    selection = Selection([])
    for record in records:
        target, swapped = target_of(record, config)
        if not target:
            selection.without_target.append(record.clip)
            continue
        selection.other_language += swapped
        subtitle, _ = in_language(record.subtitle, config.data.language)
        selection.samples.append(Sample(record.clip, subtitle, target, media.get(record.clip)))
    return selection


def require_media(report: MediaReport, total: int, policy: str | None) -> None:
    """Stop unless every clip has media, or the caller said what to do without.

    Raises:
        UsageError: clips are missing and ``policy`` is None; names the count, the first clips and the way out.
    """
    if not report.missing:
        return
    shown = "; ".join(f"{clip}: {reason}" for clip, reason in list(report.missing.items())[:3])
    message = f"{len(report.missing)} of {total} clips have no readable media ({shown})"
    if policy != "text-only":
        raise UsageError(
            f"{message}; give --media DIR with <sha256>.* or <clip>.* files, or --missing-media text-only to go on "
            "with their text alone"
        )
    log.warning("%s; these go on as text only", message)


def sample_at(position: int, total: int, seed: int) -> int:
    """The sample at a place of the endless stream of shuffled passes over ``total`` samples."""
    epoch, index = divmod(position, total)
    return int(np.random.default_rng((seed, epoch)).permutation(total)[index])


class Featurizer:
    """Turns clips into features with the model's frozen encoders, each clip by itself."""

    def __init__(self, model: AffectGPT, config: Config) -> None:
        self.model = model
        self.config = config
        self.cache = FeatureCache(config.data.cache_mb if config.data.cache == "memory" else 0)

    def features(self, sample: Sample, crop_key: tuple[int, ...] | None = None) -> Features:
        """Features of a sample; ``crop_key`` seeds the random crop of this visit (None: no crop).

        Raises:
            TrainingError: the media cannot be decoded (a file that passed the survey but is damaged inside).
        """
        if sample.media is None:
            return Features(None, None)
        media = sample.media
        if crop_key is None or self.config.data.crop_scale is None:
            return self.cache.get(f"features {media.path}", lambda: self._encode(self._decode(sample, media)))
        evidence = self.cache.get(f"evidence {media.path}", lambda: self._decode(sample, media))
        return self._encode(evidence, crop_key)

    def _decode(self, sample: Sample, media: MediaFile) -> Evidence:
        from models_ml.media import MediaError

        try:
            return load_evidence(media, self.config)
        except MediaError as error:
            raise TrainingError(f"clip {sample.clip}: {error}") from error

    def _encode(self, evidence: Evidence, crop_key: tuple[int, ...] | None = None) -> Features:
        video = audio = None
        if evidence.frames is not None:
            frames = torch.from_numpy(evidence.frames)
            if crop_key is not None and self.config.data.crop_scale is not None:
                frames = random_crop(frames, self.config.data.crop_scale, crop_key)
            video = self.model.encode_frames(frames)
        if evidence.mel is not None and evidence.segment is not None:
            audio = self.model.encode_audio(
                torch.from_numpy(evidence.mel), torch.from_numpy(evidence.segment), len(evidence.times)
            )
        return Features(video, audio)


def random_crop(frames: torch.Tensor, scale: list[float], key: tuple[int, ...]) -> torch.Tensor:
    """One random square crop for all frames (n, size, size, 3) uint8, resized back (bicubic), as in the paper's
    training transform; ``key`` decides it."""
    rng = np.random.default_rng(key)
    size = frames.shape[1]
    side = max(1, round(size * float(rng.uniform(scale[0], scale[1])) ** 0.5))
    top, left = (int(rng.integers(0, size - side + 1)) for _ in range(2))
    pixels = frames[:, top : top + side, left : left + side].permute(0, 3, 1, 2).float()
    pixels = torch.nn.functional.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return pixels.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def example_of(config: Config, tokenizer: Any, sample: Sample) -> Example:
    video, audio = has(sample)
    return build_example(config, tokenizer, sample.subtitle, sample.target, video, audio)


def prompt_of(config: Config, tokenizer: Any, sample: Sample) -> Prompt:
    video, audio = has(sample)
    return build_prompt(config, tokenizer, sample.subtitle, video, audio)


def has(sample: Sample) -> tuple[bool, bool]:
    """Whether the sample has pictures, and sound."""
    return (False, False) if sample.media is None else (sample.media.has_video, sample.media.has_audio)


def collate(examples: list[Example], features: list[Features], clips: list[str]) -> Batch:
    """Right-padded batch for training. Padding is masked by length, never by the value of a token."""
    return _batch([example.ids for example in examples], [example.labels for example in examples],
                  [example.slots for example in examples], features, clips, left=False)  # fmt: skip


def collate_prompts(prompts: list[Prompt], features: list[Features], clips: list[str]) -> Batch:
    """Left-padded batch for generation, so that every row's next token stands at the end."""
    return _batch([prompt.ids for prompt in prompts], None, [prompt.slots for prompt in prompts], features, clips,
                  left=True)  # fmt: skip


def _batch(
    ids: list[list[int]], labels: list[list[int]] | None, slots: list[dict[str, int]], features: list[Features],
    clips: list[str], left: bool,
) -> Batch:  # fmt: skip
    length = max(map(len, ids))
    shape = (len(ids), length)
    input_ids = torch.zeros(shape, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    targets = None if labels is None else torch.full(shape, IGNORED, dtype=torch.long)
    offsets = []
    for row, own in enumerate(ids):
        offset = length - len(own) if left else 0
        offsets.append(offset)
        input_ids[row, offset : offset + len(own)] = torch.tensor(own)
        mask[row, offset : offset + len(own)] = 1
        if targets is not None and labels is not None:
            targets[row, offset : offset + len(own)] = torch.tensor(labels[row])
    placed: dict[str, Placed | None] = {}
    for modality in ("video", "audio"):
        rows = [row for row, own in enumerate(slots) if modality in own]
        values = [getattr(features[row], modality) for row in rows]
        for row, value in zip(rows, values, strict=True):
            if value is None:
                raise TrainingError(f"clip {clips[row]}: the probe found a {modality} stream, but nothing decodes")
        placed[modality] = (
            Placed(
                torch.stack(values), torch.tensor(rows),
                torch.tensor([slots[row][modality] + offsets[row] for row in rows]),
            )
            if rows
            else None
        )  # fmt: skip
    return Batch(input_ids, mask, targets, placed["video"], placed["audio"], clips)
