"""What all steps share that ask a model: the evidence as prompt text, the answer as a clue, the receipt."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from models_ml import prompts
from models_ml.llm import Completion, ModelFailure, usable_text
from models_ml.steps.types import Evidence, StepResult, clue, clue_text, provenance

Answer = TypeVar("Answer")
LANGUAGES = ("zh", "en")
_SIGNS = re.compile(r"[\s.,;:!?'\"“”‘’。，、；：！？…]+")


def draft_clue(
    ev: Evidence,
    prelabeller: str,
    kind: tuple[str, str, str],
    prompt: prompts.Prompt,
    ask: Callable[[], Completion],
    parameters: dict[str, Any],
    *,
    span: list[float] | None = None,
    remarks: Callable[[str], dict[str, Any]] | None = None,
) -> StepResult:
    """Ask, judge the answer, and wrap it as one clue of ``kind`` = (modality, aspect, language).

    ``remarks`` looks at the text and adds to the parameters that provenance keeps.
    """
    started = time.monotonic()
    answer = ask()
    text = usable_text(answer.text, kind[2], answer.calls)
    if remarks is not None:
        parameters = parameters | remarks(text)
    return StepResult(
        "done",
        clues=[clue(*kind, text, span=span)],
        provenance=receipt(ev, prelabeller, prompt, [answer], parameters, time.monotonic() - started),
    )


def ask_each(
    asks: Sequence[Callable[[], Completion]], read: Callable[[int, Completion], Answer]
) -> tuple[list[Completion], list[Answer]]:
    """Several questions of one step, one after another, each answer read before the next is asked: the completions and
    what was read. A failure counts the calls of the questions before it too."""
    answers: list[Completion] = []
    values: list[Answer] = []
    for number, ask in enumerate(asks):
        try:
            answer = ask()
            values.append(read(number, answer))
        except ModelFailure as failure:
            failure.calls += sum(earlier.calls for earlier in answers)
            raise
        answers.append(answer)
    return answers, values


def receipt(
    ev: Evidence,
    prelabeller: str,
    prompt: prompts.Prompt,
    answers: Sequence[Completion],
    parameters: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Provenance of one or more answers to the same prompt (at least one): counts and cost are their sums."""
    hashes = [answer.request_sha256 for answer in answers]
    asked = {"request_sha256": hashes[0]} if len(hashes) == 1 else {"request_sha256s": hashes}
    return provenance(
        ev,
        prelabeller,
        seconds,
        model=answers[0].model,
        prompt=prompt.reference,
        parameters=parameters | answers[0].parameters | asked,
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
        completion_tokens=sum(answer.completion_tokens for answer in answers),
        calls=sum(answer.calls for answer in answers),
        cached=all(answer.cached for answer in answers),
        cost=sum(answer.cost for answer in answers),
        gpu_seconds=sum(answer.gpu_seconds for answer in answers),
    )


def skip(ev: Evidence, prelabeller: str, reason: str) -> StepResult:
    """Nothing to do, and why."""
    return StepResult("skipped", reason, provenance=provenance(ev, prelabeller, 0.0))


def person(ev: Evidence, language: str) -> str:
    """Where the person stands who is meant, in words; "" when nobody chose one."""
    return str(((ev.person or {}).get("place") or {}).get(language) or "").strip()


def meant(ev: Evidence) -> dict[str, Any]:
    """What provenance keeps of the chosen person: the number of the track."""
    return {} if ev.person is None else {"person": ev.person.get("track")}


def subtitle(ev: Evidence, language: str | None = None) -> str:
    """The words spoken: in ``language`` where they are known in it, else (and by default) in every language that they
    are known in, Chinese first."""
    words = {name: (ev.subtitle.get(name) or "").strip() for name in LANGUAGES}
    if language is not None and words.get(language):
        return words[language]
    return "\n".join(dict.fromkeys(text for text in words.values() if text))


def clue_list(ev: Evidence, modality: str, language: str) -> str:
    """The clues of a modality as a list, each in ``language`` where it is known in it, else as it was written.

    Clues that several annotators stated in the same words (but for case, spaces and signs) are told once, those that
    most agree on first, with the number who agree.
    """
    said: dict[str, tuple[str, set[str]]] = {}
    people: set[str] = set()
    for item in ev.clues:
        if item.get("modality") != modality:
            continue
        text = clue_text(item, language) or str(item.get("text") or "").strip()
        who = str(item.get("annotator") or "")
        if text:
            # Only people agree; what two pre-labellers wrote stands twice.
            key = _SIGNS.sub(" ", text).strip().casefold() if who else f"{len(said)}\n{text}"
            said.setdefault(key, (text, set()))[1].update({who} - {""})
            people |= {who} - {""}
    lines = sorted(said.values(), key=lambda entry: -len(entry[1]))  # stable: of equals, the first said stays first
    return "\n".join(f"- {_agreement(len(who), len(people), language)}{text}" for text, who in lines)


def _agreement(agree: int, people: int, language: str) -> str:
    if people < 2 or not agree:
        return ""
    return f"（{people} 位标注者中的 {agree} 位）" if language == "zh" else f"({agree} of {people} annotators) "
