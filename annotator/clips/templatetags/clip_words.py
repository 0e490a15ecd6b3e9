"""What went wrong with a file, in the reader's language; the reasons are stored in English."""

from django import template
from django.utils.translation import gettext as _

register = template.Library()


def sentences() -> dict[str, str]:
    """The sentences of models_ml.media.errors -> the same in the reader's language."""
    return {
        "there is no such file": _("there is no such file"),
        "the file is empty (0 bytes)": _("the file is empty (0 bytes)"),
        "the file is not a media file that can be read": _("the file is not a media file that can be read"),
        "the file ends before its declared end": _("the file ends before its declared end"),
        "the file has neither a video nor an audio stream": _("the file has neither a video nor an audio stream"),
        "the file has no video stream": _("the file has no video stream"),
        "the file has no audio stream": _("the file has no audio stream"),
        "the file has zero length: no frame and no sample": _("the file has zero length: no frame and no sample"),
        "the clip is too long": _("the clip is too long"),
        "decoding took too long and was stopped": _("decoding took too long and was stopped"),
        "decoding needs more memory or disk than allowed and was stopped": _(
            "decoding needs more memory or disk than allowed and was stopped"
        ),
        "the derived files could not be written": _("the derived files could not be written"),
    }


@register.filter
def said(reason: str) -> str:
    """`reason` with the sentence it holds in the reader's language; file name and detail stay as they are."""
    for english, ours in sentences().items():
        if english in reason:
            return reason.replace(english, ours, 1)
    return reason
