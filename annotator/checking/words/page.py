"""What the frame of the checking page says: saving, leases, leaving, keys, what stands beside the work."""

from django.utils.translation import gettext as _


def skip_reasons() -> list[str]:
    return [
        _("the media does not play"),
        _("nobody is shown or heard"),
        _("I do not understand the language"),
        _("I know the person"),
    ]


def flag_reasons() -> list[tuple[str, str]]:
    """(code of clips.models.Flag, what it means)."""
    return [
        ("no-face", _("no face is seen")),
        ("wrong-subtitle", _("the subtitle is wrong")),
        ("not-consenting", _("somebody does not consent to being shown")),
        ("unclear-speaker", _("it is unclear who speaks")),
        ("bad-media", _("the media does not play as it should")),
        ("other", _("something else")),
    ]


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    return {
        "cluesOpen": _("clues to check: %s"),
        "allChecked": _("every clue is checked"),
        "modes": {"visual": _("picture only"), "audio": _("sound only"), "text": _("words only")},
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
        "resubmitting": _("Handing in what you had submitted before the page was closed…"),
        "resubmitted": _("What you had submitted before the page was closed has arrived."),
        "notResubmitted": _("What you had submitted before the page was closed was not taken: %s"),
        "nextClip": _("Next clip"),
        "notFetched": _("The next clip could not be fetched"),
        "termsFirst": _("The terms of this corpus come first"),
        "notQualified": _("No clips for you here yet"),
        "flagged": _("Flagged."),
        "undone": _("Undone: %s"),
        "redone": _("Done again: %s"),
        "nothingToUndo": _("Nothing to undo"),
        "nothingToRedo": _("Nothing to do again"),
        "parts": {
            "clues": _("clues"),
            "description": _("description"),
            "ov_labels": _("OV labels"),
            "other": _("other fields"),
        },
        "keyNames": {
            " ": _("Space"),
            "enter": "↵",
            "escape": "Esc",
            "delete": _("Del"),
            "arrowleft": "←",
            "arrowright": "→",
            "arrowup": "↑",
            "arrowdown": "↓",
            "shift": "⇧",
            "alt": "Alt",
            "mod": "Ctrl",
        },
        "pressKey": _("press a key"),
        "keyOf": _("Key for: %s"),
        "keyTaken": _("%1 is the key for “%2” already. Choose another one."),
        "keyKept": _("%1 now does: %2"),
        "keysNotKept": _("The keys hold on this page only; they could not be stored: %s"),
        "found": _("%s found"),
        "noExamples": _("No examples have been chosen for this corpus yet."),
        "noComments": _("Nobody has written anything about this clip."),
        "roles": {"annotator": _("annotator"), "reviewer": _("reviewer"), "manager": _("manager")},
        "you": _("you"),
        "resolve": _("Dealt with"),
        "reopen": _("Take up again"),
        "resolved": _("dealt with"),
        "noDrafts": _("Nothing has been saved of this clip yet."),
        "versionAt": _("Version %1 of %2"),
        "draftFacts": _("clues: %1 · characters: %2"),
        "takeVersion": _("Take this version"),
        "versionTaken": _("Version %s taken. Undo brings back what stood here."),
        "clueVerdicts": _("Clues"),
        "descriptionHead": _("Description"),
        "labelsHead": _("OV labels"),
        "nothingWritten": _("nothing written"),
    }
