"""G(·) by a text LLM behind an OpenAI-compatible server, as in the paper: the labels of a clip are its question.

Answers are kept on disk, so that figures can be made again without asking, and after the model is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models_ml.llm import Endpoint, ModelFailure, complete
from models_ml.llm.wire import canonical
from models_ml.metrics.reading import parse_groups

TRIES = 4  # as in the MER2024 scorer
MAX_TOKENS = 1000


def cache_folder() -> Path:
    """Where the command line keeps the answers unless told otherwise: ``openset-groupings`` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openset-groupings"


class LlmGrouping:
    """A grouping that asks, clip by clip, at temperature 0; a question depends on the clip's set of labels alone.

    ``cache`` is a folder of answers by the hash of model, prompt and sorted labels (the server's address is no part of
    it: a pinned model is the same wherever it runs); None keeps nothing. Asking raises ModelFailure where no list of
    lists came in TRIES answers, and the endpoint's own failures. Used by one thread at a time.
    """

    def __init__(self, endpoint: Endpoint, cache: Path | str | None = None) -> None:
        from models_ml import prompts

        self.endpoint = endpoint
        self.prompt = prompts.load("group_labels", "en")
        self.cache = Path(cache) if cache is not None else None
        self.__name__ = f"llm:{endpoint.model}"
        self.counts = dict.fromkeys(("questions", "calls", "cached", "failed", "dropped", "invented", "repeated"), 0)
        self.answered_by: set[str] = set()

    def __call__(self, name: str, labels: Sequence[str]) -> Mapping[str, str]:
        """Label -> the first label of its group; a label that the answer left out is a group of its own."""
        if len(labels) < 2:
            return {label: label for label in labels}
        self.counts["questions"] += 1
        try:
            return self._mapping(sorted(labels), self._groups(name, sorted(labels)))
        except ModelFailure:
            self.counts["failed"] += 1
            raise

    def report(self) -> dict[str, Any]:
        """``{model, answered_by, prompt, questions, calls, cached, failed, dropped, invented, repeated}``: the model
        asked for and the names that the server gave, then counts of questions (how many ``cached``, how many in vain),
        HTTP calls, and labels that answers left out, made up, or put into two groups (the last one counts)."""
        named = {"model": self.endpoint.model, "answered_by": sorted(self.answered_by)}
        return named | {"prompt": self.prompt.reference} | self.counts

    def _mapping(self, labels: Sequence[str], groups: Sequence[Sequence[str]]) -> dict[str, str]:
        """Of what was answered only the labels that were asked for count, in whatever case they were written."""
        asked = {label.strip().lower(): label for label in reversed(labels)}
        mapping: dict[str, str] = {}
        for group in groups:
            words = [word.strip().lower() for word in group]
            known = [asked[word] for word in dict.fromkeys(words) if word in asked]
            self.counts["invented"] += len(words) - sum(word in asked for word in words)
            self.counts["repeated"] += sum(label in mapping for label in known)
            mapping |= dict.fromkeys(known, known[0] if known else "")
        self.counts["dropped"] += sum(label not in mapping for label in labels)
        return mapping

    def _groups(self, name: str, labels: Sequence[str]) -> list[list[str]]:
        path = self._place(labels)
        if path and (kept := _read(path)) is not None and (groups := parse_groups(kept["answer"])) is not None:
            self.counts["cached"] += 1
            self.answered_by.add(kept["answered_by"])
            return groups
        messages = self.prompt.render(labels=json.dumps(labels, ensure_ascii=False))
        asked = 0
        for attempt in range(TRIES):
            try:
                answer = complete(self.endpoint, messages, max_tokens=MAX_TOKENS, seed=attempt)
            except ModelFailure as failure:
                self.counts["calls"] += failure.calls
                raise
            self.counts["calls"] += answer.calls
            asked += answer.calls
            self.answered_by.add(answer.model)
            if (groups := parse_groups(answer.text)) is not None:
                if path:
                    kept = {"model": self.endpoint.model, "answered_by": answer.model, "labels": labels}
                    _write(path, kept | {"prompt": self.prompt.reference, "answer": answer.text})
                return groups
        raise ModelFailure("bad_json", f"{name}: no list of lists in {TRIES} answers", asked)

    def _place(self, labels: Sequence[str]) -> Path | None:
        if self.cache is None:
            return None
        question = {"model": self.endpoint.model, "prompt": self.prompt.sha256, "labels": labels}
        digest = hashlib.sha256(canonical(question)).hexdigest()
        return self.cache / digest[:2] / f"{digest}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """What is kept; None where nothing is, or what is there cannot be read: then it is asked again."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and {"answer", "answered_by"} <= set(kept) else None


def _write(path: Path, kept: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".new", delete=False) as file:
        json.dump(kept, file, ensure_ascii=False, indent=1)
    os.replace(file.name, path)
