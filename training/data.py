"""From records and media to samples: texts chosen, modalities decided, features looked up or made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .affectgpt.model import AffectGPT
from .affectgpt.slots import present, slot_lengths
from .building import BuildReport, Job, build, inputs_of, lacking, tensors
from .cache import Absent, FeatureStore, Memory
from .collate import Features, collate, collate_prompts, pad
from .config import Config
from .errors import TrainingError, UsageError
from .evidence import MediaFile, MediaReport
from .prompt import Asked, Example, Prompt, answered, clean, conversation, modalities_of, prompt_for
from .snapshot import Record

__all__ = [
    "Features",
    "Featurizer",
    "Sample",
    "Selection",
    "asked_of",
    "clue_texts",
    "collate",
    "collate_prompts",
    "example_of",
    "has",
    "in_language",
    "label_example",
    "needed",
    "pad",
    "prompt_of",
    "require_media",
    "select",
    "targets_of",
    "without_media",
]

log = logging.getLogger("training")
OTHER = {"en": "zh", "zh": "en"}


@dataclass
class Sample:
    """A clip ready for the model: texts in the config's language, or in the other one where it is missing."""

    clip: str
    subtitle: str
    target: str
    media: MediaFile | None
    sha256: str | None = None  # of the media, as the snapshot says
    source: int = 0  # index of the source it is from; 0 is --snapshot
    clues: dict[str, str] = field(default_factory=dict)  # modality -> the record's clues as text
    labels: str = ""  # of data.target hybrid: the other answer, drawn per visit
    turns: list[tuple[str, str]] | None = None  # questions and answers, of instruction sets


@dataclass
class Selection:
    samples: list[Sample]
    without_target: list[str] = field(default_factory=list)
    without_media: list[str] = field(default_factory=list)  # instructions about a picture or video that is not there
    other_language: int = 0


def in_language(texts: dict[str, str | None], language: str) -> tuple[str, bool]:
    """The text in this language, else in the other; and whether it is the other one."""
    own = (texts.get(language) or "").strip()
    other = (texts.get(OTHER[language]) or "").strip()
    return (own, False) if own or not other else (other, True)


def targets_of(record: Record, config: Config) -> tuple[str, str, bool]:
    """What the model shall answer for this record ("" when the record does not say), the label answer that may take
    its place (data.target hybrid), and whether the first is in the other language."""
    data = config.data
    joined: dict[str, str | None] = {language: ", ".join(labels) for language, labels in record.ov_labels.items()}
    labels, swapped_labels = in_language(joined, data.language)
    answer = config.prompt.label_answer.replace("{labels}", labels) if labels else ""
    if data.target == "ov_labels":
        return answer, "", swapped_labels
    description, swapped = in_language(record.description, data.language)
    if data.target == "description":
        return description, "", swapped
    return description, answer, swapped or (not description and swapped_labels)


def clue_texts(record: Record, language: str) -> dict[str, str]:
    """Modality -> its clues as one text, in this language where there are any, else in the other."""
    found: dict[str, str] = {}
    for own in (OTHER[language], language):
        for modality in ("visual", "audio", "text"):
            texts = [
                clue["text"].strip()
                for clue in record.clues
                if clue.get("modality") == modality and clue.get("language") == own and isinstance(clue["text"], str)
            ]
            if text := ("" if own == "zh" else " ").join(filter(None, texts)):
                found[modality] = text
    return found


def select(config: Config, records: list[Record], media: dict[str, MediaFile], source: int = 0) -> Selection:
    """Samples with a target, in the records' order."""
    selection = Selection([])
    for record in records:
        file = media.get(record.clip)
        if record.turns is not None:
            if file is None:
                selection.without_media.append(record.clip)
            else:
                selection.samples.append(
                    Sample(record.clip, "", record.turns[0][1], file, record.media_sha256, source, turns=record.turns)
                )
            continue
        target, labels, swapped = targets_of(record, config)
        if not target and not labels:
            selection.without_target.append(record.clip)
            continue
        selection.other_language += swapped
        subtitle, _ = in_language(record.subtitle, config.data.language)
        clues = clue_texts(record, config.data.language)
        selection.samples.append(
            Sample(record.clip, subtitle, target, file, record.media_sha256, source, clues, labels)
        )
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


def without_media(samples: list[Sample], clips: Iterable[str]) -> None:
    """Let these clips go on as text alone; instructions about a picture or video that cannot be shown are left out."""
    gone = set(clips)
    for sample in samples:
        if sample.clip in gone:
            sample.media = None
    samples[:] = [sample for sample in samples if sample.turns is None or sample.media is not None]


