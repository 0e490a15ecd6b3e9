"""What player and timeline say."""

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from models_ml.face import AU_WORDS


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    return {
        "aus": {code: words[language] for code, words in AU_WORDS.items()},
        "tracks": {
            "both": _("Picture and sound"),
            "sound": _("Sound only"),
            "picture": _("Picture only"),
        },
        "hasSoundOnly": _("This clip has sound only."),
        "taskOfSound": _("This task plays the sound alone."),
        "wordsOnly": _("This task shows the words alone."),
        "nothingToPlay": _("This clip has no media that can be played here. Subtitle and clues are below."),
        "noSound": _("This clip has no sound."),
        "noMedia": _("There is no sound to draw."),
        "soundHidden": _("The sound is hidden in this task."),
        "noVoice": _("Nothing is loud enough here to measure pitch or intensity."),
        "pitch": _("Pitch"),
        "level": _("Intensity"),
        "contextPrevious": _("Context, not the clip: the one before"),
        "contextNext": _("Context, not the clip: the one after"),
        "contextNone": _("There is no such clip of the same source."),
        "contextNoMedia": _("No media can be played here."),
        "contextFailed": _("The clips around it cannot be fetched just now."),
    }
