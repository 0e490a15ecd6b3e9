"""OV labels read out of what the model said: directly, by the lexicon, or by a text LLM; in one step or in two.

One-step: labels come from the model's answer itself. Two-step: the answer is a clue that the text LLM first merges
with the subtitle. Extraction: ``direct`` when the model was trained on labels, ``llm`` when LLM_BASE_URL is set,
else ``lexicon`` (the metric's bilingual emotion lexicon, which knows no word outside its list).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Config
from .errors import TrainingError, UsageError
from .snapshot import Record

PROMPT = Path(__file__).parent / "prompts" / "extract_labels.en.md"
WAYS = ("llm", "lexicon", "direct")
ASKED_AT_ONCE = 8  # questions to the LLM under way; its own limits may make it fewer


@dataclass(frozen=True)
class Extractor:
    """``how`` is what stands beside the figures (``llm``, ``lexicon``, ``direct``), ``by`` what did it, for a report:
    the LLM's name, else None. ``labels(record, answer)`` raises ModelFailure for an answer that cannot be read."""

    how: str
    labels: Callable[[Record, str], list[str]]
    by: str | None = None

    def each(self, records: list[Record], texts: Mapping[str, str]) -> Iterator[tuple[str, list[str] | None, str]]:
        """(clip, labels, "") or (clip, None, reason) for each record, in their order.

        An answer that cannot be read fails its clip; a server that does not answer ends the evaluation (TrainingError).
        """
        from models_ml.llm import ModelFailure

        def read(record: Record) -> list[str] | ModelFailure:
            try:
                return self.labels(record, texts[record.clip])
            except ModelFailure as failure:
                return failure

        if self.by is None:
            yield from ((record.clip, self.labels(record, texts[record.clip]), "") for record in records)
            return
        pool = ThreadPoolExecutor(ASKED_AT_ONCE)
        try:
            for record, found in zip(records, pool.map(read, records), strict=True):
                if not isinstance(found, ModelFailure):
                    yield record.clip, found, ""
                elif found.code in ("timeout", "refused_connection") or found.code.startswith("http_"):
                    raise TrainingError(f"label extraction stopped at clip {record.clip}: {found}") from found
                else:
                    yield record.clip, None, str(found)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def extractor(config: Config, route: str, wanted: str | None) -> Extractor:
    """The extraction that is asked for, else what is configured.

    Raises:
        UsageError: an LLM is needed and LLM_BASE_URL is not set, or the route has no such extraction.
    """
    from models_ml.llm import NotConfigured, endpoint_from_env, require

    if route not in ("one-step", "two-step"):
        raise UsageError(f"--route {route!r} is none of one-step, two-step")
    if wanted not in (None, *WAYS):
        raise UsageError(f"--extraction {wanted!r} is none of {', '.join(WAYS)}")
    try:
        endpoint = endpoint_from_env("LLM")
        if route == "two-step":
            if wanted not in (None, "llm"):
                raise UsageError("--route two-step merges by the text LLM; its extraction is llm")
            return _by_merging(require(endpoint, "LLM"), config.data.language)
        how = wanted or ("direct" if config.data.target == "ov_labels" else "llm" if endpoint else "lexicon")
        if how == "llm":
            return _by_llm(require(endpoint, "LLM"))
    except NotConfigured as error:
        raise UsageError(str(error)) from error
    if how == "direct":
        return Extractor(how, lambda record, text: split_labels(text, config.prompt.label_answer))
    from models_ml.metrics import lexicon_labels

    return Extractor(how, lambda record, text: lexicon_labels(text))


def split_labels(text: str, form: str = "{labels}") -> list[str]:
    """``happy, looking forward to`` or ``高兴、期待`` -> labels, lower-cased, without repetition.

    ``form`` is how the model was trained to answer; what stands around its ``{labels}`` is taken off where it is there.
    """
    before, _, after = form.partition("{labels}")
    text = text.strip()
    if before.strip() and text.lower().startswith(before.strip().lower()):
        text = text[len(before.strip()) :]
    if after.strip(" .。") and text.rstrip(" .。").lower().endswith(after.strip(" .。").lower()):
        text = text.rstrip(" .。")[: -len(after.strip(" .。"))]
    for sign in ("，", "、", ";", "；", "\n"):
        text = text.replace(sign, ",")
    labels = [" ".join(part.split()).lower().strip(".。[]'\"") for part in text.split(",")]
    return list(dict.fromkeys(label for label in labels if label))


def _by_llm(endpoint: Any) -> Extractor:
    from models_ml.llm import complete
    from models_ml.prompts import parse
    from models_ml.steps.labels import parse_ov_labels

    prompt = parse(PROMPT)

    def labels(record: Record, text: str) -> list[str]:
        if not text:
            return []
        return parse_ov_labels(complete(endpoint, prompt.render(description=text)).text)

    return Extractor("llm", labels, endpoint.model)


def _by_merging(endpoint: Any, language: str) -> Extractor:
    from models_ml.steps import Evidence, merge

    def labels(record: Record, text: str) -> list[str]:
        subtitle = {key: record.subtitle.get(key) for key in ("zh", "en")}
        clue = {"modality": "visual", "aspect": "", "language": language, "text": text}
        merged = merge(Evidence(record.clip, subtitle=subtitle, clues=[clue] if text else []), endpoint)
        return (merged.ov_labels or {}).get(language) or []

    return Extractor("llm", labels, endpoint.model)
