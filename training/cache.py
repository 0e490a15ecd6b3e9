"""What the frozen encoders made of each clip, kept: on disk between runs, in memory between epochs, or not at all.

A feature's key is the sha256 of (media bytes, modality, encoder and its weights, transform, dtype, view), so nothing
stale is ever found and any number of configs share one folder::

    features/shards/<time>-<process>-<random>.safetensors   tensors by key
    features/shards/<time>-<process>-<random>.jsonl         its index: first line the encoders, then a line an entry
    features/media.jsonl                                    what media files hold (see media.py)

A shard is written under a temporary name, synced and renamed; then its index the same way. So a crash loses the shard
that was being written, and several builders never touch each other's files. Reading is memory-mapped; an entry's
sha256 is checked when it is first read, and one that does not match is dropped and made again, never used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from .errors import UsageError
from .media import MediaFile
from .schema import Config
from .shards import Entry, Shards

log = logging.getLogger("training")
VERSION = 1  # of decoding and transforms: a change of what they give is a new number
ENCODER_OF = {"video": "visual", "image": "visual", "face": "visual", "audio": "audio"}
NOT_OF_FEATURES = ("pretrained", "revision", "init_std")  # where weights came from; the identity says what they are


class Sampled(Protocol):
    """What the store needs of a sample."""

    @property
    def clip(self) -> str: ...
    @property
    def media(self) -> MediaFile | None: ...


class Absent(KeyError):
    """The store has no (sound) features of this clip."""


@dataclass
class VerifyReport:
    """checked: entries whose bytes were read and hashed; damaged: ``{clip, modality, shard, reason}``, all of them
    taken out of the index."""

    checked: int = 0
    bytes: int = 0
    damaged: list[dict[str, str]] = field(default_factory=list)


class FeatureStore:
    """Features by sample and view. ``view``: None for the whole picture, else the number of a random crop.

    The dtype they are kept in is that of ``data.cache_dtype`` in every mode, so that runs do not differ by where
    their features lie.
    """

    def __init__(self, config: Config, identities: dict[str, str], keep: Keep) -> None:
        self.config, self.keep = config, keep
        self.dtype: torch.dtype = getattr(torch, config.data.cache_dtype)
        self.spaces = {modality: space_of(modality, config, identities) for modality in ENCODER_OF}
        self._ids = {modality: _digest(space) for modality, space in self.spaces.items()}

    def views(self, training: bool = True) -> list[int | None]:
        """The views of a clip that are kept: of random crops so many as ``data.views``."""
        data = self.config.data
        return [None] if data.crop_scale is None or not training else list(range(data.views))

    def entry(self, sample: Sampled, modality: str, view: int | None) -> Entry:
        """What this feature is called. Raises UsageError for a clip without a hash of its media."""
        file = sample.media
        if file is None or file.sha256 is None:
            raise UsageError(f"clip {sample.clip}: no sha256 of its media, so its features cannot be kept")
        crop = None
        if view is not None and modality in ("video", "image"):
            crop = f"{self.config.data.crop_scale}:{view}"
        media = file.sha256
        if modality == "face" and file.faces_sha256:
            media += file.faces_sha256
        key = hashlib.sha256(f"{media}\n{self._ids[modality]}\n{crop}".encode()).hexdigest()
        return Entry(key, self._ids[modality], modality, file.sha256, sample.clip, crop)

    def has(self, sample: Sampled, modality: str, view: int | None = None) -> bool:
        return self.keep.has(self.entry(sample, modality, view).key)

    def get(self, sample: Sampled, modalities: set[str], view: int | None = None) -> dict[str, torch.Tensor]:
        """Modality -> features, of a disk store memory-mapped. Raises Absent when one is not there or is damaged."""
        found = {}
        for modality in sorted(modalities):
            tensor = self.keep.load(self.entry(sample, modality, view).key)
            if tensor is None:
                raise Absent(f"{sample.clip}: {modality}")
            found[modality] = tensor
        return found

    def put(self, sample: Sampled, modality: str, view: int | None, features: torch.Tensor) -> torch.Tensor:
        """Keep features; returns them as they will be read back."""
        kept = features.to(self.dtype).contiguous()
        entry = self.entry(sample, modality, view)
        self.keep.save(entry, self.spaces[modality], kept)
        return kept

    def flush(self) -> None:
        """Everything that was put is safe (disk)."""
        self.keep.flush()

    def refresh(self) -> None:
        """Learn what other processes have added (disk)."""
        self.keep.refresh()

    def verify(self) -> VerifyReport:
        """Read and hash every entry of this config's encoders; damaged ones are named and forgotten."""
        report = VerifyReport()
        if isinstance(self.keep, Shards):
            self.keep.verify(report, set(self._ids.values()))
        return report

    def prune(self) -> dict[str, int]:
        """Remove what killed builders left, second copies, and what this config's encoders and transforms did not
        make: ``{files, entries, bytes}`` removed."""
        if not isinstance(self.keep, Shards):
            return {"files": 0, "entries": 0, "bytes": 0}
        return self.keep.prune(set(self._ids.values()))

    @property
    def limit(self) -> int | None:
        """Bytes that the store holds at most; None: as many as there are."""
        return self.keep.limit if isinstance(self.keep, Memory) else None

    @property
    def bytes(self) -> int:
        """Of all features of this config's encoders that are kept."""
        return self.keep.bytes_of(set(self._ids.values()))

    def close(self) -> None:
        self.keep.flush()
        self.keep.close()