class Featurizer:
    """Features of clips, from the store or, where that has none, from the model's frozen encoders."""

    def __init__(self, model: AffectGPT, config: Config, store: FeatureStore | None = None) -> None:
        """store: None for one in memory, of this object alone."""
        self.model, self.config = model, config
        if store is None:
            limit = config.data.cache_mb if config.data.cache != "none" else 0
            store = FeatureStore(config, {"visual": "here", "audio": "here"}, Memory(limit))
        self.store = store

    def build(
        self, samples: Sequence[Sample], workers: int | None = None, progress: Callable[[str], None] | None = None,
        training: bool = True,
    ) -> BuildReport:  # fmt: skip
        """Make and keep what is missing of these samples (not with data.cache none); see ``building.build``.

        training: the random crops' views, else whole pictures.
        """
        if self.config.data.cache == "none":
            return BuildReport()
        return build(
            self.store, samples, lambda sample: needed(self.config, sample), self.model, workers, progress,
            self.store.views(training),
        )  # fmt: skip

    def features(self, sample: Sample, visit: tuple[int, ...] | None = None) -> Features:
        """Features of a sample. ``visit`` is this visit's own numbers (seed, batch, row) in training, which draw one
        of the random crops; None, as in evaluation: the whole picture.

        Raises:
            TrainingError: the media cannot be decoded (a file that passed the survey but is damaged inside).
        """
        modalities = needed(self.config, sample) - {"multi"}
        if sample.media is None or not modalities:
            return {}
        view = self.view(visit)
        crops = view is not None and self.config.data.cache == "none"
        if sample.media.sha256 is not None and not crops:
            try:
                return self.store.get(sample, modalities, view)
            except Absent:
                pass
        return self._encode(sample, sample.media, modalities, view, keep=not crops)

    def view(self, visit: tuple[int, ...] | None) -> int | None:
        """Which crop a visit sees: one of data.views that are kept, or a fresh one with data.cache none."""
        data = self.config.data
        if visit is None or data.crop_scale is None:
            return None
        drawn = np.random.default_rng((*visit, 0)).integers(data.views if data.cache != "none" else 2**31)
        return int(drawn)

    def _encode(self, sample: Sample, media: MediaFile, modalities: set[str], view: int | None, keep: bool) -> Features:
        from models_ml.media import MediaError

        if getattr(self.model, "visual", self.model) is None:
            raise TrainingError(
                f"clip {sample.clip}: its kept features are gone or damaged, and the encoders were let go after the "
                "first look; go on with --resume, which makes them again"
            )
        job = Job(media, frozenset(modalities), (view,))
        try:
            found = inputs_of(self.config, job)
        except MediaError as error:
            raise TrainingError(f"clip {sample.clip}: {error}") from error
        if (reason := lacking(job, found)) is not None:
            raise TrainingError(f"clip {sample.clip}: {reason}")
        features = {}
        for (modality, own), arrays in found["inputs"].items():
            made = self.model.encode(modality, tensors(arrays), found["segments"])
            if keep and media.sha256 is not None:
                features[modality] = self.store.put(sample, modality, own, made)
            else:
                features[modality] = made.to(self.store.dtype)
        return features


def form_of(sample: Sample) -> str:
    """Which of the template's forms a sample is asked in."""
    image = sample.media is not None and sample.media.image
    if sample.turns is not None and (len(sample.turns) > 1 or not image):
        return "image_turns" if image else "video_turns"
    return "image" if image else "clauses"


def has(config: Config, sample: Sample) -> set[str]:
    """The modalities that this sample's media and the config give."""
    media, data = sample.media, config.data
    found: set[str] = set()
    if media is None:
        return found
    if media.image:
        return {"image" if "image" in slot_lengths(config.model) else "video"} if data.video else set()
    if media.has_video and data.video:
        found.add("video")
    if data.faces == "openface" and media.faces is not None or data.faces == "detect" and media.has_video:
        found.add("face")
    if media.has_audio and data.audio:
        found.add("audio")
    return present(config.model, found)


def needed(config: Config, sample: Sample) -> set[str]:
    """Those of its modalities that the prompt has a slot for (of pre-fusion, what is fused)."""
    asked = modalities_of(config, form_of(sample))
    return has(config, sample) & (asked | {"image"} if "video" in asked else asked)


def asked_of(config: Config, sample: Sample, question: str | None = None) -> Asked:
    if sample.turns is not None:
        question = clean(sample.turns[0][0], config.prompt.end)
    if question is None:
        question = config.prompt.label_question if config.data.target == "ov_labels" else config.prompt.question
    return Asked(question, sample.subtitle, frozenset(has(config, sample)), sample.clues, form_of(sample))


def prompt_of(config: Config, tokenizer: Any, sample: Sample) -> Prompt:
    """The prompt that asks for a sample's answer, as in training."""
    return prompt_for(config, tokenizer, asked_of(config, sample))


def example_of(config: Config, tokenizer: Any, sample: Sample) -> Example:
    """A sample's prompt and answer; of two answers (data.target hybrid) the description where there is one."""
    if sample.turns is not None:
        return conversation(config, tokenizer, asked_of(config, sample), sample.turns)
    if not sample.target and sample.labels:
        return label_example(config, tokenizer, sample)
    return answered(config, tokenizer, prompt_of(config, tokenizer, sample), sample.target)


def label_example(config: Config, tokenizer: Any, sample: Sample) -> Example:
    asked = asked_of(config, sample, config.prompt.label_question)
    return answered(config, tokenizer, prompt_for(config, tokenizer, asked), sample.labels)
