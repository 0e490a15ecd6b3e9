"""A job's key and what it says: `step[~tag][@id of a registered pre-labeller][#n]`."""

from typing import Any

from models_ml.steps import STEPS, StepSpec


def base_step(key: str) -> str:
    """The step of a job's key: `visual_clue~short@7` is `visual_clue`, tagged, drafted by pre-labeller 7; `merge#1` a
    `merge` that was done again after a retry."""
    for mark in "#@~":
        key = key.partition(mark)[0]
    return key


def prelabeller_id(key: str) -> int | None:
    """The registered pre-labeller that a key names."""
    number = key.partition("#")[0].partition("@")[2]
    return int(number) if number else None


def step_name(key: str, definition: dict[str, Any]) -> str:
    """A job's key as people read it: `visual_clue@4` of a pipeline is `visual_clue · demo-vision`; a tag and the number
    of an earlier turn stay (`merge~long#1 · our-text-model`)."""
    whole, hash_, turn = key.partition("#")
    names = {step["key"]: step.get("prelabeller") for step in definition.get("steps", [])}
    return f"{whole.partition('@')[0]}{hash_}{turn} · {names[whole]}" if names.get(whole) else key


def spec_of(key: str) -> StepSpec:
    return STEPS[base_step(key)]


def modality_of(step: str) -> str:
    """What a step's clue is about; "" for steps that are about no one modality."""
    spec = STEPS[step]
    return spec.modality or ("text" if spec.endpoint == "LLM" else "")


def prelabeller_name(step: str) -> str:
    """What a step calls its pre-labeller: `measured_prosody` drafts as `measured-prosody`."""
    return step.replace("_", "-")
