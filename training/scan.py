"""A look at everything before step 1: media that cannot be read, texts that are too long, what is missing or twice."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .config import Config, load_config
from .data import Sample, in_language, select
from .examples import Examples
from .media import MediaReport, survey
from .snapshot import Record, Snapshot, read_snapshot
from .sources import load_sources

log = logging.getLogger("training")
SHOWN = 5  # names per line; the JSON has all


@dataclass
class ScanReport:
    """What a run would meet. Lists name clips; dicts say clip -> reason, or clip -> how much is cut off."""

    snapshot: str
    digest: str
    split: str
    records: int = 0
    samples: int = 0
    missing: list[str] = field(default_factory=list)  # no file found
    unreadable: dict[str, str] = field(default_factory=dict)  # a file that is no media, or is damaged
    changed: list[str] = field(default_factory=list)  # not the bytes that the snapshot names
    without_video: list[str] = field(default_factory=list)
    without_audio: list[str] = field(default_factory=list)
    without_faces: list[str] = field(default_factory=list)  # data.faces openface: no array of this clip
    without_target: list[str] = field(default_factory=list)
    without_subtitle: list[str] = field(default_factory=list)
    other_language: int = 0  # targets that stand in the other language only
    duplicates: dict[str, list[str]] = field(default_factory=dict)  # media sha256 -> clips with these bytes
    subtitle_cut: dict[str, int] = field(default_factory=dict)  # characters
    clues_cut: dict[str, int] = field(default_factory=dict)  # characters
    target_cut: dict[str, int] = field(default_factory=dict)  # tokens
    turns_cut: dict[str, int] = field(default_factory=dict)  # turns
    tokens: dict[str, float] = field(default_factory=dict)  # of a sample: mean, longest, all
    tokenizer: str = ""
    seconds: float = 0.0  # of all clips together
    sources: list[dict[str, Any]] = field(default_factory=list)  # the same of each of data.sources

    @property
    def sound(self) -> bool:
        """Whether a run can start without being told what to do about missing media."""
        return not self.missing and not self.unreadable and all(source["sound"] for source in self.sources)


def scan(
    config: Config, snapshot: Snapshot, media: str | Path | None, memo: str | Path | None = None,
    split: str | None = None,
) -> ScanReport:  # fmt: skip
    """Look through a split (default: the one that is trained on) and data.sources. Nothing is trained or decoded.

    Raises UsageError: no such split, or a source cannot be read.
    """
    name = split or snapshot.training_split()
    records = snapshot.split(name)
    report, samples = _looked(config, snapshot, name, records, survey(records, snapshot, media, config, memo))
    groups = [(report, samples)]
    for source in load_sources(config, memo):
        groups.append(
            _looked(config, source.snapshot, source.split, source.records, source.media, source.number)
        )  # fmt: skip
    tokenizer, known = _tokenizer(config, [sample for _, own in groups for sample in own])
    for one, own in groups:
        _measure(one, config, tokenizer, known, own)
    report.sources = [{**_plain(one), "sound": one.sound} for one, _ in groups[1:]]
    return report


def scan_command(
    config_name: str, snapshot: str, media: str | None, overrides: list[str] | None = None, split: str | None = None,
    cache: str | None = None,
) -> tuple[dict[str, Any], int]:  # fmt: skip
    """``python -m training scan``: the report as JSON, its lines in the log, and 1 where media is missing or damaged.

    Raises UsageError: config or snapshot cannot be used.
    """
    from .cache import cache_folder

    config = load_config(config_name, overrides)
    found = scan(config, read_snapshot(snapshot), media, cache or cache_folder(config), split)
    for line in lines_of(found):
        log.info("%s", line)
    return {**_plain(found), "sound": found.sound}, 0 if found.sound else 1


def lines_of(report: ScanReport) -> list[str]:
    """The report for people: a line for each thing that is there to say."""
    lines = [
        f"{report.snapshot} ({report.digest[:12]}), split {report.split}: {report.records} records, {report.samples} "
        f"samples, {report.seconds / 60:.1f} minutes; {_tokens(report)}"
    ]
    for what, found in (
        ("clips without a media file", report.missing),
        ("clips whose media cannot be read", report.unreadable),
        ("clips whose media is not the snapshot's (another sha256)", report.changed),
        ("clips without pictures", report.without_video),
        ("clips without sound", report.without_audio),
        ("clips without OpenFace's faces", report.without_faces),
        ("records without a target, left out", report.without_target),
        ("samples without a subtitle", report.without_subtitle),
    ):
        if found:
            shown = [f"{clip}: {found[clip]}" if isinstance(found, dict) else clip for clip in list(found)[:SHOWN]]
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            lines.append(f"{len(found)} {what}: {'; '.join(shown)}{more}")
    if report.other_language:
        lines.append(f"{report.other_language} targets stand in the other language only")
    for digest, clips in list(report.duplicates.items())[:SHOWN]:
        lines.append(f"the same media ({digest[:12]}): {', '.join(clips)}")
    if len(report.duplicates) > SHOWN:
        lines.append(f"… and {len(report.duplicates) - SHOWN} more media files that several clips share")
    for what, unit, cut in (
        ("subtitles", "characters", report.subtitle_cut),
        ("clues", "characters", report.clues_cut),
        ("targets", "tokens", report.target_cut),
        ("conversations", "turns", report.turns_cut),
    ):
        if cut:
            worst = max(cut, key=lambda clip: cut[clip])
            lines.append(f"{len(cut)} {what} are too long and lose their end, most: {worst} ({cut[worst]} {unit})")
    for source in report.sources:
        lines += [
            f"source {line}" for line in lines_of(ScanReport(**{k: v for k, v in source.items() if k != "sound"}))
        ]
    if len(lines) == 1:
        lines.append("nothing to report")
    return lines


def _looked(
    config: Config, snapshot: Snapshot, split: str, records: list[Record], media: MediaReport, number: int = 0
) -> tuple[ScanReport, list[Sample]]:
    chosen = select(config, records, media.files, number)
    report = ScanReport(snapshot.name, snapshot.digest, split, len(records), len(chosen.samples))
    for clip, reason in media.missing.items():
        if reason.startswith("no media file found"):
            report.missing.append(clip)
        else:
            report.unreadable[clip] = reason
    report.changed = media.changed
    owners: dict[str, list[str]] = defaultdict(list)
    for clip, file in media.files.items():
        report.seconds += file.duration
        if not file.has_video:
            report.without_video.append(clip)
        if not file.has_audio and not file.image:
            report.without_audio.append(clip)
        if config.data.faces == "openface" and file.faces is None and not file.image:
            report.without_faces.append(clip)
        owners[str(file.sha256)].append(clip)
    # The same picture under several conversations is how the instruction sets are made.
    plain = {record.clip for record in records if record.turns is None}
    report.duplicates = {
        digest: clips for digest, clips in owners.items() if len(clips) > 1 and plain.issuperset(clips)
    }
    report.without_target = chosen.without_target
    report.other_language = chosen.other_language
    report.without_subtitle = [
        record.clip
        for record in records
        if record.turns is None and not in_language(record.subtitle, config.data.language)[0]
    ]
    report.seconds = round(report.seconds, 3)
    return report, chosen.samples


def _tokenizer(config: Config, samples: list[Sample]) -> tuple[Any, str]:
    """The LLM's own tokenizer, or the one that the run would train on the spot."""
    from .weights import make_tokenizer

    texts = [text for sample in samples for text in (sample.subtitle, sample.target) if text]
    return make_tokenizer(config, texts), str(config.model.llm.pretrained or "trained on the spot")


def _measure(report: ScanReport, config: Config, tokenizer: Any, known: str, samples: list[Sample]) -> None:
    examples = Examples(config, tokenizer, samples)
    report.tokenizer = known
    for what, cut in examples.cut().items():
        setattr(report, f"{what}_cut", {samples[index].clip: amount for index, amount in cut.items()})
    lengths = examples.lengths
    if lengths:
        report.tokens = {"mean": round(sum(lengths) / len(lengths), 1), "longest": max(lengths), "all": sum(lengths)}


def _tokens(report: ScanReport) -> str:
    if not report.tokens:
        return "no sample"
    return f"{report.tokens['mean']} tokens a sample, longest {report.tokens['longest']} ({report.tokenizer})"


def _plain(report: ScanReport) -> dict[str, Any]:
    return asdict(report)
