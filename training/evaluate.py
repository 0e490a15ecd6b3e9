"""Evaluation: generate on a split, read OV labels out of the answers, score them with the set-level metric.

One-step: labels come from the model's answer itself. Two-step: the answer is a clue that the text LLM first merges
with the subtitle. Extraction: ``direct`` when the model was trained on labels, ``llm`` when LLM_BASE_URL is set,
else ``lexicon`` (the metric's bilingual emotion lexicon, which knows no word outside its list).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .checkpoints import open_checkpoint
from .config import Config
from .data import OTHER, Sample, in_language, require_media
from .errors import TrainingError, UsageError
from .evidence import survey
from .fit import refuse_leak
from .generate import answers, load_trained
from .runlog import now, write_json
from .snapshot import Record, read_snapshot

log = logging.getLogger("training")
PROMPT = Path(__file__).parent / "prompts" / "extract_labels.en.md"


@dataclass
class Extracted:
    """Labels per clip; failed: clips whose answer the LLM could not read, with the reason."""

    labels: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def evaluate(
    run: str, snapshot_folder: str, split: str = "test", route: str = "one-step", media: str | None = None,
    missing_media: str | None = None, allow_leak: bool = False, extraction: str | None = None,
    grouping: str = "lexicon",
) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    """``{run, split, n, accuracy, recall, avg, ci95, grouping, extraction}`` and the clips left out because the LLM's
    answer could not be read (clip -> reason). The evaluation, with its predictions, is kept under
    ``RUN/evaluations/``.

    Raises:
        UsageError: snapshot, split, media or run cannot be used; the split leaks into the checkpoint's lineage; no
            clip has gold labels; an LLM is needed and not configured.
        TrainingError: media does not decode, or the LLM is down.
    """
    from models_ml.llm import NotConfigured
    from models_ml.metrics import MetricError, openset

    snapshot = read_snapshot(snapshot_folder)
    records = snapshot.split(split)
    checkpoint = open_checkpoint(run)
    config = checkpoint.config
    leak = refuse_leak(checkpoint.lineage, snapshot, records, allow_leak)
    try:
        how, extract = extractor(config, route, extraction)
    except NotConfigured as error:
        raise UsageError(str(error)) from error
    gold = {record.clip: gold_labels(record, config.data.language) for record in records}
    unlabelled = [clip for clip, labels in gold.items() if not labels]
    if len(unlabelled) == len(records):
        raise UsageError(f"split {split} of snapshot {snapshot.name}: no record has OV labels to score against")
    if unlabelled:
        log.warning("%d records without OV labels are left out, first %s", len(unlabelled), unlabelled[0])
    records = [record for record in records if gold[record.clip]]
    report = survey(records, snapshot, media)
    require_media(report, len(records), missing_media)
    samples = [
        Sample(record.clip, in_language(record.subtitle, config.data.language)[0], "", report.files.get(record.clip))
        for record in records
    ]
    trained = load_trained(checkpoint.path)
    texts = dict(zip([sample.clip for sample in samples], answers(trained, samples), strict=True))
    found = extract(records, texts)
    for clip, reason in found.failed.items():
        log.warning("clip %s is left out: %s", clip, reason)
    try:
        scores = openset({clip: gold[clip] for clip in found.labels}, found.labels, grouping)
    except MetricError as error:
        raise TrainingError(f"nothing could be scored: {error}") from error
    result = {"run": str(Path(run).absolute()), "split": split, **scores, "extraction": how}
    if leak:
        result = {"leak": leak, **result}  # nobody reads the figures without reading this first
    folder = _folder(checkpoint.path, run)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{split}-{route}"
    write_json(
        folder / f"{stamp}.json",
        {**result, "route": route, "leak": leak, "snapshot": {"digest": snapshot.digest, "name": snapshot.name},
         "checkpoint": checkpoint.path.name, "media": report.counts(), "unlabelled": unlabelled,
         "failed": found.failed, "predictions": f"{stamp}.predictions.jsonl", "finished": now()},
    )  # fmt: skip
    lines = [
        {"clip": clip, "text": texts[clip], "ov_labels": found.labels.get(clip), "gold": gold[clip],
         "failed": found.failed.get(clip)}
        for clip in texts
    ]  # fmt: skip
    written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / f"{stamp}.predictions.jsonl").write_text(written, encoding="utf-8")
    (folder.parent / "predictions.jsonl").write_text(written, encoding="utf-8")
    if found.failed:
        log.error("%d clips could not be read by the LLM; the figures leave them out", len(found.failed))
    return result, found.failed


def _folder(checkpoint: Path, run: str) -> Path:
    """``RUN/evaluations``, also when a checkpoint inside the run was named."""
    root = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else Path(run)
    folder = root / "evaluations"
    folder.mkdir(exist_ok=True)
    return folder


def gold_labels(record: Record, language: str) -> list[str]:
    """The record's OV labels in this language, else in the other."""
    return record.ov_labels.get(language) or record.ov_labels.get(OTHER[language]) or []


