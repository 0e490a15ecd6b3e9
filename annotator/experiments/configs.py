"""Which presets of training/ can be launched, by the grade of records that they train on."""

import re
from functools import cache

from training.config import load_config, names
from training.errors import UsageError

_STAGED = re.compile(r".*-stage[12]")


@cache
def _stages() -> dict[str, int]:
    """Every preset, and of each that names no stage its other stage, too: name -> stage. Read once a process."""
    found: dict[str, int] = {}
    for name in names():
        wanted = [name] if _STAGED.fullmatch(name) else [name, f"{name}-stage1", f"{name}-stage2"]
        for each in wanted:
            try:
                stage = load_config(each).stage
            except UsageError:
                continue  # a preset that is no config by itself
            if each == name or stage != found.get(name):  # a bare name is one of its stages
                found[each] = stage
    return found


def every() -> list[str]:
    return list(_stages())


def fitting(grade: str) -> list[str]:
    """The names of the configs that train on records of this grade: stage 1 on coarse, stage 2 on fine."""
    return [name for name, stage in _stages().items() if (stage == 1) == (grade == "coarse")]


def preferred(grade: str) -> str:
    """What a form proposes: the smallest one."""
    found = fitting(grade)
    return next((name for name in found if name.startswith("tiny")), found[0] if found else "")