class Keep(Protocol):
    """Where features lie."""

    def has(self, key: str) -> bool: ...
    def load(self, key: str) -> torch.Tensor | None: ...
    def save(self, entry: Entry, space: dict[str, Any], tensor: torch.Tensor) -> None: ...
    def flush(self) -> None: ...
    def refresh(self) -> None: ...
    def bytes_of(self, spaces: set[str]) -> int: ...
    def close(self) -> None: ...


class Memory:
    """Features in memory; the least recently used leave above ``limit_mb``, and 0 keeps nothing."""

    def __init__(self, limit_mb: int) -> None:
        self.limit = limit_mb * 1024 * 1024
        self.held: OrderedDict[str, torch.Tensor] = OrderedDict()
        self.bytes = 0

    def has(self, key: str) -> bool:
        return key in self.held

    def load(self, key: str) -> torch.Tensor | None:
        found = self.held.get(key)
        if found is not None:
            self.held.move_to_end(key)
        return found

    def save(self, entry: Entry, space: dict[str, Any], tensor: torch.Tensor) -> None:
        if tensor.nbytes > self.limit or entry.key in self.held:
            return
        self.held[entry.key] = tensor
        self.bytes += tensor.nbytes
        while self.bytes > self.limit:
            _, gone = self.held.popitem(last=False)
            self.bytes -= gone.nbytes

    def flush(self) -> None: ...

    def refresh(self) -> None: ...

    def bytes_of(self, spaces: set[str]) -> int:
        return self.bytes

    def close(self) -> None: ...


def open_store(config: Config, identities: dict[str, str], folder: str | Path | None = None) -> FeatureStore:
    """The store that ``data.cache`` asks for; ``folder`` is where a disk store lies.

    Raises UsageError when a disk store has no folder, or it cannot be used.
    """
    if config.data.cache == "disk":
        if folder is None:
            raise UsageError("data.cache=disk needs a folder: set data.cache_dir or EMER_CACHE")
        return FeatureStore(config, identities, Shards(Path(folder)))
    return FeatureStore(config, identities, Memory(config.data.cache_mb if config.data.cache == "memory" else 0))


def cache_folder(config: Config, run: str | Path | None = None) -> Path | None:
    """Where this config's features lie: data.cache_dir, else EMER_CACHE, else ``features`` beside the run folder.

    None unless data.cache is disk.
    """
    if config.data.cache != "disk":
        return None
    named = config.data.cache_dir or os.environ.get("EMER_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(run).absolute().parent / "features" if run is not None else None


def space_of(modality: str, config: Config, identities: dict[str, str]) -> dict[str, Any]:
    """All that decides a clip's features beside its bytes: encoder, its weights, transform, dtype."""
    data, model = config.data, config.model
    encoder = ENCODER_OF[modality]
    shape: dict[str, Any] = {"vision": asdict(model.vision)} if encoder == "visual" else {"audio": asdict(model.audio)}
    if encoder == "visual" and model.vision.kind == "blip2":
        shape["image_qformer"] = asdict(model.image_qformer)
    for section in shape.values():
        for key in NOT_OF_FEATURES:
            section.pop(key, None)
    transform: dict[str, Any] = {"frames": data.frames, "seconds_per_frame": data.seconds_per_frame}
    if encoder == "audio":
        transform |= {"window_seconds": data.window_seconds, "sample_rate": data.sample_rate}
    elif modality == "face":
        transform |= {"faces": data.faces, "order": data.face_order if data.faces == "openface" else None}
    return {
        "version": VERSION, "modality": modality, "identity": identities[encoder], "encoder": shape,
        "transform": transform, "dtype": data.cache_dtype,
    }  # fmt: skip


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
