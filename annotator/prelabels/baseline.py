"""A speaker's usual voice in a corpus: what "high" and "loud" are high and loud against.

Two passes: each clip's raw measures are taken once and stored (`ProsodyMeasures`); the baseline of a clip is made
from those of the same speaker's other clips. Which clips those are depends on the corpus alone (names in order), not
on which worker came first, so a run gives the same numbers however its jobs are scheduled.
"""

from typing import Any

import structlog

from annotator.clips import media
from annotator.clips.models import Clip
from annotator.core.errors import Gone
from models_ml import voice
from models_ml.media import MediaError
from models_ml.steps.measured import PROSODY_VERSION

from .models import ProsodyMeasures

# The median of this many clips is stable; a speaker with thousands of clips must not stall the first job.
CLIPS_OF_A_SPEAKER = 30
logger = structlog.get_logger(__name__)


def speaker_baseline(clip: Clip) -> dict[str, Any] | None:
    """`models_ml.voice.baseline` over the speaker's other clips in the corpus; None where the speaker is unknown
    or has too few of them. Measures (and stores) those that were not measured yet."""
    if not clip.speaker:
        return None
    # One more than wanted, then without this clip: nearly the same set for every clip of the speaker.
    others = (
        Clip.objects.present()
        .filter(corpus_id=clip.corpus_id, speaker=clip.speaker, has_audio=True, media__in=["stored", "reference"])
        .select_related("prosody_measures")
        .order_by("name")[: CLIPS_OF_A_SPEAKER + 1]
    )
    measured = [raw_measures(other) for other in others if other.pk != clip.pk][:CLIPS_OF_A_SPEAKER]
    return voice.baseline([measures for measures in measured if measures]) or None


def raw_measures(clip: Clip) -> dict[str, Any] | None:
    """The clip's measures without a baseline, stored at first need; None for media that cannot be read
    (its own job says why)."""
    known = getattr(clip, "prosody_measures", None)
    if known and known.version == PROSODY_VERSION and known.media_sha256 == (clip.media_sha256 or ""):
        return known.measures
    try:
        measures = voice.measure(media.wav_path(clip) or media.original_path(clip))
    except (MediaError, OSError, Gone) as error:
        logger.warning("no prosody for the speaker's baseline", clip=clip.name, error=str(error))
        return None
    ProsodyMeasures.objects.bulk_create(
        [ProsodyMeasures(clip=clip, media_sha256=clip.media_sha256 or "", version=PROSODY_VERSION, measures=measures)],
        update_conflicts=True,
        unique_fields=["clip"],
        update_fields=["media_sha256", "version", "measures"],
    )
    return measures