def extractor(
    config: Config, route: str, wanted: str | None
) -> tuple[str, Callable[[list[Record], dict[str, str]], Extracted]]:
    """The name of the extraction and the function (records, answers) -> Extracted.

    Raises models_ml.llm.NotConfigured when an LLM is needed and LLM_BASE_URL is not set.
    """
    from models_ml.llm import endpoint_from_env
    from models_ml.llm.endpoint import require

    endpoint = endpoint_from_env("LLM")
    if route == "two-step":
        if wanted not in (None, "llm"):
            raise UsageError("--route two-step merges by the text LLM; its extraction is llm")
        needed = require(endpoint, "LLM")
        return "llm", lambda records, texts: _by_merging(records, texts, needed, config.data.language)
    how = wanted or ("direct" if config.data.target == "ov_labels" else "llm" if endpoint else "lexicon")
    if how == "llm":
        needed = require(endpoint, "LLM")
        return how, lambda records, texts: _by_llm(texts, needed)
    if how == "direct":
        return how, lambda records, texts: Extracted({clip: split_labels(text) for clip, text in texts.items()})
    from models_ml.metrics import lexicon_labels

    return how, lambda records, texts: Extracted({clip: lexicon_labels(text) for clip, text in texts.items()})


def split_labels(text: str) -> list[str]:
    """``happy, looking forward to`` or ``高兴、期待`` -> labels, lower-cased, without repetition."""
    for sign in ("，", "、", ";", "；", "\n"):
        text = text.replace(sign, ",")
    labels = [" ".join(part.split()).lower().rstrip(".。") for part in text.split(",")]
    return list(dict.fromkeys(label for label in labels if label))


def _by_llm(texts: dict[str, str], endpoint: Any) -> Extracted:
    from models_ml.llm import complete
    from models_ml.prompts import parse
    from models_ml.steps.labels import parse_ov_labels

    prompt = parse(PROMPT)
    return _each(texts, lambda clip: parse_ov_labels(
        complete(endpoint, prompt.render(description=texts[clip])).text) if texts[clip] else [])  # fmt: skip


def _by_merging(records: list[Record], texts: dict[str, str], endpoint: Any, language: str) -> Extracted:
    from models_ml.steps import Evidence, merge

    known = {record.clip: record for record in records}

    def labels(clip: str) -> list[str]:
        record = known[clip]
        subtitle = {key: record.subtitle.get(key) for key in ("zh", "en")}
        clue = {"modality": "visual", "aspect": "", "language": language, "text": texts[clip]}
        merged = merge(Evidence(clip, subtitle=subtitle, clues=[clue] if texts[clip] else []), endpoint)
        return (merged.ov_labels or {}).get(language) or []

    return _each(texts, labels)


def _each(texts: dict[str, str], labels_of: Callable[[str], list[str]]) -> Extracted:
    """An answer that cannot be read fails its clip; a server that does not answer ends the evaluation."""
    from models_ml.llm import ModelFailure

    found = Extracted()
    for clip in texts:
        try:
            found.labels[clip] = labels_of(clip)
        except ModelFailure as failure:
            if failure.code in ("timeout", "refused_connection") or failure.code.startswith("http_"):
                raise TrainingError(f"label extraction stopped at clip {clip}: {failure}") from failure
            found.failed[clip] = str(failure)
    return found
