"""Why a run ended, which is stored in English, in the reader's language."""

import re

from django.utils.translation import gettext as _

_LOST = re.compile(r"The training process was lost (\d+) times; the last time: (.+)", re.DOTALL)
_NOBODY = re.compile(r"The trainer on (.+) died and no trainer there has taken the run up again within (\d+) minutes\.")
_DIED = re.compile(r"its trainer on (.+) died")
_ENDED_BY = re.compile(r"it was ended by (\w+) \(.+\)")


def reason(text: str) -> str:
    """A stored reason; what is not one of the workbench's own (a program's last line) stays as it is."""
    known = {
        "cancelled by a person": _("Cancelled by a person."),
        "cancelled before it started": _("Cancelled before it started."),
        "The process ended without a word; resume with `python -m training fit --resume`.": _(
            "The process ended without a word; resume with `python -m training fit --resume`."
        ),
    }
    if text in known:
        return known[text]
    if found := _LOST.fullmatch(text):
        return _("The training process was lost %(n)s times; the last time: %(why)s") % {
            "n": found[1], "why": reason(found[2]),
        }  # fmt: skip
    if found := _NOBODY.fullmatch(text):
        told = _("The trainer on %(host)s died, and no trainer there has taken the run up again within %(n)s minutes.")
        return told % {"host": found[1], "n": found[2]}
    if found := _DIED.fullmatch(text):
        return _("its trainer on %(host)s died") % {"host": found[1]}
    if found := _ENDED_BY.fullmatch(text):
        told = _(
            "It was ended by %(signal)s: somebody killed it, or memory ran out. It goes on from its last checkpoint."
        )
        return told % {"signal": found[1]}
    return text
