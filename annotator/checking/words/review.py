"""What the review page says."""

from django.utils.translation import gettext as _


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    return {
        "annotationOf": _("Annotator %s"),
        "chosen": _("chosen"),
        "choose": _("Choose this one"),
        "accepted": _("Accepted. Here is the next clip."),
        "sentBack": _("Returned to its annotator. Here is the next clip."),
        "noDescription": _("no description"),
        "noLabels": _("no labels"),
        "onlyHere": _("Only this annotator says so"),
    }
