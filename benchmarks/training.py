"""AffectGPT's training: what a step, the cache, the arrangement and batched generation cost, as ratios within one run.

`python -m benchmarks.training [--out FILE]` on this host's processor (part of `make bench`), and
`python -m benchmarks.training --gpu` for the presets of the paper's size with random weights on a GPU.

Arms of one comparison take turns batch by batch, over the same batches and the same modules, so that a machine whose
pace changes changes it for all of them; a ratio is that of the medians. Clips are the demo's, enlarged to five seconds
of 1280x720 with grain at 3 Mbit/s, so that decoding costs what it does with recorded ones; the length of their
descriptions follows EMER-V2's English ones (62 to 521 words, mean 219), which is what the prompts' lengths come from.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import math
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models_ml.synthetic import make_corpus

from .figures import machine, ratio
from .media import enlarged

CONFIG = Path(__file__).with_name("training.yaml")
CLIPS = 24
COPIES = 10  # of each clip where the cache is built: starting a worker is then a small part of its work
RATE = "3M"  # bit/s, as video sites give 720p
STEPS = 14  # per arm
WARM = 2  # first steps that are not counted
LENGTHS = (62, 219, 521)  # words of EMER-V2's English descriptions: least, mean, most
SENTENCES = (
    "The corners of the mouth are pulled up and the cheeks are raised for most of the clip.",
    "In the second half the brows draw together and the upper lids are tense, which the voice does not say.",
    "The voice is lower and slower than this speaker's usual one, and the last words fade.",
    "Loudness rises on the stressed words and falls back between them.",
    "The words by themselves are a plain answer and name no feeling.",
    "Face and voice point the same way while the words do not, so the answer is more polite than meant.",
    "Taken together, the person most likely feels hurt, tries not to show it, and hopes that nobody asks.",
)


def measure(folder: Path) -> dict[str, Any]:
    """All figures that need no GPU."""
    clips = write_clips(folder)
    snapshot = f"emer-v2:{write_descriptions(folder / 'descriptions.csv', clips)}"
    figures: dict[str, Any] = {"threads": _threads()}
    with ready(folder / "step", str(CONFIG), snapshot, clips) as recipe:
        figures["lengths"] = lengths_of(recipe)
        figures["step"] = step_over_resident(recipe)
        figures["cache"] = cache_gain(recipe)
        figures["original"] = original_arrangement(recipe)
    with ready(folder / "small", "small", snapshot, clips, ["train.iters_per_epoch=88", "train.epochs=100"]) as recipe:
        figures["small"] = cache_gain(recipe)
    figures["build"] = build_over_decoding(folder, clips)
    figures["generation"] = generation(folder, snapshot, clips)
    return figures


def write_clips(folder: Path) -> Path:
    """The clips, below `folder`."""
    drawn, clips = folder / "drawn", folder / "clips"
    clips.mkdir()
    for item in make_corpus(drawn, n=CLIPS, seed=2):
        enlarged(drawn / item["media"], clips / f"{item['name']}.mp4", rate=RATE)
    return clips


def write_descriptions(path: Path, clips: Path) -> Path:
    """An EMER-V2 file for the clips of a folder, lengths as in the published one."""
    least, mean, most = LENGTHS
    rng = np.random.default_rng(0)
    spread = 0.35  # of the logarithm: 62 and 521 words are then near the 0.1th and 99.9th of a hundred
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["name", "chinese", "english"])
        for clip in sorted(clips.glob("synthetic_*.*")):
            words = int(np.clip(rng.lognormal(math.log(mean) - spread**2 / 2, spread), least, most))
            text: list[str] = []
            while len(text) < words:
                text += SENTENCES[int(rng.integers(len(SENTENCES)))].split()
            rows.writerow(
                [
                    clip.stem,
                    "在视频中，人物表情变化；在音频中，语气低沉；在文本中，无法根据字幕内容判断情感状态。；",
                    " ".join(text[:words]),
                ]
            )
    return path


@contextlib.contextmanager
def ready(
    run: Path, config: str, snapshot: str, media: Path, overrides: Sequence[str] = (), device: str = "cpu"
) -> Iterator[Any]:
    """A run set up by `fit`'s own functions, its first step not yet taken."""
    from training.config import load_config
    from training.fit import Told, set_up
    from training.plan import make_plan
    from training.processes import Processes
    from training.snapshot import read_snapshot
    from training.weights import assemble

    words = [f"train.device={device}", f"data.cache_dir={run / 'features'}", *overrides]
    with contextlib.closing(Processes(load_config(config, words).train)) as processes:
        run.mkdir(parents=True)
        plan = make_plan(load_config(config, words), read_snapshot(snapshot), str(media), run, None, None, False)
        recipe = set_up(plan, run, None, processes, Told(), {})
        if recipe.model.visual is None:  # let go of, once every clip's features were kept
            again = assemble(recipe.plan.config, recipe.tokenizer).to(processes.device).train()
            recipe.model.visual, recipe.model.audio = again.visual, again.audio
        yield recipe


