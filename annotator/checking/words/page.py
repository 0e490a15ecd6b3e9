"""What the frame of the checking page says: saving, leases, leaving."""

from django.utils.translation import gettext as _


def skip_reasons() -> list[str]:
    return [
        _("the media does not play"),
        _("nobody is shown or heard"),
        _("I do not understand the language"),
        _("I know the person"),
    ]


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    return {
        "cluesOpen": _("clues to check: %s"),
        "allChecked": _("every clue is checked"),
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
    }
