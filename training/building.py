"""Filling a feature store: worker processes decode and transform, this process runs the frozen encoders."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import Config, from_dict
from .evidence import MediaFile, load_evidence
from .workers import Failed, default_workers, run_tasks

if TYPE_CHECKING:
    from .cache import FeatureStore
    from .data import Sample

log = logging.getLogger("training")
TOGETHER = 8  # clips in one forward pass of an encoder on a GPU; on a CPU each clip goes by itself
FEW = 8  # clips that are not worth starting processes for
LIGHT = 1_000_000  # parameters of encoders that are no work for several threads
CROPPED = ("video", "image")  # modalities that have views
SAY_EVERY = 5.0  # seconds between progress lines


@dataclass
class BuildReport:
    """made, kept: clips whose features were made now, or were there; failed: clip -> reason; bytes: of this config's
    features in the store."""

    made: int = 0
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True)
class Job:
    """One file to decode: which modalities of it, and which views of its pictures. ``clips``: whose it is."""

    file: MediaFile
    modalities: frozenset[str]
    views: tuple[int | None, ...]


def build(
    store: FeatureStore, samples: Sequence[Sample], modalities_of: Callable[[Sample], set[str]], model: Any,
    workers: int | None = None, progress: Callable[[str], None] | None = None, views: list[int | None] | None = None,
) -> BuildReport:  # fmt: skip
    """Make and keep every feature that the store lacks of these samples.

    workers: processes that decode, 0 for this one; progress: takes a line now and then (default: the log). A clip that
    fails is in the report with its reason, and nothing of it is kept.
    """
    began = time.monotonic()
    report, say = BuildReport(), progress or log.info
    views = store.views() if views is None else views
    jobs, owners = _jobs(store, samples, modalities_of, views, report)
    if jobs:
        count = _workers(store.config, workers, len(jobs))
        say(f"cache: {report.kept} clips kept, {len(jobs)} files to encode, {count or 'no'} worker processes")
        meter, together = _Meter(len(jobs), say), 1 if model.device.type == "cpu" else TOGETHER
        decoded = _decoded(store, jobs, count)
        try:
            for numbers, results in _grouped(decoded, together):
                own = [owners[number] for number in numbers]
                with _cores_for_workers(model) if count else contextlib.nullcontext():
                    _encode(store, model, [jobs[number] for number in numbers], own, results, report)
                meter.tell(len(numbers), report, store)
                if store.limit is not None and store.bytes / meter.done * len(jobs) > store.limit:
                    say(f"cache: features of {len(jobs)} files exceed data.cache_mb; clips are encoded as they come")
                    break
        finally:  # also when told to stop: the workers leave, and what is made is kept
            decoded.close()
            store.flush()
        meter.tell(0, report, store, last=True)
    report.seconds, report.bytes = time.monotonic() - began, store.bytes
    return report


def _jobs(
    store: FeatureStore, samples: Sequence[Sample], modalities_of: Callable[[Sample], set[str]],
    views: list[int | None], report: BuildReport,
) -> tuple[list[Job], list[list[Sample]]]:  # fmt: skip
    """What is missing, by file: two clips with the same bytes are one job. With each job the samples it is for."""
    missing: dict[str, tuple[Sample, set[str], set[int | None], list[Sample]]] = {}
    for sample in samples:
        if sample.media is None:
            continue
        wanted = modalities_of(sample) - {"multi"}
        absent = {
            (modality, view)
            for modality in wanted
            for view in (views if modality in CROPPED else [None])
            if not store.has(sample, modality, view)
        }
        if not absent:
            report.kept += bool(wanted)
            continue
        key = f"{sample.media.sha256} {sample.media.faces_sha256}"
        known = missing.setdefault(key, (sample, set(), set(), []))
        known[1].update(modality for modality, _ in absent)
        known[2].update(view for modality, view in absent if modality in CROPPED)
        known[3].append(sample)
    jobs, owners = [], []
    for sample, modalities, asked, own in missing.values():
        assert sample.media is not None
        order = tuple(view for view in [None, *views] if view in asked)
        jobs.append(Job(sample.media, frozenset(modalities), tuple(dict.fromkeys(order))))
        owners.append(own)
    return jobs, owners


def _workers(config: Config, workers: int | None, jobs: int) -> int:
    if workers is None:
        workers = config.data.workers if config.data.workers is not None else default_workers()
    return 0 if jobs <= FEW else min(workers, jobs)


def _decoded(store: FeatureStore, jobs: list[Job], workers: int) -> Generator[tuple[int, Any], None, None]:
    # In order, so that which clips go through an encoder together does not depend on who was faster.
    return run_tasks(
        "training.building:inputs_of", store.config.to_dict(), jobs, workers=workers, ordered=True,
        ahead=2 * TOGETHER,
    )  # fmt: skip


@contextlib.contextmanager
def _cores_for_workers(model: Any) -> Iterator[None]:
    """Light encoders take one of the processor's threads: more would wait for each other on the workers' cores."""
    import torch

    threads = torch.get_num_threads()
    encoders = [part for name in ("visual", "audio") if (part := getattr(model, name, None)) is not None]
    parameters = sum(value.numel() for part in encoders for value in part.parameters())
    if model.device.type != "cpu" or parameters > LIGHT or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _grouped(results: Iterator[tuple[int, Any]], size: int) -> Iterator[tuple[list[int], list[Any]]]:
    numbers: list[int] = []
    held: list[Any] = []
    for number, result in results:
        numbers.append(number)
        held.append(result)
        if len(held) == size:
            yield numbers, held
            numbers, held = [], []
    if held:
        yield numbers, held


def _encode(
    store: FeatureStore, model: Any, jobs: list[Job], owners: list[list[Sample]], results: list[Any],
    report: BuildReport,
) -> None:  # fmt: skip
    """Run the encoders over some decoded clips and keep what they make."""
    good = []
    for job, own, result in zip(jobs, owners, results, strict=True):
        reason = result.reason if isinstance(result, Failed) else lacking(job, result)
        if reason is None:
            good.append((own, result))
            report.made += len(own)
        else:
            report.failed.update(dict.fromkeys((sample.clip for sample in own), reason))
    for modality, view in dict.fromkeys(name for _, result in good for name in result["inputs"]):
        having = [(own, result) for own, result in good if (modality, view) in result["inputs"]]
        arrays = [tensors(result["inputs"][modality, view]) for _, result in having]
        made = model.encode_many(modality, arrays, [result["segments"] for _, result in having])
        for (own, _), features in zip(having, made, strict=True):
            for sample in own:
                store.put(sample, modality, view, features)


def lacking(job: Job, result: dict[str, Any]) -> str | None:
    """Why a decoded clip cannot be used: a stream that its probe found gives nothing."""
    absent = job.modalities - {modality for modality, _ in result["inputs"]}
    if not absent:
        return None
    return f"{job.file.path.name}: the probe found a stream for {', '.join(sorted(absent))}, but nothing decodes"


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.require(value, requirements="W")) for name, value in arrays.items()}


def inputs_of(values: dict[str, Any] | Config, job: Job) -> dict[str, Any]:
    """What the encoders take of one file: ``{segments, inputs: {(modality, view): arrays}}``. Runs in any process.

    values: the config, or its ``to_dict``. Raises models_ml.media.MediaError.
    """
    from .affectgpt.inputs import media_inputs

    config = values if isinstance(values, Config) else _config(values)
    only = {"video" if modality == "image" else modality for modality in job.modalities}
    evidence = load_evidence(job.file, config, only)
    made: dict[tuple[str, int | None], dict[str, np.ndarray]] = {}
    for modality, arrays in media_inputs(replace(evidence, frames=None), config).items():
        made[modality, None] = arrays
    if evidence.frames is not None:
        name = "image" if "image" in job.modalities else "video"
        for view in job.views:
            frames = evidence.frames
            if view is not None and config.data.crop_scale is not None:
                frames = random_crop(frames, config.data.crop_scale, crop_key(job.file.sha256, view))
            made[name, view] = {"frames": frames}
    return {"segments": len(evidence.times), "inputs": made}


_configs: list[tuple[dict[str, Any], Config]] = []


def _config(values: dict[str, Any]) -> Config:
    """Checked once per process."""
    if not _configs or _configs[0][0] is not values:
        _configs[:] = [(values, from_dict(values))]
    return _configs[0][1]


def crop_key(sha256: str | None, view: int) -> tuple[int, ...]:
    """The seed of view ``view`` of a file: the same crop in every run."""
    return (int((sha256 or "0")[:16], 16), view)


def random_crop(frames: np.ndarray, scale: list[float], key: tuple[int, ...]) -> np.ndarray:
    """One random square crop for all frames (n, size, size, 3) uint8, resized back (bicubic), as in the paper's
    training transform; scale: [min, max] of its area; ``key`` decides it."""
    import av

    rng = np.random.default_rng(key)
    size = frames.shape[1]
    side = max(1, round(size * float(rng.uniform(scale[0], scale[1])) ** 0.5))
    top, left = (int(rng.integers(0, size - side + 1)) for _ in range(2))
    cropped = np.ascontiguousarray(frames[:, top : top + side, left : left + side])
    return np.stack([
        av.VideoFrame.from_ndarray(frame, format="rgb24")
        .reformat(width=size, height=size, interpolation="BICUBIC").to_ndarray()
        for frame in cropped
    ])  # fmt: skip


class _Meter:
    """Progress lines with speed and the time that is left."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self.total, self.say, self.done = total, say, 0
        self.began = self.told = time.monotonic()

    def tell(self, count: int, report: BuildReport, store: FeatureStore, last: bool = False) -> None:
        self.done += count
        now = time.monotonic()
        if not last and now - self.told < SAY_EVERY:
            return
        self.told = now
        rate = self.done / max(now - self.began, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        self.say(
            f"cache: {self.done}/{self.total} files, {rate:.1f} files/s, {store.bytes / 1e6:.0f} MB, "
            f"{len(report.failed)} failed, {'done' if last else f'{_clock(left)} left'}"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
