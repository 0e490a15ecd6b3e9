"""Pre-training of the two encoders on the synthetic world "elsewhere": other people, no emotions.

The picture encoder learns to measure action units and gaze, the audio encoder pitch, tempo, loudness and melody, each
by a head that is thrown away. What is kept has the layout of the published weights: BLIP-2's for pictures, AST's for
sound.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import ASTConfig, ASTModel, Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

from models_ml.synthetic.world_clips import FPS, MEASURED_AUS, VISUAL_MEASURES, VOICE_MEASURES
from training.affectgpt.inputs import media_inputs
from training.config import Config
from training.evidence import MediaFile, load_evidence

log = logging.getLogger("learning")
# As the frozen encoders of training/ take them: CLIP's normalisation of pixels, AudioSet's of log-mel values.
PIXEL_MEAN, PIXEL_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MEL_MEAN, MEL_STD = -4.268, 9.138


def load(folder: Path, facts: list[dict[str, Any]], config: Config, modality: str) -> dict[str, np.ndarray]:
    """What the clips show ("video") or sound like ("audio"), and what is to be measured: `inputs` (pictures, size,
    size, 3) or (windows, frames, bins), `measures` (…, measures), and `clip` tells the clip of each."""
    out: dict[str, list[np.ndarray]] = {"inputs": [], "measures": [], "clip": []}
    for number, fact in enumerate(facts):
        file = MediaFile(folder / "media" / fact["media"], fact["duration"], True, True)
        evidence = load_evidence(file, config, {modality})
        given = media_inputs(evidence, config)[modality]
        if modality == "video":
            inputs = given["frames"]
            at = [min(len(fact["gaze"]) - 1, int(moment * FPS)) for moment in evidence.times]
            tracks = [fact["aus"][au] for au in MEASURED_AUS] + [[abs(look) for look in fact["gaze"]]]
            measures = np.array([[track[i] for track in tracks] for i in at], dtype=np.float32)
        else:
            inputs = given["mel"]
            told = np.array([fact["voice"][name] for name in VOICE_MEASURES], dtype=np.float32)
            measures = np.tile(told, (len(inputs), 1))
        out["inputs"].append(inputs)
        out["measures"].append(measures)
        out["clip"].append(np.full(len(inputs), number))
    return {name: np.concatenate(values) for name, values in out.items()}


class PictureMeasurer(nn.Module):
    """BLIP-2's visual part, small, with a throw-away head on its query tokens."""

    def __init__(self, config: Config, out: int) -> None:
        super().__init__()
        vision, image = config.model.vision, config.model.image_qformer
        self.vision_model = Blip2VisionModel(
            Blip2VisionConfig(
                hidden_size=vision.hidden_size, num_hidden_layers=vision.layers, num_attention_heads=vision.heads,
                intermediate_size=vision.intermediate_size, image_size=vision.image_size, patch_size=vision.patch_size,
                initializer_range=vision.init_std,
            )
        )  # fmt: skip
        self.qformer = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=image.hidden_size, num_hidden_layers=image.layers, num_attention_heads=image.heads,
                intermediate_size=image.intermediate_size, encoder_hidden_size=vision.hidden_size,
                cross_attention_frequency=image.cross_attention_frequency, initializer_range=image.init_std,
            )
        )  # fmt: skip
        self.query_tokens = nn.Parameter(torch.randn(1, image.queries, image.hidden_size) * image.init_std)
        self.head = nn.Linear(image.queries * image.hidden_size, out)
        patches = (vision.image_size // vision.patch_size) ** 2 + 1
        self.patch_head = nn.Linear(patches * vision.hidden_size, out)
        nn.init.normal_(self.patch_head.weight, std=0.002)

    def forward(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """(n, size, size, 3) uint8 -> (n, measures) by the query tokens, and by the patches: the ViT learns much
        faster when it is asked directly as well."""
        pixels = (frames.float() / 255 - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
        patches = self.vision_model(pixel_values=pixels.permute(0, 3, 1, 2)).last_hidden_state
        queries = self.query_tokens.expand(len(frames), -1, -1)
        told = self.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state
        return [self.head(told.flatten(1)), self.patch_head(patches.flatten(1))]

    def save(self, folder: Path) -> None:
        """The visual part in BLIP-2's layout."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items() if "head." not in name}
        save_file(state, folder / "model.safetensors", {"format": "pt"})


class SoundMeasurer(nn.Module):
    """A small AST with a throw-away head."""

    def __init__(self, config: Config, out: int) -> None:
        super().__init__()
        audio = config.model.audio
        self.encoder = ASTModel(
            ASTConfig(
                hidden_size=audio.hidden_size, num_hidden_layers=audio.layers, num_attention_heads=audio.heads,
                intermediate_size=audio.intermediate_size, patch_size=audio.patch_size, num_mel_bins=audio.mel_bins,
                frequency_stride=audio.stride, time_stride=audio.stride, max_length=audio.mel_frames,
                initializer_range=audio.init_std,
            )
        )  # fmt: skip
        self.head = nn.Linear(audio.hidden_size, out)

    def forward(self, mel: torch.Tensor) -> list[torch.Tensor]:
        """(n, frames, bins) -> (n, measures)."""
        return [self.head(self.encoder(input_values=(mel - MEL_MEAN) / MEL_STD).pooler_output)]

    def save(self, folder: Path) -> None:
        self.encoder.save_pretrained(str(folder))


def pretrain_vision(
    data: dict[str, np.ndarray], held: set[int], config: Config, out: Path, steps: int, seed: int
) -> dict[str, float]:
    """Train, save in BLIP-2's layout, and return the correlation of each measure on the clips that are held out."""
    torch.manual_seed(seed)
    model = PictureMeasurer(config, len(VISUAL_MEASURES))
    found = regress(model, data, held, steps, seed, change=_moved)
    model.save(out)
    return dict(zip(VISUAL_MEASURES, found, strict=True))


def pretrain_audio(
    data: dict[str, np.ndarray], held: set[int], config: Config, out: Path, steps: int, seed: int
) -> dict[str, float]:
    """Train, save as an AST folder, and return the correlation of each measure, averaged over a clip's windows."""
    torch.manual_seed(seed)
    model = SoundMeasurer(config, len(VOICE_MEASURES))
    found = regress(model, data, held, steps, seed, average=True)
    model.save(out)
    return dict(zip(VOICE_MEASURES, found, strict=True))


def regress(
    model: nn.Module, data: dict[str, np.ndarray], held: set[int], steps: int, seed: int,
    change: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None, average: bool = False,
    batch: int = 64, lr: float = 1.5e-3,
) -> list[float]:  # fmt: skip
    """Least squares on standardised measures; returns each measure's correlation on the clips that are `held` out,
    per input or, with `average`, per clip."""
    given, wanted = torch.from_numpy(data["inputs"]), torch.from_numpy(data["measures"])
    apart = torch.from_numpy(np.isin(data["clip"], sorted(held)))
    seen = torch.nonzero(~apart)[:, 0]
    goal = (wanted - wanted[seen].mean(0)) / wanted[seen].std(0).clamp(min=1e-3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for step in range(steps):
        chosen = seen[torch.randint(len(seen), (batch,), generator=generator)]
        shown = given[chosen] if change is None else change(given[chosen], generator)
        loss = torch.stack([nn.functional.mse_loss(guess, goal[chosen]) for guess in model(shown)]).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            log.info("%s, step %d of %d: loss %.3f", type(model).__name__, step, steps, loss.item())
    model.eval()
    with torch.no_grad():
        told = torch.cat([model(part)[0] for part in given[apart].split(256)]).numpy()
    truth = goal[apart].numpy()
    if average:
        of = data["clip"][apart.numpy()]
        told, truth = (np.stack([part[of == clip].mean(0) for clip in np.unique(of)]) for part in (told, truth))
    return [round(float(np.corrcoef(told[:, i], truth[:, i])[0, 1]), 3) for i in range(told.shape[1])]


def _moved(frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Pictures shifted by a pixel and half of them mirrored: neither changes a measure."""
    dy, dx = (int(torch.randint(-1, 2, (1,), generator=generator)) for _ in range(2))
    frames = torch.roll(frames, (dy, dx), (1, 2))
    return frames.flip(2) if torch.rand(1, generator=generator) < 0.5 else frames
