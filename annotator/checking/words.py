"""What the checking and review pages say, in the reader's language; the script gets its part as inert JSON."""

from django.utils.translation import gettext as _

from annotator.prelabels import gate_words


def modalities() -> list[tuple[str, str, str]]:
    """(code, name, what to say when there is no clue)."""
    return [
        ("visual", _("Visual clues"), _("No visual clue was drafted. Add what you see.")),
        ("audio", _("Audio clues"), _("No audio clue was drafted. Add what you hear.")),
        ("text", _("Text clues"), _("No text clue was drafted. Add what the words say.")),
    ]


def aspects() -> list[tuple[str, str]]:
    return [
        ("", _("general")),
        ("expression", _("expression")),
        ("gesture", _("gesture")),
        ("scene", _("scene")),
        ("tone", _("tone")),
        ("prosody", _("prosody")),
        ("content", _("content")),
    ]


def labels() -> list[str]:
    """Suggestions only; any word may be typed."""
    return ["neutral", "happy", "sad", "angry", "surprised", "worried", "fearful", "disgusted"]


def reject_reasons() -> list[str]:
    return [
        _("not seen or heard in the clip"),
        _("about another person"),
        _("says more than the evidence"),
        _("says nothing about the emotion"),
    ]


def skip_reasons() -> list[str]:
    return [
        _("the media does not play"),
        _("nobody is shown or heard"),
        _("I do not understand the language"),
        _("I know the person"),
    ]


def shortcuts(kind: str) -> list[tuple[list[str], str]]:
    """(keys, what they do), as the help shows them."""
    both = [
        (["Space"], _("play or pause")),
        (["←", "→"], _("one second back or forward; with Shift a tenth")),
        (["J", "K"], _("next or previous clue")),
        (["P"], _("play the clue's span")),
        (["1", "2", "3"], _("keep, correct, reject the clue")),
        (["A"], _("add a clue of this modality")),
        (["[", "]"], _("start or end the clue's span at the playhead")),
        (["D", "E"], _("to the description in Chinese or English")),
        (["L"], _("to the OV labels")),
    ]
    if kind == "annotate":
        own = [(["S"], _("summarise the checked clues")), (["Ctrl S"], _("save the draft now"))]
        return [*both, *own, (["Ctrl ↵"], _("submit, then the next clip")), (["?"], _("this help"))]
    own = [(["V"], _("choose the next annotation")), (["Ctrl ↵"], _("accept")), (["R"], _("return with a reason"))]
    return [*both, *own, (["?"], _("this help"))]


def script() -> dict[str, object]:
    """Words for static/js/checking/. `%s` is filled in there."""
    return {
        "aspects": dict(aspects()),
        "verdicts": {
            "open": _("to check"),
            "kept": _("kept"),
            "corrected": _("corrected"),
            "rejected": _("rejected"),
            "added": _("added"),
        },
        "sources": {"llm": _("written by the text model"), "template": _("laid out by the template")},
        "open": _("%s to check"),
        "checked": _("checked"),
        "byYou": _("added by hand"),
        "cluesOpen": _("clues to check: %s"),
        "allChecked": _("every clue is checked"),
        "removeLabel": _("Remove %s"),
        "needsVerdict": _("Keep, correct or reject this clue."),
        "needsText": _("A clue needs a text."),
        "badSpan": _("The span ends before it starts."),
        "nothingChanged": _("Nothing was changed here: keep the clue, or change its text or span."),
        "needsDescription": _("Describe the emotional state in at least one language."),
        "saving": _("Saving…"),
        "savedAt": _("Saved at %s"),
        "notSaved": _("Not saved yet: kept in this browser"),
        "draftLoaded": _("Your draft is loaded"),
        "restored": _("Work that had not reached the server was restored from this browser."),
        "offline": _("No connection. Your work is kept in this browser and sent as soon as the server answers."),
        "serverAway": _("The server does not take it just now. Trying again in %s s; your work is kept here."),
        "signedOut": _("You have been signed out. Sign in and come back to this page."),
        "signedOutWorking": _(
            "You have been signed out. Sign in in another tab, then come back here: your work is kept and sent then."
        ),
        "conflict": _("This draft was saved elsewhere in the meantime (another tab or device)."),
        "conflictMine": _("Keep what is here"),
        "conflictTheirs": _("Load the other version"),
        "leaseLost": _("Go on if you like: when the clip is still free, submitting takes it back."),
        "noLocalCopy": _("This browser keeps no second copy (its storage is full or switched off)."),
        "returned": _("Returned by the reviewer:"),
        "submitted": _("Submitted. Here is the next clip."),
        "nextClip": _("Next clip"),
        "annotationOf": _("Annotator %s"),
        "chosen": _("chosen"),
        "choose": _("Choose this one"),
        "accepted": _("Accepted. Here is the next clip."),
        "sentBack": _("Returned to its annotator. Here is the next clip."),
        "noDescription": _("no description"),
        "noLabels": _("no labels"),
        "onlyHere": _("Only this annotator says so"),
        "gate": gate_words.script(),
    }