def lengths_of(recipe: Any) -> dict[str, float]:
    """Tokens per sample of the prompts with their targets."""
    lengths = recipe.batches.examples.lengths
    return {
        "samples": len(lengths),
        "mean": round(statistics.mean(lengths), 1),
        "least": min(lengths),
        "most": max(lengths),
    }


def in_turns(arms: dict[str, Callable[[int], None]]) -> dict[str, list[float]]:
    """Seconds of each call `arm(number)` for numbers 0, 1 …, the arms taking turns; the first `WARM` are left out."""
    took: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(STEPS):
        for name, arm in arms.items():
            _synchronise()
            began = time.perf_counter()
            arm(number)
            _synchronise()
            took[name].append(time.perf_counter() - began)
    return {name: seconds[WARM:] for name, seconds in took.items()}


def update(recipe: Any, loss: Any, tokens: int) -> None:
    """Backward, clipping, AdamW: what every arm ends with."""
    import torch

    (loss / tokens).backward()
    parameters = [value for group in recipe.optimizer.param_groups for value in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    recipe.optimizer.step()
    recipe.optimizer.zero_grad(set_to_none=True)


def plain_step(recipe: Any, batch: Any) -> None:
    """A step of the same modules on a batch that is there already, with nothing around it."""
    with recipe.processes.autocast():
        loss, tokens = recipe.model(batch)
    update(recipe, loss, tokens)
    float(loss.detach())  # as fit does for its log


def step_over_resident(recipe: Any) -> dict[str, Any]:
    """fit's step, data and all, over the same modules on resident tensors."""
    from training.feed import Feed
    from training.fit import one_step

    device = recipe.processes.device
    resident = [recipe.batches.make(number).to(device) for number in range(STEPS)]
    feed = Feed(recipe.batches.make, iter(range(STEPS)))
    waited: list[float] = []

    def ours(number: int) -> None:
        tokens, _, _ = recipe.size(number)
        waited.append(one_step(recipe, feed, number, tokens)["waited"])

    took = in_turns({"fit": ours, "resident": lambda number: plain_step(recipe, resident[number])})
    feed.close()
    fit, plain = statistics.median(took["fit"]), statistics.median(took["resident"])
    return {
        "fit_ms": _ms(fit),
        "resident_ms": _ms(plain),
        "fit_over_resident": round(fit / plain, 3),
        "data_share": round(sum(waited[WARM:]) / sum(took["fit"]), 4),
    }


def cache_gain(recipe: Any) -> dict[str, Any]:
    """Cached steps against the encoders in every step, resident and read from files by two workers, beside the bound
    that counted FLOPs give: (encoders + step) / step."""
    device = recipe.processes.device
    numbers = list(range(STEPS))
    chosen = {
        number: [recipe.plan.samples[index] for index in recipe.batches.order.batch(number)] for number in numbers
    }
    decoded = {number: [inputs_of(recipe, sample) for sample in samples] for number, samples in chosen.items()}
    cached = {number: recipe.batches.make(number).to(device) for number in numbers}

    def uncached(number: int, inputs: list[Any]) -> None:
        plain_step(recipe, encoded_batch(recipe, number, inputs).to(device))

    with contextlib.closing(Loader(recipe, numbers)) as loader:

        def from_files(number: int) -> None:
            with loader.turn():
                uncached(number, loader.next())

        took = in_turns(
            {
                "cached": lambda number: plain_step(recipe, cached[number]),
                "encoders": lambda number: uncached(number, decoded[number]),
                "files": from_files,
            }
        )
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    encoders = sum(flops(lambda n=n: encoded_batch(recipe, n, decoded[n])) for n in numbers)
    steps = sum(flops(lambda n=n: plain_step(recipe, cached[n])) for n in numbers)
    bound, reached = (encoders + steps) / steps, medians["encoders"] / medians["cached"]
    return {
        **{f"{name}_ms": _ms(value) for name, value in medians.items()},
        "gflop_encoders_per_step": round(encoders / len(numbers) / 1e9, 2),
        "gflop_llm_and_branches_per_step": round(steps / len(numbers) / 1e9, 2),
        "bound": round(bound, 2),
        "reached": round(reached, 2),
        "reached_of_bound": round(reached / bound, 2),
        "files_by_two_workers_over_cached": ratio(medians["files"], medians["cached"]),
    }


def inputs_of(recipe: Any, sample: Any) -> Any:
    """A clip decoded and transformed, as a step without a cache needs it."""
    from training.affectgpt.inputs import media_inputs
    from training.evidence import load_evidence

    evidence = load_evidence(sample.media, recipe.plan.config)
    return media_inputs(evidence, recipe.plan.config), len(evidence.times)


def encoded_batch(recipe: Any, number: int, inputs: list[Any]) -> Any:
    """A batch whose features the encoders make now."""
    import torch

    from training.collate import collate

    features = []
    for arrays, segments in inputs:
        features.append(
            {
                modality: recipe.model.encode(
                    modality,
                    {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in own.items()},
                    segments,
                )
                for modality, own in arrays.items()
            }
        )
    chosen = recipe.batches.order.batch(number)
    return collate(
        [recipe.batches.examples[index] for index in chosen],
        features,
        [recipe.plan.samples[index].clip for index in chosen],
    )


class Files:
    """What a data loader's worker reads: batch number -> decoded inputs of its clips."""

    def __init__(self, recipe: Any, numbers: list[int]) -> None:
        self.config = recipe.plan.config
        self.batches = [
            [recipe.plan.samples[index] for index in recipe.batches.order.batch(number)] for number in numbers
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> list[Any]:
        from training.affectgpt.inputs import media_inputs
        from training.evidence import load_evidence

        made = []
        for sample in self.batches[place]:
            evidence = load_evidence(sample.media, self.config)
            made.append((media_inputs(evidence, self.config), len(evidence.times)))
        return made


class Loader:
    """torch's own loader with two workers, two batches ahead each: how such training usually reads its files.

    Its workers stand still while another arm has its turn: they neither slow that arm down nor get ahead in its time.
    """

    def __init__(self, recipe: Any, numbers: list[int]) -> None:
        from torch.utils.data import DataLoader

        self._batches: Any = iter(
            DataLoader(
                Files(recipe, numbers),
                batch_size=None,
                num_workers=2,
                prefetch_factor=2,
                multiprocessing_context="spawn",
            )  # type: ignore[arg-type]
        )
        self._tell(signal.SIGSTOP)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """While it lasts the workers read."""
        self._tell(signal.SIGCONT)
        try:
            yield
        finally:
            self._tell(signal.SIGSTOP)

    def next(self) -> list[Any]:
        """The next batch's inputs; in a turn."""
        return next(self._batches)

    def close(self) -> None:
        self._tell(signal.SIGCONT)
        del self._batches

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._batches._workers:
            if worker.is_alive():
                os.kill(worker.pid, number)


def flops(act: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products and attention, counted as torch runs them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        act()
    return counter.get_total_flops()


def original_arrangement(recipe: Any) -> dict[str, Any]:
    """Samples per second of the published code's arrangement, and of each change on the way to ours.

    As the reference describes it: encoders in every step, files read by loader workers, batches in random order padded
    to their longest, eager attention, logits over the whole prompt. Same modules, shapes and batch size.
    """
    from training.batches import Order

    plan = recipe.plan
    shuffled_config = type(plan.config)(**vars(plan.config))
    shuffled_config.data = type(plan.config.data)(**{**vars(plan.config.data), "bucket": 0})
    lengths = recipe.batches.examples.lengths
    bucketed = recipe.batches.order
    shuffled = Order(lengths, [0] * len(lengths), shuffled_config, plan.config.seed)
    numbers = list(range(STEPS))

    recipe.batches.order = shuffled
    loader = Loader(recipe, numbers)
    random_batches = {number: recipe.batches.make(number).to(recipe.processes.device) for number in numbers}
    recipe.batches.order = bucketed
    like_length = {number: recipe.batches.make(number).to(recipe.processes.device) for number in numbers}

    def original(number: int) -> None:
        with loader.turn(), attention(recipe.model.llm, "eager"):
            recipe.batches.order = shuffled
            batch = encoded_batch(recipe, number, loader.next())
            recipe.batches.order = bucketed
            whole_logits_step(recipe, batch.to(recipe.processes.device))

    def with_cache(number: int) -> None:
        with attention(recipe.model.llm, "eager"):
            whole_logits_step(recipe, random_batches[number])

    def with_buckets(number: int) -> None:
        with attention(recipe.model.llm, "eager"):
            whole_logits_step(recipe, like_length[number])

    arms = {
        "original": original,
        "and_cache": with_cache,
        "and_length_buckets": with_buckets,
        "and_sdpa": lambda number: whole_logits_step(recipe, like_length[number]),
        "and_logits_of_targets_only": lambda number: plain_step(recipe, like_length[number]),
    }
    with contextlib.closing(loader):
        took = in_turns(arms)
    samples = sum(len(like_length[number].clips) for number in numbers[WARM:])
    rates = {name: samples / sum(seconds) for name, seconds in took.items()}
    names = list(arms)
    return {
        "samples_per_second": {name: round(rate, 3) for name, rate in rates.items()},
        "each_gives": {
            later: ratio(rates[later], rates[earlier]) for earlier, later in zip(names, names[1:], strict=False)
        },
        "ours_over_original": ratio(rates[names[-1]], rates["original"]),
        "padding": {
            "shuffled": round(_padding(random_batches.values()), 3),
            "bucketed": round(_padding(like_length.values()), 3),
        },
    }


def whole_logits_step(recipe: Any, batch: Any) -> None:
    """A step whose language model computes logits for every position, prompt included, as `labels=` does."""
    with recipe.processes.autocast():
        answer = recipe.model.llm(
            inputs_embeds=recipe.model.embed(batch), attention_mask=batch.attention_mask, labels=batch.labels,
            use_cache=False,
        )  # fmt: skip
    update(recipe, answer.loss, 1)
    float(answer.loss.detach())


@contextlib.contextmanager
def attention(llm: Any, name: str) -> Iterator[None]:
    before = llm.config._attn_implementation
    llm.set_attn_implementation(name)
    try:
        yield
    finally:
        llm.set_attn_implementation(before)


def _padding(batches: Any) -> float:
    """Share of positions that are padding."""
    masks = [batch.attention_mask for batch in batches]
    return 1 - sum(float(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _synchronise() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def build_over_decoding(folder: Path, clips: Path) -> dict[str, Any]:
    """Clips per second of building the cache over those of decoding the same frames and sound alone.

    With encoders of `tiny`'s width and one layer, so that decoding is the work, as it is where a GPU runs the encoders.
    """
    from training.workers import run_tasks

    media = copies(clips, folder / "many")
    snapshot = f"emer-v2:{write_descriptions(folder / 'many.csv', media)}"
    found: dict[str, Any] = {}
    for workers in (1, 2):
        words = ["data.cache=none", *(f"model.{part}.layers=1" for part in ("vision", "audio"))]
        with ready(folder / f"build-{workers}", "tiny", snapshot, media, words) as recipe:
            config, samples = recipe.plan.config, recipe.plan.samples
            config.data.cache = "disk"
            took: dict[str, list[float]] = {"decode": [], "build": []}
            for turn in range(2):
                began = time.perf_counter()
                files = [sample.media for sample in samples]
                done = list(run_tasks("benchmarks.training:decode", config.to_dict(), files, workers=workers))
                took["decode"].append(time.perf_counter() - began)
                if len(done) != len(samples):
                    raise ValueError(f"{len(done)} of {len(samples)} clips were decoded")
                took["build"].append(_build(recipe, folder / f"store-{workers}-{turn}", workers))
            decode, build = (len(samples) / min(took[name]) for name in ("decode", "build"))
            found[f"workers_{workers}"] = {
                "decode_clips_per_s": round(decode, 2),
                "build_clips_per_s": round(build, 2),
                "build_over_decode": ratio(build, decode),
            }
    one, two = (found[f"workers_{workers}"]["build_clips_per_s"] for workers in (1, 2))
    return {**found, "two_workers_over_one": ratio(two, one)}


def copies(clips: Path, folder: Path) -> Path:
    """`COPIES` files of each clip that differ by a box of MP4 which players skip: other bytes, the same work."""
    folder.mkdir()
    for clip in sorted(clips.iterdir()):
        for number in range(COPIES):
            box = (16).to_bytes(4) + b"free" + number.to_bytes(8)
            (folder / f"{clip.stem}_{number}{clip.suffix}").write_bytes(clip.read_bytes() + box)
    return folder


def decode(config: dict[str, Any], file: Any) -> int:
    """In a worker: the frames and the sound of a clip, kept by nobody; how many frames there were."""
    from training.config import from_dict
    from training.evidence import load_evidence

    evidence = load_evidence(file, from_dict(config))
    return 0 if evidence.frames is None else len(evidence.frames)


def _build(recipe: Any, folder: Path, workers: int) -> float:
    from training.building import build
    from training.cache import open_store
    from training.data import has
    from training.weights import identities

    config = recipe.plan.config
    store = open_store(config, identities(config, recipe.model), folder)
    began = time.perf_counter()
    report = build(store, recipe.plan.samples, lambda sample: has(config, sample), recipe.model, workers)
    seconds = time.perf_counter() - began
    store.close()
    if report.failed or report.made != len(recipe.plan.samples):
        raise ValueError(f"made {report.made}, failed {report.failed}")
    return seconds


def generation(folder: Path, snapshot: str, media: Path) -> dict[str, Any]:
    """Texts per second, batched with a KV cache over one by one, 64 new tokens each."""
    from training.generate import Trained, timed_generation

    words = ["generate.max_new_tokens=64"]
    with ready(folder / "generation", str(CONFIG), snapshot, media, words) as recipe:
        recipe.model.eval()
        trained = Trained(None, recipe.plan.config, recipe.model, recipe.tokenizer)
        samples = (recipe.plan.samples * 2)[:32]
        found = {size: timed_generation(trained, samples, size) for size in (1, 16)}
        rates = {size: len(samples) / one["seconds"] for size, one in found.items()}
    return {
        "one_by_one_per_s": round(rates[1], 2),
        "batch_16_per_s": round(rates[16], 2),
        "batched_over_one_by_one": ratio(rates[16], rates[1]),
    }


def measure_gpu(presets: Sequence[str], tokens: int = 420, steps: int = 10) -> dict[str, Any]:
    """Full-size presets with random weights in bf16 on the GPU: step, tokens per second, MFU, memory, largest batch."""
    import torch

    gpu = torch.cuda.get_device_properties(0)
    return {
        "gpu": gpu.name,
        "memory_gb": round(gpu.total_memory / 2**30, 1),
        **{preset: full_size(preset, tokens, steps) for preset in presets},
    }


def full_size(preset: str, tokens: int, steps: int, device: str = "cuda") -> dict[str, Any]:
    """One preset: features of the right shapes and random values stand for the cache's."""
    import torch

    from training.affectgpt.model import resolve_device
    from training.config import load_config
    from training.estimate import peak_of
    from training.optim import adamw
    from training.weights import assemble

    parts = ("vision", "image_qformer", "audio", "llm")
    words = [f"model.{part}.pretrained=null" for part in parts] + [
        "model.random_weights=true",
        f"train.device={device}",
    ]
    config = load_config(preset, [*words, "train.precision=bf16", "model.llm.dtype=bfloat16"])
    where = resolve_device(device)
    model = assemble(config, range(config.model.llm.vocab_size), where).train()  # of a tokenizer only its size counts
    model.release_encoders()
    optimizer = adamw(model.named_parameters(), config.train)
    parameters = list(model.trainable().values())

    def step(batch: Any) -> float:
        _synchronise()
        began = time.perf_counter()
        with torch.autocast(where.type, torch.bfloat16):
            loss, count = model(batch)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(loss.detach())
        _synchronise()
        return time.perf_counter() - began

    batch = made_batch(config, config.train.batch_size, tokens, where)
    work = flops(lambda: step(batch))
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median([step(batch) for _ in range(steps)][2:])
    size = config.train.batch_size
    peak = torch.cuda.max_memory_allocated() if where.type == "cuda" else 0
    reachable, basis = peak_of(where, "bf16")
    return {
        "trainable": model.trainable_count(),
        "batch": size,
        "tokens_per_sample": tokens,
        "step_ms": _ms(seconds),
        "tokens_per_s": round(size * tokens / seconds),
        "tflop_per_step": round(work / 1e12, 2),
        "tflop_per_s": round(work / seconds / 1e12, 3),
        "mfu": round(work / seconds / reachable, 4),
        "mfu_basis": basis,
        "peak_memory_gb": round(peak / 2**30, 1),
        "largest_batch": largest_batch(lambda count: step(made_batch(config, count, tokens, where)), where),
    }


def made_batch(config: Any, size: int, tokens: int, device: Any) -> Any:
    """A batch of samples that have every modality, half of each a target."""
    import torch

    from training.affectgpt.model import Batch, Placed
    from training.affectgpt.slots import feature_shapes, slot_lengths

    ids = torch.randint(3, config.model.llm.vocab_size, (size, tokens))
    labels = ids.clone()
    labels[:, : tokens // 2] = -100
    shapes, start, media = feature_shapes(config.model), 8, {}
    rows = torch.arange(size)
    for modality, length in slot_lengths(config.model).items():
        if modality == "image":
            continue
        features = None if modality == "multi" else torch.randn(size, config.data.frames, *shapes[modality])
        media[modality] = Placed(features, None, rows, torch.full((size,), start))
        start += length + 4
    return Batch(ids, torch.ones_like(ids), labels, media, [f"clip {row}" for row in range(size)]).to(device)


def largest_batch(step: Callable[[int], float], device: Any) -> int | None:
    """The largest batch whose step fits in the GPU's memory, to one part in eight."""
    import torch

    if device.type != "cuda":
        return None

    def fits(count: int) -> bool:
        try:
            step(count)
        except torch.cuda.OutOfMemoryError:
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    low, high = 1, 2
    while fits(high):
        low, high = high, high * 2
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def main() -> int:
    """0: measured; the last line on stdout is the figures as one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures here as well")
    parser.add_argument("--gpu", action="store_true", help="the full-size presets on a GPU, nothing else")
    parser.add_argument("--presets", nargs="+", default=["affectgpt-2024-stage2", "affectgpt-2025-stage2"])
    chosen = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine()}
    if chosen.gpu:
        figures.update(measure_gpu(chosen.presets))
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures.update(measure(Path(folder)))
    text = json.dumps(figures, ensure_ascii=False)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
