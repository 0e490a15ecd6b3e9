"""Who sees which pre-labels: a random share of clip x annotator pairs sees none, or sees them blind.

What is drawn is a function of its words alone: whoever asks again gets the same, on any machine, and nobody stores it
before it is used.
"""

import hashlib

from .models import CheckingRules


def uniform(*words: object) -> float:
    """A number in [0, 1) that looks random and is always the same for the same words (the head of their sha256)."""
    digest = hashlib.sha256("\n".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits: exact in a float


def choose(rules: CheckingRules, clip_id: int, user_id: int) -> str:
    """`none`, `blind` or `shown` for this clip and person, in the shares of the rules.

    Raising a share moves pairs into its arm and never out of it, so those drawn already stay where they were.
    """
    drawn = uniform("arm", clip_id, user_id)
    if drawn < rules.none_share:
        return "none"
    return "blind" if drawn >= 1 - rules.blind_share else "shown"
