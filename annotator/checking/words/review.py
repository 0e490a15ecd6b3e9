"""What the review page says."""

from django.utils.translation import gettext as _


def return_reasons() -> list[str]:
    """The short list; what is ticked is written above the reviewer's own words."""
    return [
        _("A clue is judged wrongly."),
        _("A clue that is seen or heard is missing."),
        _("The description does not follow from the clues."),
        _("The labels do not fit the description."),
        _("The description is about another person."),
        _("The two languages do not say the same."),
    ]


def script() -> dict[str, object]:
    """For the page's scripts; `%s`, `%1` and `%2` are filled in there."""
    return {
        "returnedBefore": _("Returned before: %s"),
        "youAnswered": _("You answered: %s"),
        "review": {
            "annotationOf": _("Annotator %s"),
            "record": _("Record"),
            "comparison": _("Annotations side by side"),
            "columns": _("Whose version is shown"),
            "sections": {
                "visual": _("Visual clues"),
                "audio": _("Audio clues"),
                "text": _("Text clues"),
                "text-head": _("Description and labels"),
            },
            "everything": _("Everything"),
            "clueName": _("Clue %s"),
            "descriptionIn": {"zh": _("Description, Chinese"), "en": _("Description, English")},
            "ovLabels": _("OV labels"),
            "fields": {
                "label": _("Discrete label"),
                "display": _("Felt and shown"),
                "conflict": _("Modalities that disagree"),
            },
            "felt": _("felt: %s"),
            "shown": _("shown: %s"),
            "relations": {
                "same": _("felt as shown"),
                "masked": _("masked"),
                "amplified": _("amplified"),
                "sarcastic": _("sarcastic"),
                "unclear": _("unclear"),
            },
            "modalities": {"visual": _("picture"), "audio": _("sound"), "text": _("words")},
            "take": _("Take"),
            "taken": _("in the record"),
            "takeFrom": _("Take from %2: %1"),
            "tookFrom": _("Taken from %s."),
            "labelsNow": _("Labels of the record: %s"),
            "union": _("All labels"),
            "majority": _("Of most"),
            "own": _("your own words"),
            "notOffered": _("was not shown this clue"),
            "notAdded": _("did not add it"),
            "noSpan": _("no span"),
            "noReason": _("no reason given"),
            "playSpan": _("Play this span"),
            "changedSince": _("Changed since the return. Before:"),
            "reply": _("The annotator's answer"),
            "revision": _("revision %s"),
            "differ": _("They differ in %1 of %2 rows"),
            "onlyDifferences": _("Only rows that differ are shown."),
            "everyRow": _("Every row is shown."),
            "resultWhole": _("Record: as %s wrote it"),
            "resultMerged": _("Record: put together from %s"),
            "resultOwn": _("Record: from %s, with your own words"),
            "accepted": _("Accepted. Here is the next clip."),
            "sentBack": _("Returned to its annotator. Here is the next clip."),
            "noDescription": _("no description"),
            "noLabels": _("no labels"),
            "onlyHere": _("Only this annotator says so"),
            "allSayIt": _("Every annotator says so, or a synonym"),
            "someSayIt": _("%1 of %2 annotators say so, or a synonym"),
            "wasReturned": _("Returned to %s"),
            "wasAccepted": _("Accepted"),
            "byMe": _("you"),
            "byReviewer": _("another reviewer"),
            "standing": _("This clip has a record: revision %1, by %2."),
            "standingNext": _("What you accept becomes revision %s; nothing is overwritten."),
            "origins": {
                "review": _("review"),
                "submission": _("submission"),
                "agreement": _("agreement"),
                "import": _("import"),
            },
        },
    }
