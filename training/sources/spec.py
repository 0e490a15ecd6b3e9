"""``KIND:PATH[,key=value …]``: what a source is called on the command line and in a config."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError

SPLIT = ("seed", "test")
#: kind -> options it takes
KINDS: dict[str, tuple[str, ...]] = {
    "emer-v1": SPLIT,
    "emer-v2": ("openset", *SPLIT),
    "merr": ("subtitles",),
    "mer2025-ovmerd": ("subtitles", *SPLIT),
    "mer2025-human": ("subtitles", *SPLIT),
    "mer2025-mercaptionplus": ("subtitles",),
    "mer2025-mercaption": ("subtitles",),
    "cc_sbu": (),
    "llava": (),
    "videochat": (),
}
OPTION = re.compile(r",(seed|test|openset|subtitles)=")


@dataclass(frozen=True)
class Spec:
    kind: str
    path: Path
    options: dict[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return int(self.options.get("seed", "0"))

    @property
    def test(self) -> float:
        return float(self.options.get("test", "0.2"))


def parse_spec(text: str) -> Spec | None:
    """The source that a text names; None where it is a plain path.

    Raises UsageError: an option that its kind does not take or a value that is none.
    """
    kind, sign, rest = text.partition(":")
    if not sign or kind not in KINDS:
        return None
    path, *more = OPTION.split(rest)
    options = dict(zip(more[::2], more[1::2], strict=True))
    for name, value in options.items():
        if name not in KINDS[kind]:
            raise UsageError(f"{kind}: takes no option {name!r}; it takes: {', '.join(KINDS[kind]) or 'none'}")
        good = {"seed": r"\d{1,9}", "test": r"0?\.\d+|0"}.get(name, r".+")
        if not re.fullmatch(good, value):
            raise UsageError(f"{kind}: {name}={value!r} is not a {'share below 1' if name == 'test' else 'value'}")
    if not path:
        raise UsageError(f"{kind}: names no path; write {kind}:PATH")
    return Spec(kind, Path(path).expanduser(), options)
